"""Two gateway-like processes learn of a revocation within a second: by the bus, by the database, by either alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from bus.embedded import EmbeddedTransport
from bus.rabbitmq import RabbitTransport
from core.bus import Envelope, Subscription, Transport
from core.clock import epoch_ms
from core.database import Database
from core.ids import new_id
from core.sessions import REVOKED_PATTERN, Revocation, revocation_of
from core.supervise import Tasks
from gateway.numbered_feed import NumberedFeed
from gateway.revocations import Revocations
from registry.app_sessions import Revoker, SqlAppSessions
from storage.sqlite import open_sqlite
from tests.gateway.session_outage import Interrupted

WITHIN_S = 60.0
Open = Callable[[], Awaitable[Transport]]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_sqlite(tmp_path / "platform.db")
    yield opened
    await opened.close()


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.servers)])
async def open_bus(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """One more connection to the same bus at each call, as each process has its own."""
    async with AsyncExitStack() as stack:
        url = request.getfixturevalue("rabbitmq_url") if request.param == "rabbitmq" else ""

        async def open_one() -> Transport:
            transport = RabbitTransport(url, node=new_id()) if url else EmbeddedTransport(tmp_path / "bus.db")
            await transport.open()
            stack.push_async_callback(transport.close)
            return transport

        yield open_one


@asynccontextmanager
async def node(bus: Transport | None, sessions: SqlAppSessions, *, interval_s: float = 0.5) -> AsyncIterator[Revocations]:
    """What a gateway process does: catch up, then follow bus and database."""
    failures: list[str] = []
    tasks = Tasks(lambda name, error: failures.append(f"{name}: {error!r}"))
    revocations = Revocations()
    feed = NumberedFeed("revocations", sessions.revocations, revocations.revoke, revocation_of, interval_s=interval_s)
    if bus is not None:
        name = f"revocations-{new_id()}"
        reader = await bus.subscribe(Subscription(name, REVOKED_PATTERN, channel="control", durable=False))
        tasks.spawn(feed.listen(reader), name="listen")
    await feed.catch_up()
    tasks.spawn(feed.poll(), name="poll")
    try:
        yield revocations
    finally:
        await tasks.close()
        assert failures == []


async def is_seen(*nodes: Revocations, session: str, app: str = "", within_s: float = WITHIN_S) -> None:
    """Fails where a node does not know of it in time."""
    async with asyncio.timeout(within_s):
        while not all(each.is_revoked(session, app) for each in nodes):  # noqa: ASYNC110  # as a request would ask
            await asyncio.sleep(0.01)


@pytest.mark.req("0.38")
async def test_every_node_knows_by_the_bus(open_bus: Open, database: Database) -> None:
    sessions = SqlAppSessions(database)
    never_s = 3600.0
    async with (
        node(await open_bus(), sessions, interval_s=never_s) as one,
        node(await open_bus(), sessions, interval_s=never_s) as two,
    ):
        revoker, ended, other = Revoker(sessions, await open_bus(), node="office"), new_id(), new_id()
        await revoker.session(ended, expires_ms=epoch_ms() + 60_000, by="li")
        await is_seen(one, two, session=ended)
        assert not one.is_revoked(other, "shop")
        await revoker.all_of("app", "shop", lifetime_s=3600, by="li")
        await is_seen(one, two, session=other, app="shop")


async def test_every_node_knows_by_the_database_while_the_bus_is_down(tmp_path: Path, database: Database) -> None:
    sessions = SqlAppSessions(database)
    bus = EmbeddedTransport(tmp_path / "bus.db")
    await bus.open()
    await bus.close()
    async with node(None, sessions) as one, node(None, sessions) as two:
        ended = new_id()
        await Revoker(sessions, bus, node="office").session(ended, expires_ms=epoch_ms() + 60_000, by="li")
        await is_seen(one, two, session=ended)


async def test_a_node_that_starts_later_knows_before_it_serves(database: Database) -> None:
    sessions = SqlAppSessions(database)
    ended = [new_id() for _ in range(3)]
    for each in ended:
        await sessions.revoke(_revocation(each))
    async with node(None, sessions, interval_s=3600) as late:
        assert all(late.is_revoked(each) for each in ended)


async def test_more_than_a_page_is_read_at_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.numbered_feed._PAGE", 2)
    await test_a_node_that_starts_later_knows_before_it_serves(database)


async def test_a_node_whose_database_was_down_catches_up_when_it_is_back(database: Database) -> None:
    ended = new_id()
    await SqlAppSessions(database).revoke(_revocation(ended))
    store = Interrupted(database)
    async with node(None, store, interval_s=0.05) as late:
        await asyncio.sleep(0.2)
        assert not late.is_revoked(ended)
        store.is_down = False
        await is_seen(late, session=ended)


async def test_a_strange_control_message_is_passed_over(tmp_path: Path, database: Database) -> None:
    sessions = SqlAppSessions(database)
    bus = EmbeddedTransport(tmp_path / "bus.db")
    await bus.open()
    async with node(bus, sessions, interval_s=3600) as one:
        for data in (b"", b"[]", b'{"scope": "planet", "name": "x", "last": "x", "until_ms": 1, "at_ms": 1, "by": ""}'):
            await bus.publish([Envelope(new_id(), "revoked.session", "x", 1, "k", 1, "application/json", data)], channel="control")
        ended = new_id()
        await Revoker(sessions, bus, node="office").session(ended, expires_ms=epoch_ms() + 60_000, by="li")
        await is_seen(one, session=ended)
    await bus.close()


def _revocation(session: str) -> Revocation:
    return Revocation("session", session, session, epoch_ms() + 60_000, epoch_ms(), "li")
