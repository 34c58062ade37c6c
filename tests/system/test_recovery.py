"""A full load that is cut off by force: nothing lost, nothing doubled. Sources that fail: the others go on."""

import os
import signal
import sqlite3
from contextlib import closing

import pytest

from tests.servers.ports import free_port
from tests.system.conftest import NodeMaker
from tests.system.node import Node, at_source, eventually, run_once, runs, settle

ROWS = 40_000


def _inflate(node: Node) -> int:
    """Give the sales system a long history of follow-ups; how many there are then."""
    with closing(sqlite3.connect(node.folder / "estate/data/sales.db")) as connection, connection:
        ((last,),) = connection.execute("SELECT max(FollowUpID) FROM FollowUp")
        columns = [row[1] for row in connection.execute("PRAGMA table_info(FollowUp)")]
        sample = dict(zip(columns, connection.execute("SELECT * FROM FollowUp LIMIT 1").fetchone(), strict=True))
        marks = ", ".join("?" * len(columns))
        new = ({**sample, "FollowUpID": last + n, "UpdatedAt": f"2024-05-{1 + n % 9:02d} 08:00:00.000"} for n in range(1, ROWS))
        connection.executemany(f"INSERT INTO FollowUp VALUES ({marks})", (tuple(row.values()) for row in new))
        ((count,),) = connection.execute("SELECT count(*) FROM FollowUp")
    return int(count)


def _mirrored(node: Node) -> int:
    try:
        with closing(sqlite3.connect(f"file:{node.folder}/mirror.db?mode=ro", uri=True)) as mirror:
            sql = "SELECT count(*), count(DISTINCT follow_up_id) FROM mirror_sales__follow_ups WHERE _deleted = 0"
            ((count, distinct),) = mirror.execute(sql)
    except sqlite3.OperationalError:
        return 0
    assert count == distinct
    return int(count)


@pytest.mark.req("0.41")
def test_a_full_load_cut_off_twice_by_kill_9_ends_complete(make_node: NodeMaker) -> None:
    node = make_node()
    made = _inflate(node)
    node.begin()
    for share in (0.1, 0.4):
        _cut_off(node, after_rows=int(share * made))
        assert _mirrored(node) < made, "cut off in the middle"
    eventually("the rest is loaded", lambda: _mirrored(node) >= made)
    node.wait_for("is ready")

    def equals() -> bool:
        ((rows,),) = at_source(node, "sales", "SELECT count(*) FROM FollowUp")
        return _mirrored(node) == int(rows)

    with node.operator() as operator:
        run_once(operator, "follow-ups")
        eventually("mirror = source", equals)
        states = [run["state"] for run in runs(operator, "follow-ups")]
        assert states.count("failed") >= 2
        assert operator.get("/bus").json()["dead_letters"] == 0


def _cut_off(node: Node, *, after_rows: int) -> None:
    eventually("the load is under way", lambda: _mirrored(node) > after_rows)
    os.kill(node.process("server.back_office"), signal.SIGKILL)


@pytest.mark.req("0.02")
@pytest.mark.req("2.12")
def test_a_source_that_refuses_or_is_gone_fails_its_own_job_only(own_node: Node) -> None:
    with own_node.operator() as operator, own_node.app() as app:
        kept = {name: operator.get(f"/sources/{name}").json()["body"] for name in ("property", "marketing")}
        secrets = own_node.folder / "estate" / "secrets.json"
        assert secrets.exists()
        assert operator.patch("/sources/property", json={"settings": {"password": "wrong-hunter2"}}).status_code == 200
        url = f"http://127.0.0.1:{free_port()}"
        assert operator.patch("/sources/marketing", json={"settings": {"url": url}}).status_code == 200
        settle(own_node, "back-office")
        refused, gone = run_once(operator, "rooms"), run_once(operator, "behaviours")
        assert (refused["state"], gone["state"]) == ("failed", "failed")
        assert "hunter2" not in refused["reason"]
        assert any(word in refused["reason"].lower() for word in ("password", "denied", "credential"))
        assert url.removeprefix("http://") in gone["reason"]
        assert run_once(operator, "members")["state"] == "succeeded"
        assert run_once(operator, "customers")["state"] == "succeeded"
        assert app.get("/v1/rooms?limit=3").json()["data"]
        assert app.get("/v1/behaviours?limit=3").json()["data"]
        operator.patch("/sources/marketing", json={"settings": {"url": kept["marketing"]["settings"]["url"]}})
        eventually("the mended source is collected again", lambda: run_once(operator, "behaviours")["state"] != "failed")
