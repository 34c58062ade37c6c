"""Transactions on SQLite and on a real MariaDB, through one suite."""

import pytest

from core.database import Database
from storage.sagas import SqlSagas
from tests.conformance.sagas_suite import SagasSuite


class TestOnSqlite(SagasSuite):
    @pytest.fixture
    async def sagas(self, sqlite: Database) -> SqlSagas:
        store = SqlSagas(sqlite)
        await store.prepare()
        return store


@pytest.mark.servers
class TestOnMariaDB(SagasSuite):
    @pytest.fixture
    async def sagas(self, mariadb: Database) -> SqlSagas:
        store = SqlSagas(mariadb)
        await store.prepare()
        return store
