"""The JSON front: reading, paging, conditions, writing, and everything a caller can get wrong."""

import asyncio
import gzip
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.clock import epoch_ms
from core.errors import NotConnected
from core.records import ChangeSet
from tests.gateway.desk import CUSTOMERS, Desk, header, json_of
from tests.gateway.rig import until


async def _refused(desk: Desk, method: str, target: str, **more: Any) -> tuple[int, str]:
    response = await desk.ask(method, target, **more)
    assert header(response, "Content-Type") == "application/problem+json"
    return response.status, json_of(response)["code"]


@pytest.mark.req("0.46")
async def test_a_record_comes_with_tier_age_and_etag(desk: Desk) -> None:
    first, second = [await desk.ask("GET", "/v1/customers/K1") for _ in range(2)]
    assert json_of(first) == {"customer_id": "K1", "name": "客户1", "channel": "web", "score": 1, "tags": ["a", "b"]}
    assert [header(answer, "X-Zhiyun-Tier") for answer in (first, second)] == ["db", "app"]
    assert (header(first, "Age"), header(first, "Content-Type")) == ("0", "application/json")
    assert header(first, "ETag") == header(second, "ETag")
    assert await _refused(desk, "GET", "/v1/customers/nobody") == (404, "not_found")


@pytest.mark.parametrize("given", ["{0}", 'W/{0}, "x"', '"a", {0}', "*"])
async def test_a_known_version_is_304_without_a_body(desk: Desk, given: str) -> None:
    etag = header(await desk.ask("GET", "/v1/customers/K1"), "ETag") or ""
    answer = await desk.ask("GET", "/v1/customers/K1", headers={"If-None-Match": given.format(etag)})
    assert (answer.status, answer.body, header(answer, "ETag")) == (304, b"", etag)
    assert (await desk.ask("GET", "/v1/customers/K1", headers={"If-None-Match": '"another"'})).status == 200


@pytest.mark.parametrize("filters", ["", "channel=web&", "name=%E5%AE%A2%E6%88%B71&channel=web&"])
async def test_pages_follow_their_links_to_the_end_and_keep_the_filters(desk: Desk, filters: str) -> None:
    whole = json_of(await desk.ask("GET", f"/v1/customers?{filters}"))["data"]
    target, seen = f"/v1/customers?{filters}limit=2", []
    for _ in range(CUSTOMERS):
        page = await desk.ask("GET", target)
        seen += json_of(page)["data"]
        link = header(page, "Link")
        assert (link is None) == (json_of(page)["next_cursor"] is None)
        if link is None:
            break
        assert link.endswith('>; rel="next"')
        target = link[1 : link.index(">")]
    assert [record["customer_id"] for record in seen] == [record["customer_id"] for record in whole]
    assert seen


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/v1/customers?limit=0", "invalid_input"),
        ("/v1/customers?limit=51", "invalid_input"),  # the service's own max_limit
        ("/v1/customers?limit=10001", "invalid_input"),
        ("/v1/customers?limit=-1", "invalid_input"),
        ("/v1/customers?limit=x", "invalid_input"),
        ("/v1/customers?limit=", "invalid_input"),
        ("/v1/customers?limit=" + "9" * 5000, "invalid_input"),
        ("/v1/customers?limit=1&limit=2", "invalid_input"),
        ("/v1/customers?cursor=%21%21", "invalid_input"),
        ("/v1/customers?cursor=WzFd&cursor=WzFd", "invalid_input"),
        ("/v1/customers?channel=web&channel=app", "invalid_input"),
        ("/v1/customers?score=1", "unknown_filter"),
        ("/v1/customers?nonsense=1", "unknown_filter"),
        ("/v1/customers?=1", "invalid_input"),
        ("/v1/customers/K1?limit=1", "invalid_input"),
        ("/v1/customers/changes?since=-1", "invalid_input"),
        ("/v1/customers/changes?wait=26", "invalid_input"),
        ("/v1/customers/changes?limit=1001", "invalid_input"),
        ("/v1/customers/changes?filter=1", "invalid_input"),
        ("/v1/visits/K1", "invalid_input"),
        ("/v1/visits/K1~x", "invalid_input"),
        ("/v1/points", "no_query"),
        ("/v1/points/changes", "no_changes"),
    ],
)
async def test_a_wrong_question_is_400_and_says_what(desk: Desk, target: str, code: str) -> None:
    assert await _refused(desk, "GET", target) == (400, code)


