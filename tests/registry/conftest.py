"""A fresh SQLite database and a vault for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.database import Database
from registry.sql_resources import SqlResources
from registry.vault import Vault
from storage.mysql import open_mysql
from storage.sqlite import open_sqlite


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_sqlite(tmp_path / "registry.db")
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.servers)])
async def any_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Each kind of database in turn, empty; for the stores that write SQL of their own."""
    opened: Database
    if request.param == "sqlite":
        opened = await open_sqlite(tmp_path / "any.db")
    else:
        m = request.getfixturevalue("mariadb_database")
        opened = await open_mysql(f"mysql://{m.user}:{m.password}@{m.host}:{m.port}/{m.database}")
    yield opened
    await opened.close()


@pytest.fixture
def resources(database: Database) -> SqlResources:
    return SqlResources(database)


@pytest.fixture
def vault() -> Vault:
    return Vault(bytes(range(32)))
