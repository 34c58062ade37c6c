"""Writes issued sessions behind: a token never waits for the database.

While the database is down tokens are issued all the same and their sessions follow; past the bound the oldest are given up and
counted: such a session is not listed, yet ends with its app's, device's or key's revocation like any other.
"""

import asyncio
from collections import deque
from itertools import islice

import structlog

from core.errors import PlatformError
from core.sessions import AppSession, AppSessions

_BATCH = 500
_LONGEST_PAUSE_S = 5.0
_log = structlog.get_logger("gateway.sessions")


class SessionLog:
    """One for a process. `dropped` counts the sessions that were given up."""

    def __init__(self, sessions: AppSessions, *, max_waiting: int = 10_000, interval_s: float = 0.2) -> None:
        self._sessions = sessions
        self._max_waiting = max_waiting
        self._interval_s = interval_s
        self._waiting: deque[AppSession] = deque()
        self._turn = asyncio.Lock()
        self.dropped = 0

    def add(self, session: AppSession) -> None:
        """Never waits, never raises."""
        if len(self._waiting) >= self._max_waiting:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(session)

    def __len__(self) -> int:
        return len(self._waiting)

    async def flush(self) -> None:
        """Write all that waits. Raises Unavailable, and keeps it, while the database is down."""
        async with self._turn:
            while batch := list(islice(self._waiting, _BATCH)):
                dropped = self.dropped
                await self._sessions.add(batch)
                for _ in range(len(batch) - (self.dropped - dropped)):  # the front may have been dropped meanwhile
                    self._waiting.popleft()

    async def run(self) -> None:
        """Flush again and again; when cancelled, once more."""
        pause_s = self._interval_s
        try:
            while True:
                await asyncio.sleep(pause_s)
                pause_s = await self._tried(pause_s)
        finally:
            await asyncio.shield(self._tried(pause_s))

    async def _tried(self, pause_s: float) -> float:
        """How long to wait for the next turn."""
        try:
            await self.flush()
        except PlatformError as error:
            if pause_s == self._interval_s:
                _log.warning("issued sessions wait for the database", waiting=len(self), detail=error.detail)
            return min(pause_s * 2, max(_LONGEST_PAUSE_S, self._interval_s))
        if pause_s != self._interval_s:
            _log.info("issued sessions are written again", dropped=self.dropped)
        return self._interval_s
