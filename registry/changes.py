"""Read, decide, commit, with nothing in between: how every change of the registry is made, whoever makes it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from core.errors import Conflict
from core.stores import Edit, Resource, Resources

_ATTEMPTS = 5


class RevisionMoved(Conflict):
    """Somebody else has changed the registry since it was read. The caller reads again and decides anew."""


class VersionedResources(Resources, Protocol):
    """Resources whose commit can also insist on the revision that was read, so that cross-references stay true."""

    async def commit(self, edits: Sequence[Edit], *, actor: str, at: int | None = None) -> int:
        """As in Resources; RevisionMoved, and nothing changed, where the registry is no longer at revision `at`."""
        ...


Decide = Callable[[Sequence[Resource]], Sequence[Edit]]
"""From all resources to the edits wished, without I/O; raises what forbids the change. Runs in a thread, and again when
others were faster."""


class Changes:
    """Makes changes one after the other in this process; other processes are noticed by the revision and given way to."""

    def __init__(self, resources: VersionedResources) -> None:
        self._resources = resources
        self._turn = asyncio.Lock()

    async def make(self, decide: Decide, *, actor: str) -> int:
        """Decide on what is there and commit it; the revision afterwards. RevisionMoved when others keep being faster."""
        async with self._turn:
            for _ in range(_ATTEMPTS - 1):
                try:
                    return await self._attempt(decide, actor)
                except RevisionMoved:
                    continue
            return await self._attempt(decide, actor)

    async def _attempt(self, decide: Decide, actor: str) -> int:
        revision, resources = await self._resources.all()
        edits = await asyncio.to_thread(decide, resources)  # checking thousands of resources must not stop the loop
        return await self._resources.commit(edits, actor=actor, at=revision) if edits else revision
