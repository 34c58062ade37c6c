"""Console users: first operator, logins, locks, sessions, automation tokens."""

import asyncio
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from core.database import Database
from core.errors import Conflict, InvalidInput, Limited, NotFound, Unauthenticated
from core.secret import Secret
from registry.passwords import Passwords
from registry.sql_resources import SqlResources
from registry.users import User, Users
from tests.registry.sample import bytes_on_disk

_PASSWORD = Secret("correct horse battery")
_WRONG = Secret("wrong horse battery")
_ADDRESS = "10.0.0.9"


@pytest.fixture
def database(any_database: Database) -> Database:
    return any_database


class Desk:
    """Users under a hand-set clock, with argon2 at its cheapest."""

    def __init__(self, resources: SqlResources, database: Database) -> None:
        self.now_ms = 1_000_000
        cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.users = Users(resources, database, passwords=cheap, now_ms=lambda: self.now_ms)

    async def login(self, password: Secret = _PASSWORD, name: str = "li") -> Secret:
        token, _ = await self.users.login(name, password, address=_ADDRESS)
        return token

    async def fail(self, times: int, name: str = "li") -> None:
        for _ in range(times):
            with pytest.raises(Unauthenticated):
                await self.login(_WRONG, name)


@pytest.fixture
async def desk(resources: SqlResources, database: Database) -> Desk:
    desk = Desk(resources, database)
    await desk.users.create("li", _PASSWORD, "operator", actor="test")
    return desk


@pytest.mark.req("1.01")
async def test_the_first_operator_is_made_once_with_a_password_shown_once(resources: SqlResources, database: Database) -> None:
    nodes = [Desk(resources, database).users for _ in range(3)]
    passwords = [password for password in await asyncio.gather(*(node.ensure_operator() for node in nodes)) if password]
    assert len(passwords) == 1
    token, user = await nodes[0].login("operator", passwords[0], address=_ADDRESS)
    assert user == User("operator", "operator")
    assert await nodes[1].identify(token) == user
    assert await nodes[2].ensure_operator() is None


async def test_a_real_argon2id_hash_is_what_is_kept(resources: SqlResources, database: Database) -> None:
    users = Users(resources, database)
    await users.create("wang", _PASSWORD, "viewer", actor="test")
    kept = await resources.get("user", "wang")
    assert kept is not None
    assert kept.body["password_hash"].startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert (await users.login("wang", _PASSWORD, address=_ADDRESS))[1] == User("wang", "viewer")


async def test_a_wrong_password_and_an_unknown_name_read_the_same(desk: Desk) -> None:
    texts = set()
    for name, password in (("li", _WRONG), ("nobody", _PASSWORD), ("No Name\x00", _PASSWORD), ("", _PASSWORD), ("li", Secret(""))):
        with pytest.raises(Unauthenticated) as caught:
            await desk.login(password, name)
        texts.add(caught.value.detail)
    assert texts == {"the name or the password is wrong"}


async def test_failed_logins_lock_the_account_for_a_growing_time(desk: Desk) -> None:
    await desk.fail(6)
    with pytest.raises(Limited) as caught:
        await desk.login()
    assert caught.value.retry_after_s == 2
    desk.now_ms += 2_000
    await desk.fail(1)
    desk.now_ms += 2_000
    with pytest.raises(Limited) as caught:
        await desk.login()
    assert caught.value.retry_after_s == 2  # of 4
    desk.now_ms += 2_000
    await desk.login()
    await desk.fail(5)  # a success forgets the failures before it


async def test_guesses_made_all_at_once_count_like_guesses_in_a_row(desk: Desk) -> None:
    guesses = await asyncio.gather(*(desk.login(_WRONG) for _ in range(30)), return_exceptions=True)
    assert sum(isinstance(guess, Unauthenticated) for guess in guesses) == 6
    assert sum(isinstance(guess, Limited) for guess in guesses) == 24


async def test_an_unknown_name_is_locked_too_so_that_nobody_learns_which_exist(desk: Desk) -> None:
    await desk.fail(6, name="nobody")
    with pytest.raises(Limited):
        await desk.login(_WRONG, "nobody")
    await desk.login()


