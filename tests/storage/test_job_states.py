"""The job states on SQLite and on a real MariaDB, through one suite."""

import pytest

from core.database import Database
from storage.job_states import SqlJobStates
from tests.conformance.job_states_suite import JobStatesSuite


class TestOnSqlite(JobStatesSuite):
    @pytest.fixture
    async def states(self, sqlite: Database) -> SqlJobStates:
        store = SqlJobStates(sqlite)
        await store.prepare()
        return store


@pytest.mark.servers
class TestOnMariaDB(JobStatesSuite):
    @pytest.fixture
    async def states(self, mariadb: Database) -> SqlJobStates:
        store = SqlJobStates(mariadb)
        await store.prepare()
        return store