async def test_the_other_kinds_answer_too(desk: Desk) -> None:
    assert json_of(await desk.ask("GET", "/v1/points/M1")) == {"member": "M1", "points": 120}
    assert await _refused(desk, "GET", "/v1/points/nobody") == (404, "not_found")
    assert await _refused(desk, "POST", "/v1/points", body={}) == (405, "method_not_allowed")
    desk.ledger.rows[("K1", 3)] = {"customer_id": "K1", "number": 3, "note": "来访"}
    visit = await desk.ask("GET", "/v1/visits/K1~3")  # the mirror lacks it: from the source
    assert (json_of(visit)["note"], header(visit, "X-Zhiyun-Tier")) == ("来访", "source")
    desk.ledger.is_down = True
    assert await _refused(desk, "GET", "/v1/visits/K1~4") == (503, "unavailable")
    assert json_of(await desk.ask("GET", "/v1/points/M1"))["points"] == 120, "an answer still in the caches"


@pytest.mark.req("0.42")
async def test_patch_put_post_and_delete(desk: Desk) -> None:
    patched = await desk.write("PATCH", "/v1/customers/K1", {"name": "张三"}, "w-1")
    assert (json_of(patched)["name"], json_of(patched)["score"], header(patched, "X-Zhiyun-Tier")) == ("张三", 1, "source")
    put = json_of(await desk.write("PUT", "/v1/customers/K1", {"name": "李四"}, "w-2"))
    assert put == {"customer_id": "K1", "name": "李四", "channel": None, "score": None, "tags": None}
    made = json_of(await desk.write("POST", "/v1/customers", {"customer_id": "K99", "score": 3}, "w-3"))
    assert (made["customer_id"], made["score"], desk.ledger.rows[("K99",)]["score"]) == ("K99", 3, 3)
    again = await desk.write("POST", "/v1/customers", {"customer_id": "K99"}, "w-4")
    assert (again.status, json_of(again)["code"]) == (409, "exists")
    gone = await desk.write("DELETE", "/v1/customers/K99", b"", "w-5")
    assert (gone.status, gone.body, ("K99",) in desk.ledger.rows) == (204, b"", False)
    assert json_of(await desk.ask("GET", "/v1/customers/K1"))["name"] == "李四", "read after write"
    assert (await desk.ask("GET", "/v1/customers/K99")).status == 404
    visit = await desk.write("POST", "/v1/visits", {"customer_id": "K1", "number": 8, "note": "x"}, "w-6")
    assert json_of(visit) == {"customer_id": "K1", "number": 8, "note": "x"}


async def test_if_match_protects_what_somebody_else_has_changed(desk: Desk) -> None:
    etag = header(await desk.ask("GET", "/v1/customers/K2"), "ETag") or ""
    assert (await desk.write("PATCH", "/v1/customers/K2", {"name": "甲"}, "m-1", if_match=etag)).status == 200
    late = await desk.write("PATCH", "/v1/customers/K2", {"name": "乙"}, "m-2", if_match=etag)
    assert (late.status, json_of(late)["code"]) == (412, "etag_mismatch")
    assert (await desk.write("PATCH", "/v1/customers/none", {"name": "乙"}, "m-3", if_match="*")).status == 412
    assert desk.ledger.rows[("K2",)]["name"] == "甲"


