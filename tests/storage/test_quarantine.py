"""The quarantine on SQLite and on a real MariaDB, through one suite."""

import pytest

from core.database import Database
from storage.quarantine import SqlQuarantine
from tests.conformance.quarantine_suite import QuarantineSuite


class TestOnSqlite(QuarantineSuite):
    @pytest.fixture
    async def quarantine(self, sqlite: Database) -> SqlQuarantine:
        store = SqlQuarantine(sqlite)
        await store.prepare()
        return store


@pytest.mark.servers
class TestOnMariaDB(QuarantineSuite):
    @pytest.fixture
    async def quarantine(self, mariadb: Database) -> SqlQuarantine:
        store = SqlQuarantine(mariadb)
        await store.prepare()
        return store
