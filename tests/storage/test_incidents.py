"""Incidents on SQLite and on a real MariaDB, through one suite."""

import pytest

from core.database import Database
from storage.incidents import SqlIncidents
from tests.conformance.incidents_suite import IncidentsSuite


class TestOnSqlite(IncidentsSuite):
    @pytest.fixture
    async def incidents(self, sqlite: Database) -> SqlIncidents:
        store = SqlIncidents(sqlite)
        await store.prepare()
        return store


@pytest.mark.servers
class TestOnMariaDB(IncidentsSuite):
    @pytest.fixture
    async def incidents(self, mariadb: Database) -> SqlIncidents:
        store = SqlIncidents(mariadb)
        await store.prepare()
        return store
