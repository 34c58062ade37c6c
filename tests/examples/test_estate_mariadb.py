"""The property system in a real MariaDB: loaded once, whole, and changed by the drip."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pymysql
import pytest

from examples.estate.mariadb import MariadbAddress, MariadbStore, load_property
from examples.estate.store import StoreError
from examples.estate.tables import PROPERTY
from tests.servers.mariadb import MariaDBDatabase


def address(database: MariaDBDatabase) -> MariadbAddress:
    return MariadbAddress(database.host, database.port, database.user, database.password, database.database)


@pytest.mark.servers
async def test_property_is_loaded_once_and_whole(mariadb_database: MariaDBDatabase, generated: Path) -> None:
    there = address(mariadb_database)
    assert await load_property(there, generated / "property.db") is True
    store = MariadbStore(there)
    with closing(sqlite3.connect(generated / "property.db")) as source:
        for table in PROPERTY:
            count = source.execute(f"SELECT count(*) FROM {table.name}").fetchone()
            assert await store.fetch(f"SELECT count(*) FROM {table.name}", ()) == [count]
        names = source.execute("SELECT owner_id, owner_name FROM owner ORDER BY 1").fetchall()
    assert await store.fetch("SELECT owner_id, owner_name FROM owner ORDER BY 1", ()) == names
    zero = await store.fetch("SELECT count(*) FROM room WHERE CAST(handover_on AS CHAR) = ?", ("0000-00-00",))
    assert zero[0][0] > 0
    await store.execute([("UPDATE building SET city = ? WHERE building_id = ?", ("成都市", "CD01-01"))])
    assert await load_property(there, generated / "property.db") is False
    assert await store.fetch("SELECT city FROM building WHERE building_id = ?", ("CD01-01",)) == [("成都市",)]


@pytest.mark.servers
async def test_a_failing_statement_leaves_nothing_behind(mariadb_database: MariaDBDatabase, generated: Path) -> None:
    there = address(mariadb_database)
    await load_property(there, generated / "property.db")
    store = MariadbStore(there)
    with pytest.raises(StoreError, match="nowhere"):
        await store.execute([("DELETE FROM resident", ()), ("DELETE FROM nowhere", ())])
    assert (await store.fetch("SELECT count(*) FROM resident", ()))[0][0] == 275


@pytest.mark.servers
async def test_a_wrong_password_is_told_without_it(mariadb_database: MariaDBDatabase) -> None:
    there = MariadbAddress(mariadb_database.host, mariadb_database.port, "nobody", "s3cret", mariadb_database.database)
    with pytest.raises(StoreError, match="Access denied") as caught:
        await MariadbStore(there).fetch("SELECT 1", ())
    assert "s3cret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, pymysql.MySQLError)


def test_addresses_are_read_from_a_url() -> None:
    read = MariadbAddress.parse("mysql://us%40er:p%2Fw@db.example:3307/estate")
    assert read == MariadbAddress("db.example", 3307, "us@er", "p/w", "estate")
    assert MariadbAddress.parse("mysql://u@h/d").port == 3306
    with pytest.raises(ValueError, match="wants mysql://"):
        MariadbAddress.parse("mysql://h/d")
