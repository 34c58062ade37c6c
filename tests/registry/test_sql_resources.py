"""The registry's store on SQLite and on a real MariaDB, through one suite; and what only a file can show."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.database import Database
from core.stores import Edit
from registry.sql_resources import SqlResources
from storage.mysql import open_mysql
from storage.sqlite import open_sqlite
from tests.conformance.resources_suite import ResourcesSuite
from tests.servers.mariadb import MariaDBDatabase


class TestOnSqlite(ResourcesSuite):
    @pytest.fixture
    async def resources(self, database: Database) -> SqlResources:
        return SqlResources(database)


@pytest.mark.servers
class TestOnMariaDB(ResourcesSuite):
    @pytest.fixture
    async def resources(self, mariadb_database: MariaDBDatabase) -> AsyncIterator[SqlResources]:
        m = mariadb_database
        database = await open_mysql(f"mysql://{m.user}:{m.password}@{m.host}:{m.port}/{m.database}")
        yield SqlResources(database)
        await database.close()


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
