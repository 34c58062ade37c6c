"""The one protocol of data services, whatever the front: JSON today, SOAP and the channel later.

Fronts translate; they hold no data logic.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from core.schema import Record
from core.stores import Saga

Tier = Literal["app", "cache", "db", "source"]


class Caller(Struct, frozen=True):
    """On whose behalf, until when (monotonic seconds), and under which request id."""

    app: str
    request_id: str
    deadline: float


class Answer(Struct, frozen=True):
    """`body` is JSON, packed once. `tier` and `age_s` say where it came from and how old it is."""

    body: bytes
    tier: Tier
    age_s: float = 0.0
    etag: str = ""
    status: int = 200
    next_cursor: str | None = None
    last_version: int = 0


class Write(Struct, frozen=True):
    """A keyed write: `changes` None deletes. `expected` is the ETag from If-Match; `is_new` refuses a key that exists."""

    key: str
    changes: Record | None
    idempotency_key: str
    expected: str | None = None
    is_new: bool = False


class TransactionService(Protocol):
    """Writes to several services that are all applied, or all taken back."""

    async def begin(self, writes: Sequence[tuple[str, Write]], once: str, caller: Caller) -> Saga:
        """Do all of them in order; `writes` are pairs of service and write. Gives the saga done, refused or stuck.

        Unavailable (`transaction_pending`) where it goes on without the caller.
        """
        ...

    async def look(self, saga_id: str, caller: Caller) -> Saga:
        """A transaction of this app. NotFound for every other."""
        ...


class DataService(Protocol):
    """Reads and writes of one service. Raises PlatformError only; a method that the kind lacks raises InvalidInput."""

    async def get(self, key: str, caller: Caller) -> Answer:
        """One record by its key (parts of a compound key joined by `~`). NotFound if there is none."""
        ...

    async def query(self, filters: Sequence[tuple[str, str]], *, limit: int, cursor: str | None, caller: Caller) -> Answer:
        """Records that equal all filters, `{"data": [...], "next_cursor": ...}`; InvalidInput names an unknown filter."""
        ...

    async def write(self, write: Write, caller: Caller) -> Answer:
        """Apply at the source, mirror and publish: once, whatever is repeated or crashes."""
        ...

    async def changes(self, *, since: int, limit: int, wait_s: float, caller: Caller) -> Answer:
        """What changed after version `since`; waits up to `wait_s` for the first change (long poll)."""
        ...
