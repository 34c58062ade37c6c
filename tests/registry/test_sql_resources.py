"""The registry's store on SQLite and on a real MariaDB, through one suite; and what only a file can show."""

from pathlib import Path

import pytest

from core.database import Database
from core.stores import Edit
from registry.sql_resources import SqlResources
from storage.sqlite import open_sqlite
from tests.conformance.resources_suite import ResourcesSuite


class TestSqlResources(ResourcesSuite):
    @pytest.fixture
    def resources(self, any_database: Database) -> SqlResources:
        return SqlResources(any_database)


async def test_a_second_node_finds_what_the_first_committed(tmp_path: Path) -> None:
    """Two databases on one file stand for two processes."""
    first, second = await open_sqlite(tmp_path / "r.db"), await open_sqlite(tmp_path / "r.db")
    writer, reader = SqlResources(first), SqlResources(second)
    assert await reader.revision() == 0
    revision = await writer.commit([Edit("plan", "p", {"a": 1})], actor="li")
    assert await reader.revision() == revision
    await first.close()
    kept = await reader.get("plan", "p")
    assert kept is not None
    assert kept.body == {"a": 1}
    await second.close()
