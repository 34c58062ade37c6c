"""Passwords of console users: argon2id (RFC 9106) in a thread, few at a time, because each costs 64 MiB for a moment."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import InvalidInput
from core.secret import Secret

_SHORTEST, _LONGEST = 10, 256
_AT_ONCE = 2


class Passwords:
    """Hashes and verifies. An unknown account costs as much time as a wrong password, so that nobody learns which exist."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._nobody = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: Secret, *, name: str) -> str:
        """Raises InvalidInput for a password of under 10 or over 256 characters, and for the account's own name."""
        length = len(password.reveal())
        if not _SHORTEST <= length <= _LONGEST:
            raise InvalidInput(f"the password has {length} characters; it needs {_SHORTEST} to {_LONGEST}")
        if name.lower() in password.reveal().lower() and length < len(name) + _SHORTEST:
            raise InvalidInput("the password is little more than the account's name; choose another")
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password.reveal())

    async def verify(self, hashed: str | None, password: Secret) -> bool:
        """Whether this is the password; `hashed` None stands for an account that is not there."""
        if len(password.reveal()) > _LONGEST:
            return False
        async with self._turns:
            is_right = await asyncio.to_thread(self._is_right, hashed or self._nobody, password.reveal())
        return is_right and hashed is not None

    def _is_right(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False


def fresh_password() -> Secret:
    """24 random characters."""
    return Secret(secrets.token_urlsafe(18))
