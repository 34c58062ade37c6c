"""What the replay store says about a proof, at once or later, as what a means answers: who proved it, or a refusal."""

from collections.abc import Awaitable
from typing import TypeVar

from core.errors import Unauthenticated

Proven = TypeVar("Proven")


def once(proven: Proven, is_new: bool | Awaitable[bool]) -> Proven | Awaitable[Proven]:
    """`proven`, or an awaitable of it. Raises Unauthenticated (replayed), likewise, where the proof has come before."""
    if isinstance(is_new, bool):
        return _checked(proven, is_new)
    return _later(proven, is_new)


async def _later(proven: Proven, is_new: Awaitable[bool]) -> Proven:
    return _checked(proven, await is_new)


def _checked(proven: Proven, is_new: bool) -> Proven:
    if not is_new:
        raise Unauthenticated("this very proof has come before: use a fresh nonce (jti) for each request", code="replayed")
    return proven
