"""The journal on SQLite and on a real MariaDB, through one suite."""

import pytest

from core.database import Database
from storage.journal import SqlJournal
from tests.conformance.journal_suite import JournalSuite


class TestOnSqlite(JournalSuite):
    @pytest.fixture
    async def journal(self, sqlite: Database) -> SqlJournal:
        store = SqlJournal(sqlite)
        await store.prepare()
        return store


@pytest.mark.servers
class TestOnMariaDB(JournalSuite):
    @pytest.fixture
    async def journal(self, mariadb: Database) -> SqlJournal:
        store = SqlJournal(mariadb)
        await store.prepare()
        return store