async def test_a_repeated_write_is_done_once_and_a_reused_key_refused(desk: Desk) -> None:
    first = await desk.write("PATCH", "/v1/customers/K3", {"score": 30}, "same")
    desk.ledger.rows[("K3",)]["score"] = 31  # somebody else, at the source
    second = await desk.write("PATCH", "/v1/customers/K3", {"score": 30}, "same")
    assert (first.status, second.status, second.body) == (200, 200, first.body)
    assert desk.ledger.rows[("K3",)]["score"] == 31, "not written again"
    other = await desk.write("PATCH", "/v1/customers/K3", {"score": 33}, "same")
    assert (other.status, json_of(other)["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("once", [None, "", " ", '""', "k" * 129])
async def test_a_write_needs_an_idempotency_key(desk: Desk, once: str | None) -> None:
    headers = {} if once is None else {"Idempotency-Key": once}
    for method, target in (("PATCH", "/v1/customers/K1"), ("DELETE", "/v1/customers/K1"), ("PUT", "/v1/customers/K1")):
        assert await _refused(desk, method, target, headers=headers, body={}) == (400, "idempotency_key_required")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b""),
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b"null"),
        ("application/json", b'"x"'),
        ("application/json", b"\xff\xfe{}"),
        ("application/json", b'{"name": "\\ud800"}'),
        ("application/json", b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        ("application/json", b'{"score": 1e999}'),
        ("application/json", b'{"score": ' + b"9" * 5000 + b"}"),
        ("application/json", b'{"score": 9223372036854775808}'),
        ("application/json", b'{"score": 1.5}'),
        ("application/json", b'{"score": {"a": 1}}'),
        ("application/json", b'{"customer_id": "K2"}'),
        ("application/json", b'{"nobody": 1}'),
        ("text/plain", b"{}"),
        ("", b"{}"),
        ("application/xml", b"<a/>"),
    ],
)
async def test_a_body_that_can_not_be_written_is_400(desk: Desk, kind: str, body: bytes) -> None:
    headers = {"Idempotency-Key": "b-1", "Content-Type": kind}
    assert (await _refused(desk, "PATCH", "/v1/customers/K1", headers=headers, body=body))[0] == 400
    assert desk.ledger.rows[("K1",)]["name"] == "客户1"


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity, gzip", "x-nonsense"])
async def test_a_packed_body_is_not_taken_and_the_answer_says_what_is(desk: Desk, coding: str) -> None:
    headers = {"Idempotency-Key": "z-1", "Content-Type": "application/json", "Content-Encoding": coding}
    response = await desk.ask("PATCH", "/v1/customers/K1", headers=headers, body=gzip.compress(b'{"name": "packed"}'))
    assert (response.status, json_of(response)["code"]) == (415, "unsupported_media_type")
    assert header(response, "Accept-Encoding") == "identity"
    assert desk.ledger.rows[("K1",)]["name"] == "客户1"
    plain = await desk.ask("PATCH", "/v1/customers/K1", headers={**headers, "Content-Encoding": "Identity"}, body={"name": "plain"})
    assert (plain.status, json_of(plain)["name"]) == (200, "plain")


@pytest.mark.parametrize("key", [None, "", ["K9"], {"a": 1}, True, 1.5])
async def test_a_new_record_needs_a_key_that_could_stand_in_a_path(desk: Desk, key: Any) -> None:
    assert (await desk.write("POST", "/v1/customers", {"customer_id": key}, "p-1")).status == 400
    assert len(desk.ledger.rows) == CUSTOMERS


async def test_a_source_that_fails_leaves_the_write_pending_under_its_key(desk: Desk) -> None:
    desk.ledger.is_down = True
    response = await desk.write("PATCH", "/v1/customers/K1", {"name": "x"}, "pend")
    assert (response.status, json_of(response)["code"], header(response, "Retry-After")) == (503, "write_pending", "2")


