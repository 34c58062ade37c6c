"""An empty database of each kind for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.database import Database
from storage.mysql import open_mysql
from storage.sqlite import open_sqlite
from tests.servers.mariadb import MariaDBDatabase


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    database = await open_sqlite(tmp_path / "platform.db")
    yield database
    await database.close()


@pytest.fixture
def mariadb_url(mariadb_database: MariaDBDatabase) -> str:
    m = mariadb_database
    return f"mysql://{m.user}:{m.password}@{m.host}:{m.port}/{m.database}"


@pytest.fixture
async def mariadb(mariadb_url: str) -> AsyncIterator[Database]:
    database = await open_mysql(mariadb_url)
    yield database
    await database.close()
