"""Each real server with its real client, before and after it was killed."""

import asyncio
import os
import ssl
from contextlib import suppress
from pathlib import Path

import aio_pika
import aioftp
import aiomysql
import pytest
import redis.asyncio
import redis.exceptions
import zeep
import zeep.exceptions
import zeep.transports
from pamqp.common import FieldTable

from tests.servers.ftp import FTPServer
from tests.servers.mariadb import MariaDBDatabase, MariaDBServer
from tests.servers.rabbitmq import RabbitMQBroker
from tests.servers.redis import RedisServer
from tests.servers.soap import PHPSOAPServer, seeded_members


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.servers
async def test_redis_is_empty_again_after_a_kill(redis_server: RedisServer, redis_url: str) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        await client.set("quota", 1)
        assert await client.get("quota") == b"1"
    first = redis_server.pid
    redis_server.kill()
    assert not _lives(first)
    async with redis.asyncio.from_url(redis_url) as client:
        with pytest.raises(redis.exceptions.ConnectionError):
            await client.ping()
    redis_server.start()
    async with redis.asyncio.from_url(redis_url) as client:
        assert await client.get("quota") is None


@pytest.mark.servers
async def test_redis_url_is_flushed_and_started(redis_server: RedisServer) -> None:
    redis_server.kill()
    redis_server.flush()
    async with redis.asyncio.from_url(redis_server.url) as client:
        assert await client.dbsize() == 0


async def _rows(where: MariaDBDatabase, statement: str) -> list[tuple[object, ...]]:
    connection = await aiomysql.connect(
        host=where.host,
        port=where.port,
        user=where.user,
        password=where.password,
        db=where.database,
        autocommit=True,
        charset="utf8mb4",
    )
    try:
        async with connection.cursor() as cursor:
            await cursor.execute(statement)
            return list(await cursor.fetchall())
    finally:
        connection.close()


@pytest.mark.servers
async def test_mariadb_keeps_committed_rows_over_a_kill(mariadb_server: MariaDBServer, mariadb_database: MariaDBDatabase) -> None:
    await _rows(mariadb_database, "CREATE TABLE owner (id INT PRIMARY KEY, name VARCHAR(50)) ENGINE=InnoDB")
    await _rows(mariadb_database, "INSERT INTO owner VALUES (1, '业主甲')")
    mariadb_server.kill()
    mariadb_server.start()
    assert await _rows(mariadb_database, "SELECT name FROM owner") == [("业主甲",)]


@pytest.mark.servers
async def test_mariadb_databases_are_apart_and_logged_by_row(
    mariadb_server: MariaDBServer, mariadb_database: MariaDBDatabase
) -> None:
    other = mariadb_server.fresh_database()
    assert other.database != mariadb_database.database
    assert await _rows(other, "SHOW TABLES") == []
    assert await _rows(other, "SELECT @@binlog_format, @@binlog_row_image") == [("ROW", "FULL")]
    assert await _rows(other, "SHOW MASTER STATUS")


async def _publish(channel: aio_pika.abc.AbstractChannel, queue: str, body: bytes) -> None:
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    await channel.default_exchange.publish(message, routing_key=queue)


async def _first(url: str, name: str, arguments: FieldTable) -> bytes:
    """The queue's first message. What is asked of a queue that has no leader yet after a restart may never be answered: it is asked
    again over a new connection."""
    async with asyncio.timeout(120):
        while True:
            with suppress(TimeoutError):
                async with await aio_pika.connect(url) as connection:
                    channel = await connection.channel()
                    queue = await channel.declare_queue(name, durable=True, arguments=arguments)
                    message = await queue.get(timeout=10)
                    assert message is not None
                    await message.ack()
                    return message.body


