"""The whole story on one node with its embedded parts."""

import base64
import time

import pytest

from tests.system import story
from tests.system.node import Node, at_source, eventually, manifest_of, run_once, runs


@pytest.mark.req("0.41")
@pytest.mark.req("0.46")
@pytest.mark.req("0.22")
@pytest.mark.req("0.23")
@pytest.mark.req("0.24")
@pytest.mark.req("0.25")
def test_every_row_of_the_six_systems_is_in_the_mirror_or_in_quarantine(node: Node) -> None:
    found = story.everything_adds_up(node)
    made = manifest_of(node)
    assert found["customers"] == (made["customers"], 0, made["customers"])
    assert found["members"] == (made["members"], 0, made["members"])
    assert found["behaviours"][1] > 0
    assert found["broker-events"][1] > 0
    with node.operator() as operator:
        (history,) = runs(operator, "tickets-history")
        assert history["rows"] + history["bad_rows"] == made["tickets_history"]
        daily = runs(operator, "tickets")[-1]
        assert daily["rows"] + daily["bad_rows"] == made["tickets_daily"]
        assert {history["state"], daily["state"]} <= {"partial", "succeeded"}


@pytest.mark.req("0.28")
@pytest.mark.req("0.31")
def test_quarantine_holds_the_planted_rows_with_reason_place_and_bytes(node: Node) -> None:
    with node.operator() as operator:
        rows = story.quarantined(operator, "callcentre.tickets_history")
        assert len(rows) == runs(operator, "tickets-history")[0]["bad_rows"]
        reasons = " ".join(row["reason"] for row in rows)
        for planted in ("values where 11 were expected", "is no gb18030 text", "received_at: expected a date"):
            assert planted in reasons
        assert all(row["place"].startswith("/history/tickets_2023.csv line ") for row in rows)
        wrong = next(row for row in rows if "byte ff" in row["reason"])
        raw = base64.b64decode(operator.get(f"/quarantine/{wrong['id']}").json()["raw_base64"])
        file = (node.folder / "estate/data/callcentre/history/tickets_2023.csv").read_bytes()
        assert b"\xff" in raw
        assert raw.rstrip(b"\r\n") in file, "the bytes as they came"
        broken = story.quarantined(operator, "broker.events")
        assert any("bytes where 142 were expected" in row["reason"] for row in broken)


@pytest.mark.req("0.38")
@pytest.mark.req("0.47")
def test_a_token_opens_the_data_and_repeats_come_from_the_app_cache(node: Node) -> None:
    story.query_comes_from_the_database_then_from_the_app_cache(node)


@pytest.mark.req("0.42")
def test_a_write_reaches_source_mirror_and_feed_once(node: Node) -> None:
    story.a_write_is_seen_everywhere(node, "K0000003")


@pytest.mark.req("0.43")
def test_member_points_are_a_live_call_wrapped(node: Node) -> None:
    story.points_are_live(node)


def test_a_system_that_speaks_http_is_passed_through(node: Node) -> None:
    story.a_route_passes_through_to_the_marketing_system(node)


def test_what_is_not_there_is_a_problem(node: Node) -> None:
    story.what_is_not_there_is_a_problem(node)


@pytest.mark.req("0.44")
def test_an_event_stream_brings_a_write_as_it_happens(node: Node) -> None:
    with (
        node.app() as app,
        app.stream("GET", "/v1/customers/changes?since=0&limit=1", headers={"Accept": "text/event-stream"}) as feed,
    ):
        lines = feed.iter_lines()
        assert next(lines).startswith("id: ")
        assert next(lines) == "event: change"
        assert '"customer_id"' in next(lines)


@pytest.mark.req("0.41")
@pytest.mark.timeout(400)  # the schedules' own pauses come first
def test_what_changes_in_the_estate_arrives_by_itself(node: Node) -> None:
    made = manifest_of(node)

    def grown() -> int:
        ((events,),) = at_source(node, "marketing", "SELECT count(*) FROM event")
        ((follow_ups,),) = at_source(node, "sales", "SELECT count(*) FROM FollowUp")
        return int(events - made["behaviour_events"] + follow_ups - made["follow_ups"])

    eventually("the estate's own life added a row", lambda: grown() > 0)
    with node.operator() as operator:
        seen = {job: runs(operator, job)[0]["batch_id"] for job in ("behaviours", "follow-ups")}
        eventually(
            "the jobs ran again by their schedules",
            lambda: all(runs(operator, job)[0]["batch_id"] > batch for job, batch in seen.items()),
        )
    story.everything_adds_up(node)


@pytest.mark.req("2.22")
def test_an_increment_asks_for_what_is_new_only(node: Node) -> None:
    with node.operator() as operator:
        first = runs(operator, "customers")[-1]
        again = run_once(operator, "customers")
        assert first["rows"] == manifest_of(node)["customers"]
        assert again["rows"] < first["rows"] / 10
        assert again["batch_id"].startswith(f"SYNC{time.strftime('%Y%m%d', time.localtime(again['started_ms'] / 1000))}")


@pytest.mark.req("0.32")
def test_the_node_says_that_it_is_well(node: Node) -> None:
    story.all_is_well(node)
