"""Reports of the platform's processes."""

import msgspec
import pytest

from core.database import Database
from core.stores import NodeReport
from registry.sql_nodes import SqlNodes

_REPORT = NodeReport("gw-1", "gateway", pid=7, started_ms=1, seen_ms=2, revision=3, parts={"cache": "ok", "数据库": "正常"})


@pytest.fixture
def database(any_database: Database) -> Database:
    return any_database


@pytest.mark.req("0.33")
async def test_each_node_has_one_report_the_latest(database: Database) -> None:
    nodes = SqlNodes(database)
    assert await nodes.all() == []
    later = msgspec.structs.replace(_REPORT, seen_ms=1002, revision=4)
    other = msgspec.structs.replace(_REPORT, node="back-1", role="back-office")
    for report in (_REPORT, other, later):
        await nodes.report(report)
    assert await nodes.all() == [other, later]
    await nodes.forget("gw-1")
    await nodes.forget("never-seen")
    assert await SqlNodes(database).all() == [other]
