"""Sessions and revocations as both databases keep them, and the revoker that tells every node."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bus.embedded import EmbeddedTransport
from core.bus import Subscription
from core.clock import epoch_ms
from core.database import Database
from core.errors import Unavailable
from core.ids import last_id_at, new_id
from core.sessions import REVOKED_PATTERN, AppSession, Revocation, revocation_of
from registry.app_sessions import Revoker, SqlAppSessions
from storage.sqlite import open_sqlite


@pytest.fixture
def sessions(any_database: Database) -> SqlAppSessions:
    return SqlAppSessions(any_database)


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[EmbeddedTransport]:
    transport = EmbeddedTransport(tmp_path / "bus.db")
    await transport.open()
    yield transport
    await transport.close()


def session(app: str = "shop", *, device: str = "", issued_ms: int | None = None, lives_ms: int = 3_600_000) -> AppSession:
    at_ms = epoch_ms() if issued_ms is None else issued_ms
    name = new_id() if issued_ms is None else last_id_at(issued_ms)
    return AppSession(name, app, "ak_1", device, "", "10.0.0.1", at_ms, at_ms + lives_ms)


def revocation(made: AppSession, *, lives_ms: int = 3_600_000) -> Revocation:
    return Revocation("session", made.id, made.id, epoch_ms() + lives_ms, epoch_ms(), "li")


@pytest.mark.req("0.37")
async def test_sessions_are_listed_newest_first_by_app_and_device_in_pages(sessions: SqlAppSessions) -> None:
    assert await sessions.list() == []
    base = epoch_ms() - 10_000
    made = [session("shop", device="till" if n % 2 else "", issued_ms=base + n) for n in range(6)]
    other = session("other", issued_ms=base + 100)
    await sessions.add([*made, other])
    await sessions.add(made[:2])  # written again after a lost answer
    assert await sessions.list() == [other, *made[::-1]]
    assert await sessions.list(app="shop", device="till") == [made[5], made[3], made[1]]
    first = await sessions.list(app="shop", limit=4)
    assert [*first, *await sessions.list(app="shop", after=first[-1].id)] == made[::-1]
    assert await sessions.get(other.id) == other
    assert await sessions.get("nobody") is None


async def test_what_has_expired_is_not_listed(sessions: SqlAppSessions) -> None:
    old = session(issued_ms=epoch_ms() - 5000, lives_ms=4000)
    await sessions.add([old])
    assert await sessions.list() == []
    assert await sessions.get(old.id) is None


async def test_a_revocation_has_the_next_number_and_a_second_one_of_the_session_is_the_first(sessions: SqlAppSessions) -> None:
    one, two = session(), session()
    await sessions.add([one, two])
    first = await sessions.revoke(revocation(one))
    again = await sessions.revoke(revocation(one))
    second = await sessions.revoke(revocation(two))
    assert again == first
    assert second.number > first.number
    assert await sessions.revocations(since=0) == [first, second]
    assert await sessions.revocations(since=first.number) == [second]
    assert await sessions.revocations(since=0, limit=1) == [first]
    assert {each.id: each.revoked_ms for each in await sessions.list()} == {one.id: first.at_ms, two.id: second.at_ms}


async def test_a_session_whose_row_comes_after_its_revocation_is_shown_as_revoked(sessions: SqlAppSessions) -> None:
    late, later = session("shop", issued_ms=epoch_ms() - 100), session("shop", issued_ms=epoch_ms() + 60_000)
    done = await sessions.revoke(Revocation("app", "shop", last_id_at(epoch_ms()), epoch_ms() + 10_000, epoch_ms(), "li"))
    await sessions.add([late, later])
    assert [each.revoked_ms for each in await sessions.list(app="shop")] == [0, done.at_ms]


@pytest.mark.parametrize("scope", ["app", "device"])
async def test_a_session_of_a_node_whose_clock_is_ahead_is_covered_too(sessions: SqlAppSessions, scope: str) -> None:
    ahead = session("shop", device="till", issued_ms=epoch_ms() + 5000)
    await sessions.add([ahead])
    name = {"app": "shop", "device": "till"}[scope]
    done = await sessions.revoke(Revocation(scope, name, last_id_at(epoch_ms()), epoch_ms(), epoch_ms(), "li"))  # type: ignore[arg-type]
    assert done.last == ahead.id
    assert done.until_ms > ahead.expires_ms
    assert [each.revoked_ms for each in await sessions.list()] == [done.at_ms]


async def test_a_revocation_without_meaning_is_neither_given_nor_kept(sessions: SqlAppSessions, any_database: Database) -> None:
    await sessions.revoke(revocation(session(), lives_ms=-1))
    kept = await sessions.revoke(revocation(session()))
    assert await sessions.revocations(since=0) == [kept]
    assert await any_database.query("SELECT COUNT(*) FROM app_session_revocation") == [(1,)]


async def test_numbers_given_at_once_are_all_found_by_a_reader_that_goes_on_where_it_stood(sessions: SqlAppSessions) -> None:
    wanted = [revocation(session()) for _ in range(12)]
    seen: list[Revocation] = []

    async def follow() -> None:
        while len(seen) < len(wanted):
            seen.extend(await sessions.revocations(since=seen[-1].number if seen else 0))

    async with asyncio.timeout(60):
        await asyncio.gather(follow(), *(sessions.revoke(each) for each in wanted))
    assert {each.name for each in seen} == {each.name for each in wanted}


async def test_the_revoker_tells_the_bus_what_it_kept(sessions: SqlAppSessions, bus: EmbeddedTransport) -> None:
    reader = await bus.subscribe(Subscription("node-1", REVOKED_PATTERN, channel="control", durable=False))
    revoker, made = Revoker(sessions, bus, node="test"), session()
    one = await revoker.session(made.id, expires_ms=made.expires_ms, by="operator li")
    every = await revoker.all_of("app", "shop", lifetime_s=3600, by="operator li")
    assert every.last >= made.id
    assert await sessions.revocations(since=0) == [one, every]
    async with asyncio.timeout(60):
        assert [revocation_of((await reader.next()).envelope) for _ in range(2)] == [one, every]


async def test_while_the_database_is_down_the_nodes_are_told_and_the_caller_too(tmp_path: Path, bus: EmbeddedTransport) -> None:
    reader = await bus.subscribe(Subscription("node-1", REVOKED_PATTERN, channel="control", durable=False))
    database = await open_sqlite(tmp_path / "gone.db")
    await database.close()
    with pytest.raises(Unavailable):
        await Revoker(SqlAppSessions(database), bus, node="test").session("s1", expires_ms=epoch_ms() + 1000, by="li")
    async with asyncio.timeout(60):
        told = revocation_of((await reader.next()).envelope)
    assert (told.name, told.number) == ("s1", 0)


async def test_while_the_bus_is_down_the_revocation_is_kept(sessions: SqlAppSessions, bus: EmbeddedTransport) -> None:
    await bus.close()
    done = await Revoker(sessions, bus, node="test").session("s1", expires_ms=epoch_ms() + 1000, by="li")
    assert await sessions.revocations(since=0) == [done]