@pytest.mark.servers
async def test_rabbitmq_quorum_queue_survives_a_kill(rabbitmq_server: RabbitMQBroker, rabbitmq_url: str) -> None:
    quorum: FieldTable = {"x-queue-type": "quorum"}
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("orders", durable=True, arguments=quorum)
        await _publish(channel, "orders", b"kept")
    await asyncio.to_thread(rabbitmq_server.kill)
    with pytest.raises(OSError, match="Connect call failed"):
        await aio_pika.connect(rabbitmq_url)
    await asyncio.to_thread(rabbitmq_server.start)
    assert await _first(rabbitmq_url, "orders", quorum) == b"kept"


@pytest.mark.servers
async def test_rabbitmq_virtual_hosts_are_apart(rabbitmq_server: RabbitMQBroker, rabbitmq_url: str) -> None:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("leads", durable=True)
    other = rabbitmq_server.fresh_vhost()
    assert rabbitmq_server.management("GET", f"/api/queues/{other}") == []
    rabbitmq_server.delete_vhost(other)


@pytest.mark.servers
async def test_ftp_upload_lands_in_the_root_folder(ftp_server: FTPServer, ftp_root: Path) -> None:
    async with aioftp.Client.context(ftp_server.host, ftp_server.port, ftp_server.user, ftp_server.password) as client:
        async with client.upload_stream("buildings.csv") as stream:
            await stream.write("楼栋,1\n".encode("gb18030"))
        names = [str(path) for path, _ in await client.list()]
    assert names == ["buildings.csv"]
    assert (ftp_root / "buildings.csv").read_bytes() == "楼栋,1\n".encode("gb18030")


@pytest.mark.servers
async def test_ftp_offers_tls_and_comes_back_after_a_kill(ftp_server: FTPServer, ftp_root: Path) -> None:
    (ftp_root / "kept.csv").write_bytes(b"1\n")
    ftp_server.kill()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(ftp_server.host, ftp_server.port)
    ftp_server.start()
    trust = ssl.create_default_context(cafile=str(ftp_server.certificate.certificate))
    client = aioftp.Client()
    await client.connect(ftp_server.host, ftp_server.port)
    await client.upgrade_to_tls(sslcontext=trust)
    await client.login(ftp_server.user, ftp_server.password)
    assert str(await client.get_current_directory()) == "/"
    await client.quit()
    assert (ftp_root / "kept.csv").exists()


def _soap_calls(server: PHPSOAPServer, port: str) -> None:
    with zeep.transports.Transport(timeout=10).session as session:
        client = zeep.Client(server.wsdl_url, transport=zeep.transports.Transport(session=session))
        service = client.bind("Members", port)
        page = service.ListMembers(offset=20, limit=10)
        assert page.total == len(seeded_members())
        assert [member.memberId for member in page.member] == [f"M{number:04}" for number in range(21, 26)]
        assert service.GetMember(memberId="M0001").name == "会员1"
        assert service.PutMember(member={"memberId": "M9000", "name": "新会员", "points": 5}) is True
        assert service.PutMember(member={"memberId": "M9000", "name": "改名", "points": 6}) is False
        with pytest.raises(zeep.exceptions.Fault, match="there is no member M404") as caught:
            service.GetMember(memberId="M404")
        assert caught.value.detail is not None
        assert "NoSuchMember" in "".join(caught.value.detail.itertext())


@pytest.mark.servers
@pytest.mark.parametrize("port", ["MembersSoap", "MembersSoap12"])
def test_soap_pages_gets_puts_and_faults(php_soap_server: PHPSOAPServer, port: str) -> None:
    _soap_calls(php_soap_server, port)
    assert php_soap_server.members()["M9000"]["name"] == "改名"
    assert len(php_soap_server.members()) == len(seeded_members()) + 1


@pytest.mark.servers
def test_soap_members_survive_a_kill(php_soap_server: PHPSOAPServer) -> None:
    with zeep.transports.Transport(timeout=10).session as session:
        transport = zeep.transports.Transport(session=session)
        zeep.Client(php_soap_server.wsdl_url, transport=transport).service.PutMember({"memberId": "M1", "name": "甲"})
        php_soap_server.kill()
        php_soap_server.start()
        client = zeep.Client(php_soap_server.wsdl_url, transport=transport)
        assert client.service.GetMember("M1").name == "甲"
