"""Console users, kept as resources of kind `user`: an operator may change things, a viewer may only read (the API checks it)."""

import re
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from config.types import convert
from core.clock import epoch_ms
from core.database import Database, Session
from core.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from core.secret import Secret
from core.stores import Edit, Resource
from registry.changes import Changes, VersionedResources
from registry.login_attempts import LoginAttempts
from registry.passwords import Passwords, fresh_password
from registry.sessions import TABLE as SESSIONS_TABLE
from registry.sessions import Sessions
from registry.tables import Tables

KIND = "user"
FIRST_OPERATOR = "operator"
Role = Literal["operator", "viewer"]
_ROLES = ("operator", "viewer")
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,62}")
_SESSION_S = 12 * 3600
_LONGEST_TOKEN_S = 366 * 86_400


class UserBody(Struct, frozen=True):
    """What is kept."""

    role: Role
    password_hash: str


class User(Struct, frozen=True):
    """Who is at the console or calls the management API."""

    name: str
    role: Role


class Users:
    """Accounts, logins, sessions and automation tokens. The tables are made at the first use."""

    def __init__(
        self,
        resources: VersionedResources,
        database: Database,
        *,
        passwords: Passwords | None = None,
        now_ms: Callable[[], int] = epoch_ms,
    ) -> None:
        self._resources = resources
        self._changes = Changes(resources)
        self._passwords = passwords or Passwords()
        self._attempts = LoginAttempts(database)
        self._sessions = Sessions(database)
        self._now_ms = now_ms
        self._tables = Tables(database, SESSIONS_TABLE, self._make_tables)

    async def _make_tables(self, session: Session) -> None:
        await self._attempts.make_table(session)
        await self._sessions.make_table(session)

    async def ensure_operator(self) -> Secret | None:
        """At the first start, where there is no operator: make one named `operator` and give its password, this once."""
        _, stored = await self._resources.all()
        if _operators(stored):
            return None
        password = fresh_password()
        body = UserBody("operator", await self._passwords.hash(password, name=FIRST_OPERATOR))
        is_made = False

        def decide(stored: Sequence[Resource]) -> Sequence[Edit]:
            nonlocal is_made
            is_made = not _operators(stored)  # another node may have been faster
            return [Edit(KIND, FIRST_OPERATOR, msgspec.to_builtins(body))] if is_made else []

        await self._changes.make(decide, actor="platform")
        return password if is_made else None

    async def create(self, name: str, password: Secret, role: Role, *, actor: str) -> User:
        """Conflict where the name is taken; InvalidInput for a bad name, role or password."""
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"user name '{name[:80]}': lower case letters, digits, dot, hyphen, underscore; at most 63")
        _check_role(role)
        body = UserBody(role, await self._passwords.hash(password, name=name))

        def decide(stored: Sequence[Resource]) -> Sequence[Edit]:
            if any((each.kind, each.name) == (KIND, name) for each in stored):
                raise Conflict(f"there is a user {name} already; choose another name")
            return [Edit(KIND, name, msgspec.to_builtins(body), expected=0)]

        await self._changes.make(decide, actor=actor)
        return User(name, role)

    async def set_password(self, name: str, password: Secret, *, actor: str) -> None:
        """Ends every session and token of the user and any lock of the account."""
        await self._tables.ready()
        hashed = await self._passwords.hash(password, name=name)
        await self._change(name, lambda body: msgspec.structs.replace(body, password_hash=hashed), actor=actor)
        await self._sessions.end_all_of(name)
        await self._attempts.succeeded(name)

    async def set_role(self, name: str, role: Role, *, actor: str) -> None:
        """Holds from the user's next request on. Conflict where no operator would be left."""
        _check_role(role)
        await self._change(name, lambda body: msgspec.structs.replace(body, role=role), actor=actor)

    async def delete(self, name: str, *, actor: str) -> None:
        """Ends the user's sessions and tokens too. Conflict for the last operator."""
        await self._tables.ready()
        await self._change(name, lambda _: None, actor=actor)
        await self._sessions.end_all_of(name)

    async def all(self) -> list[User]:
        """By name."""
        _, stored = await self._resources.all()
        return [_user(resource) for resource in stored if resource.kind == KIND]

    async def login(self, name: str, password: Secret, *, address: str) -> tuple[Secret, User]:
        """A session token for 12 hours. Unauthenticated, never saying which of the two was wrong; Limited while locked."""
        await self._tables.ready()
        is_possible = _NAME.fullmatch(name) is not None
        found = await self._resources.get(KIND, name) if is_possible else None
        if is_possible:
            await self._attempts.begin(name, is_known=found is not None, now_ms=self._now_ms())
        if not await self._passwords.verify(_body(found).password_hash if found else None, password) or found is None:
            raise Unauthenticated("the name or the password is wrong")
        await self._attempts.succeeded(name)
        token = await self._sessions.begin(name, prefix="zs_", address=address, now_ms=self._now_ms(), ttl_s=_SESSION_S)
        # The password may have been changed, and all sessions ended, while the old one was being verified.
        now = await self._resources.get(KIND, name)
        if now is None or _body(now).password_hash != _body(found).password_hash:
            await self._sessions.end(token)
            raise Unauthenticated("the account was changed just now; log in again")
        return token, _user(now)

    async def identify(self, token: Secret) -> User:
        """Whose session or automation token this is. Raises Unauthenticated."""
        await self._tables.ready()
        name = await self._sessions.user_of(token, now_ms=self._now_ms())
        found = await self._resources.get(KIND, name) if name else None
        if found is None:
            raise Unauthenticated("the session has ended or the token is unknown; log in again")
        return _user(found)

    async def logout(self, token: Secret) -> None:
        """End a session or an automation token."""
        await self._tables.ready()
        await self._sessions.end(token)

    async def issue_token(self, user: str, *, ttl_s: float) -> Secret:
        """A token for scripts with the user's own role, shown once. InvalidInput for more than a year; NotFound."""
        if not 0 < ttl_s <= _LONGEST_TOKEN_S:
            raise InvalidInput(f"a token may live up to {_LONGEST_TOKEN_S} s (a year), not {ttl_s:g} s")
        await self._tables.ready()
        if await self._resources.get(KIND, user) is None:
            raise NotFound(f"there is no user {user}")
        return await self._sessions.begin(user, prefix="zt_", address="", now_ms=self._now_ms(), ttl_s=ttl_s)

    async def _change(self, name: str, change: Callable[[UserBody], UserBody | None], *, actor: str) -> None:
        def decide(stored: Sequence[Resource]) -> Sequence[Edit]:
            found = next((each for each in stored if (each.kind, each.name) == (KIND, name)), None)
            if found is None:
                raise NotFound(f"there is no user {name}")
            changed = change(_body(found))
            if _operators(stored) == [name] and (changed is None or changed.role != "operator"):
                raise Conflict(f"user {name} is the last operator; make another one first")
            return [Edit(KIND, name, None if changed is None else msgspec.to_builtins(changed))]

        await self._changes.make(decide, actor=actor)


def _check_role(role: str) -> None:
    if role not in _ROLES:
        raise InvalidInput(f"role '{role}' is unknown; there are {', '.join(_ROLES)}")


def _body(resource: Resource) -> UserBody:
    return convert(resource.body, UserBody)


def _user(resource: Resource) -> User:
    return User(resource.name, _body(resource).role)


def _operators(stored: Sequence[Resource]) -> list[str]:
    return [each.name for each in stored if each.kind == KIND and each.body["role"] == "operator"]
