"""Jobs, quarantine, bus, nodes, audit and users from the command line, on real stores."""

import asyncio
from pathlib import Path

import pytest

from core.records import BadRow
from core.schema import SourceColumn
from core.stores import SchemaEvent, SchemaReport
from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.slow  # each step is a process of its own

DOCUMENT = {
    "sources": {
        "points": {
            "adapter": "http_json",
            "settings": {"url": "http://127.0.0.1:1"},
            "datasets": {"member": {"object": "member", "key": ["id"], "fields": {"id": "integer", "name": "text"}}},
        }
    },
    "jobs": {
        "collect": {
            "dataset": "points.member",
            "mode": "full",
            "schedule": {"cron": "0 3 1 1 *"},
            "retry": {"attempts": 1, "delay_s": 1},
        }
    },
}


@pytest.fixture
async def declared(zhiyun: CommandLine) -> CommandLine:
    assert zhiyun.platform
    await zhiyun.platform.control.registry.apply(DOCUMENT, actor="test")
    await zhiyun.platform.reload()
    return zhiyun


@pytest.mark.req("2.22")
async def test_a_job_that_fails(declared: CommandLine) -> None:
    assert "not run yet" in (await declared.ok("job", "list")).out
    await declared.ok("job", "run", "collect")
    assert declared.platform
    for _ in range(1200):
        runs = await declared.platform.control.job_states.runs(job="collect")
        if runs and runs[0].ended_ms:
            break
        await asyncio.sleep(0.05)
    watched = await declared("job", "watch")
    assert watched.status == 1
    assert "job collect failed" in watched.err
    log = (await declared.ok("job", "runs", "collect", "--json")).json["items"]
    assert log[0]["state"] == "failed"
    assert log[0]["batch_id"].startswith("SYNC")
    assert "failed" in (await declared.ok("job", "show", "collect")).out
    assert (await declared("job", "cancel", "collect")).status == 1
    await declared.ok("job", "pause", "collect")
    assert "paused" in (await declared.ok("job", "list")).out
    refused = await declared("job", "run", "collect")
    assert (refused.status, "resume it first" in refused.err) == (1, True)
    await declared.ok("job", "resume", "collect")
    assert (await declared.ok("job", "list", "--json")).json["items"][0]["is_paused"] is False
    await declared.ok("job", "reset", "collect")
    checked = await declared("source", "check", "points")
    assert (checked.status, "source points" in checked.err) == (1, True)
    await declared.ok("job", "backfill", "collect", "--fields", "name")
    refused = await declared("job", "backfill", "collect", "--fields", "nam, name")
    assert (refused.status, "has no field nam" in refused.err) == (1, True)
    assert "were not compared yet" in (await declared("job", "drift", "collect")).err
    columns = (SourceColumn("id", "integer", "int"),)
    event = SchemaEvent(1_700_000_000_000, "new at the source: mobile")
    report = SchemaReport("collect", "points.member", 1, "f", columns, columns, added=("mobile",), events=(event,))
    await declared.platform.control.job_states.keep_schema(report)
    drift = (await declared.ok("job", "drift", "collect")).out.splitlines()
    assert (drift[0], drift[1].endswith("  new at the source: mobile")) == ("new at the source: mobile", True)
    assert (await declared.ok("job", "drift", "collect", "--json")).json["added"] == ["mobile"]
    unknown = await declared("job", "run", "colect")
    assert "did you mean 'collect'?" in unknown.err


@pytest.mark.req("0.31")
async def test_quarantined_rows(declared: CommandLine, tmp_path: Path) -> None:
    assert declared.platform
    quarantine = declared.platform.control.quarantine
    raws = (b'{"id": "x"}', b'{"id": "y"}')
    bad = [BadRow("id: x is no integer", f"row {number}", raw) for number, raw in enumerate(raws)]
    await quarantine.add("collect", "points.member", "SYNC20240510001", bad)
    rows = (await declared.ok("job", "quarantine", "list", "--json")).json["items"]
    assert (await declared.ok("job", "quarantine", "--json")).json["items"] == rows  # the group alone lists
    assert len(rows) == 2
    assert "raw_base64" not in rows[0] or rows[0]["raw_base64"] is None
    first, second = rows[0]["id"], rows[1]["id"]
    assert '\\"id\\"' in (await declared.ok("job", "quarantine", "show", first)).out
    still = await declared("job", "quarantine", "replay", first)
    assert (still.status, "still bad" in still.err) == (1, True)
    mended = tmp_path / "mended.json"
    mended.write_text('{"id": 7}')
    await declared.ok("job", "quarantine", "replay", first, "--file", str(mended))
    await declared.ok("job", "quarantine", "discard", second)
    assert (await declared("job", "quarantine", "discard", second)).status == 1
    assert (await declared.ok("job", "quarantine", "list")).out == "no such row\n"


async def test_the_rest_of_the_platform(declared: CommandLine) -> None:
    assert (await declared.ok("bus", "depth", "--json")).json == {"depth": {}, "dead_letters": 0}
    assert (await declared.ok("bus", "dead")).out == "no dead letter\n"
    assert (await declared("bus", "redeliver", "none")).status == 1
    nobody = await declared("bus", "replay", "nobody", "--since", "2026-01-01T00:00:00")
    assert (nobody.status, "no durable subscription 'nobody'" in nobody.err) == (1, True)
    missing = await declared("transaction", "show", "tx_none")
    assert (missing.status, "no transaction tx_none" in missing.err) == (1, True)
    assert (await declared.ok("transaction", "list")).out == "no such transaction\n"
    assert "no process" in (await declared.ok("node", "list")).out
    audit = (await declared.ok("audit", "--json")).json["items"]
    assert {"source", "job", "user"} <= {entry["kind"] for entry in audit}
    assert "argon2" not in str(audit)


async def test_users(zhiyun: CommandLine) -> None:
    await zhiyun.ok("user", "create", "li", "--password-stdin", stdin="some long password\n")
    assert "viewer" in (await zhiyun.ok("user", "list")).out
    short = await zhiyun("user", "create", "wu", "--password-stdin", stdin="short\n")
    assert (short.status, "characters" in short.err) == (1, True)
    # The operator's own password: the node's token file must go on working.
    await zhiyun.ok("user", "password", "operator", "--password-stdin", stdin="another long password\n")
    assert (zhiyun.folder / "data" / "operator.token").stat().st_mode & 0o777 == 0o600
    await zhiyun.ok("user", "role", "li", "operator")
    await zhiyun.ok("user", "delete", "li")
    made = (await zhiyun.ok("user", "token", "eve", "--json")).json
    assert (await zhiyun("user", "list", env={"ZHIYUN_TOKEN": made["token"]})).status == 1
