"""A real MariaDB through the suite of databases; addresses and logins that are wrong; a server that goes and comes."""

import pytest

from core.database import Database
from core.errors import ConfigError, NotConnected, Unavailable
from storage.mysql import open_mysql
from tests.conformance.database_suite import DatabaseSuite, ids, insert, make_table
from tests.servers.mariadb import MariaDBServer


@pytest.mark.servers
class TestOnMariaDB(DatabaseSuite):
    @pytest.fixture
    def database(self, mariadb: Database) -> Database:
        return mariadb


@pytest.mark.parametrize("url", ["postgres://a:b@h/d", "mysql://user:s3cret@host", "mysql:///d"])
async def test_an_address_that_is_none_is_refused_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected mysql://user") as refused:
        await open_mysql(url)
    assert "s3cret" not in str(refused.value)


async def test_nobody_there_is_not_connected(free_port: int) -> None:
    with pytest.raises(NotConnected, match=f"database d at 127.0.0.1:{free_port}"):
        await open_mysql(f"mysql://u:p@127.0.0.1:{free_port}/d")


@pytest.mark.servers
async def test_a_wrong_password_is_a_matter_of_configuration(mariadb_url: str) -> None:
    with pytest.raises(ConfigError, match="Access denied") as refused:
        await open_mysql(mariadb_url.replace(":mariadb-test-password", ":wr0ng"))
    assert "wr0ng" not in str(refused.value)


@pytest.mark.servers
async def test_a_killed_server_is_unavailable_and_used_again_when_it_is_back(
    mariadb_server: MariaDBServer, mariadb: Database
) -> None:
    await make_table(mariadb)
    await insert(mariadb, "kept")
    with pytest.raises(Unavailable, match=r"database test_\d+ at 127\.0\.0\.1"):
        await _insert_while_it_dies(mariadb, mariadb_server)
    with pytest.raises((Unavailable, NotConnected)):
        await mariadb.check()
    mariadb_server.start()
    await mariadb.check()
    assert await ids(mariadb) == ["kept"]


async def _insert_while_it_dies(database: Database, server: MariaDBServer) -> None:
    async with database.transaction() as session:
        await session.execute("INSERT INTO t (id) VALUES (?)", ("lost",))
        server.kill()
        await session.execute("INSERT INTO t (id) VALUES (?)", ("lost too",))
