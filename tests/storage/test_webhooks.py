"""The stores of webhooks on SQLite and on a real MariaDB, through one suite."""

import pytest

from core.database import Database
from tests.conformance.webhooks_suite import WebhooksSuite


class TestOnSqlite(WebhooksSuite):
    @pytest.fixture
    def database(self, sqlite: Database) -> Database:
        return sqlite


@pytest.mark.servers
class TestOnMariaDB(WebhooksSuite):
    @pytest.fixture
    def database(self, mariadb: Database) -> Database:
        return mariadb
