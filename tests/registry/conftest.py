"""A fresh SQLite database and a vault for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.database import Database
from registry.sql_resources import SqlResources
from registry.vault import Vault
from storage.sqlite import open_sqlite


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_sqlite(tmp_path / "registry.db")
    yield opened
    await opened.close()


@pytest.fixture
def resources(database: Database) -> SqlResources:
    return SqlResources(database)


@pytest.fixture
def vault() -> Vault:
    return Vault(bytes(range(32)))
