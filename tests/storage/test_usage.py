"""Usage on SQLite and on a real MariaDB, through one suite."""

import pytest

from core.database import Database
from core.errors import InvalidInput
from storage import usage as module
from storage.usage import SqlUsage
from tests.conformance.usage_suite import UsageSuite, all_of, row


async def _prepared(database: Database) -> SqlUsage:
    store = SqlUsage(database)
    await store.prepare()
    await store.prepare()  # a second node finds the table there
    return store


class TestOnSqlite(UsageSuite):
    @pytest.fixture
    async def usage(self, sqlite: Database) -> SqlUsage:
        return await _prepared(sqlite)

    async def test_too_much_is_refused(self, usage: SqlUsage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_ROWS", 2)
        await usage.add([row(hour=hour) for hour in range(2)])
        assert len(await all_of(usage)) == 2
        await usage.add([row(hour=2)])
        with pytest.raises(InvalidInput, match="shorter time"):
            await all_of(usage)


@pytest.mark.servers
class TestOnMariaDB(UsageSuite):
    @pytest.fixture
    async def usage(self, mariadb: Database) -> SqlUsage:
        return await _prepared(mariadb)