async def test_a_session_ends_by_logout_or_after_twelve_hours(desk: Desk) -> None:
    first, second = await desk.login(), await desk.login()
    await desk.users.logout(first)
    await desk.users.logout(first)
    with pytest.raises(Unauthenticated):
        await desk.users.identify(first)
    desk.now_ms += 12 * 3600 * 1000 - 1
    assert (await desk.users.identify(second)).name == "li"
    desk.now_ms += 1
    with pytest.raises(Unauthenticated, match="log in again"):
        await desk.users.identify(second)
    with pytest.raises(Unauthenticated):
        await desk.users.identify(Secret("zs_made-up"))


async def test_tokens_and_passwords_are_not_on_disk(desk: Desk, database: Database, tmp_path: Path) -> None:
    tokens = [await desk.login(), await desk.users.issue_token("li", ttl_s=60)]
    assert "zs_" not in repr(tokens)
    await database.close()
    on_disk = bytes_on_disk(tmp_path)
    assert not any(secret.reveal().encode() in on_disk for secret in (*tokens, _PASSWORD))


async def test_an_automation_token_lives_as_long_as_it_was_given(desk: Desk) -> None:
    token = await desk.users.issue_token("li", ttl_s=60)
    assert await desk.users.identify(token) == User("li", "operator")
    desk.now_ms += 60_000
    with pytest.raises(Unauthenticated):
        await desk.users.identify(token)
    for ttl_s in (0, -1, 400 * 86_400, float("nan")):
        with pytest.raises(InvalidInput, match="a year"):
            await desk.users.issue_token("li", ttl_s=ttl_s)
    with pytest.raises(NotFound):
        await desk.users.issue_token("nobody", ttl_s=60)


async def test_a_new_password_ends_every_session_and_lock(desk: Desk) -> None:
    sessions = [await desk.login(), await desk.users.issue_token("li", ttl_s=3600)]
    await desk.fail(6)
    fresh = Secret("a quite different one")
    await desk.users.set_password("li", fresh, actor="li")
    for session in sessions:
        with pytest.raises(Unauthenticated):
            await desk.users.identify(session)
    await desk.fail(1)
    assert await desk.users.identify(await desk.login(fresh))


@pytest.mark.req("1.01")
async def test_a_role_holds_from_the_next_request_and_one_operator_stays(desk: Desk) -> None:
    await desk.users.create("wang", _PASSWORD, "viewer", actor="li")
    token = await desk.login(name="wang")
    assert (await desk.users.identify(token)).role == "viewer"
    for call in (desk.users.set_role("li", "viewer", actor="li"), desk.users.delete("li", actor="li")):
        with pytest.raises(Conflict, match="last operator"):
            await call
    await desk.users.set_role("wang", "operator", actor="li")
    assert (await desk.users.identify(token)).role == "operator"
    await desk.users.delete("li", actor="wang")
    assert await desk.users.all() == [User("wang", "operator")]
    with pytest.raises(Unauthenticated):
        await desk.login()


async def test_a_deleted_user_is_out_at_once(desk: Desk) -> None:
    await desk.users.create("wang", _PASSWORD, "viewer", actor="li")
    token = await desk.login(name="wang")
    await desk.users.delete("wang", actor="li")
    await desk.users.create("wang", _PASSWORD, "operator", actor="li")
    with pytest.raises(Unauthenticated):
        await desk.users.identify(token)


async def test_names_roles_and_passwords_are_checked(desk: Desk) -> None:
    with pytest.raises(Conflict, match="li already"):
        await desk.users.create("li", _PASSWORD, "viewer", actor="li")
    for name, password, role in (("Li!", _PASSWORD, "viewer"), ("zhao", _PASSWORD, "root"), ("zhao", Secret("short"), "viewer")):
        with pytest.raises(InvalidInput):
            await desk.users.create(name, password, role, actor="li")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="account's name"):
        await desk.users.create("superviewer", Secret("superviewer1"), "viewer", actor="li")
    with pytest.raises(NotFound):
        await desk.users.set_password("nobody", _PASSWORD, actor="li")