@pytest.mark.req("0.44")
async def test_the_changes_feed_and_its_long_poll(desk: Desk) -> None:
    feed = json_of(await desk.ask("GET", "/v1/customers/changes?limit=3"))
    assert [item["record"]["customer_id"] for item in feed["data"]] == ["K1", "K2", "K3"]
    rest = json_of(await desk.ask("GET", f"/v1/customers/changes?since={feed['last_version']}"))
    assert len(rest["data"]) == CUSTOMERS - 3
    waiting = asyncio.ensure_future(desk.ask("GET", f"/v1/customers/changes?since={rest['last_version']}&wait=10"))
    await asyncio.sleep(0.05)
    await desk.write("DELETE", "/v1/customers/K1", b"", "c-1")
    (item,) = json_of(await waiting)["data"]
    assert (item["deleted"], item["record"]["customer_id"]) == (True, "K1")
    assert (await desk.ask("GET", f"/v1/customers/changes?since={item['version']}&wait=0")).body.count(b"record") == 0


class _Pieces:
    """An open body that its reader leaves after `last` pieces."""

    def __init__(self, last: int) -> None:
        self.pieces: list[str] = []
        self._last = last

    async def write(self, data: bytes) -> None:
        if len(self.pieces) == self._last:
            raise NotConnected("the reader has gone")
        self.pieces.append(data.decode())


async def _streamed(desk: Desk, target: str, count: int, **headers: str) -> list[str]:
    answer = await desk.ask("GET", target, headers={"Accept": "text/event-stream", **headers})
    assert header(answer, "Content-Type") == "text/event-stream"
    assert answer.stream is not None
    pieces = _Pieces(count)
    running = asyncio.ensure_future(answer.stream(pieces))
    for number, key in enumerate(("K5", "K6"), 1):
        await until(lambda number=number: len(pieces.pieces) >= number or running.done())  # type: ignore[misc]
        await desk.parts.mirror.apply(ChangeSet("crm.customers", "delete", ("customer_id",), [[key]], epoch_ms() + 5))
    with pytest.raises(NotConnected):
        await asyncio.wait_for(running, 60)
    return pieces.pieces


async def test_server_sent_events_go_on_after_the_last_event_id(desk: Desk) -> None:
    versions = [item["version"] for item in json_of(await desk.ask("GET", "/v1/customers/changes"))["data"]]
    first, second = await _streamed(desk, "/v1/customers/changes", 2, **{"Last-Event-ID": str(versions[-2])})
    assert first.splitlines()[:2] == [f"id: {versions[-1]}", "event: change"]
    assert msgspec.json.decode(first.splitlines()[2].removeprefix("data: "))["record"]["customer_id"] == f"K{CUSTOMERS}"
    assert first.endswith("\n\n")
    assert '"K5"' in second


async def test_since_in_the_address_outranks_the_last_event_id(desk: Desk) -> None:
    (first,) = await _streamed(desk, "/v1/customers/changes?since=0", 1, **{"Last-Event-ID": "5"})
    assert first.count("event: change") == CUSTOMERS


TEXT = st.text(max_size=12)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "HEAD", "PATCH", "PUT", "POST", "DELETE"]),
    service=st.sampled_from(["customers", "visits", "points"]),
    key=TEXT,
    query=st.lists(st.tuples(st.one_of(st.sampled_from(["limit", "cursor", "channel", "since", "wait"]), TEXT), TEXT), max_size=3),
    record=st.dictionaries(
        st.one_of(st.sampled_from(["customer_id", "number", "name", "score", "tags", "note"]), TEXT),
        st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT), st.lists, max_leaves=4),
        max_size=4,
    ),
    header_value=TEXT,
)
async def test_no_request_ever_gives_a_500(
    desk: Desk, method: str, service: str, key: str, query: Any, record: dict[str, Any], header_value: str
) -> None:
    pairs = "&".join(f"{quote(name)}={quote(value)}" for name, value in query if name != "wait")
    headers = dict.fromkeys(("Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Accept-Language"), header_value)
    headers["Idempotency-Key"] = header_value + key + "1"
    body = msgspec.json.encode(record)
    for target in (f"/v1/{service}", f"/v1/{service}/{quote(key)}", f"/v1/{service}/changes"):
        sent = {**headers, "Content-Type": "application/json"}
        response = await desk.ask(method, f"{target}?{pairs}", headers=sent, body=body)
        assert response.status < 500, (method, target, pairs, response.body)
