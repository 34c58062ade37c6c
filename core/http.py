"""Requests and responses as the gateway's rooms see them: plain values that know no HTTP server.

`gateway/listener` alone turns a server's own objects into these; it can be replaced without touching anything else.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from core.ids import RequestId


@dataclass(slots=True)
class Request:
    """One request. `headers` has lower-case names; a repeated header is joined by `, ` (RFC 9110 §5.3).

    `query` keeps the pairs in order, decoded. `body()` reads the whole body, bounded by the listener's limit, once.
    """

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    remote: str
    request_id: RequestId
    deadline: float  # monotonic seconds
    body: Callable[[], Awaitable[bytes]]
    scheme: str = "http"
    attributes: dict[str, Any] = field(default_factory=dict)  # what stages leave for later ones


@dataclass(slots=True)
class Response:
    """One answer with its whole body, or, where `stream` is set, pieces written as they come."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    stream: Callable[["Stream"], Awaitable[None]] | None = None


class Stream(Protocol):
    """The open body of a streamed answer (server-sent events)."""

    async def write(self, data: bytes) -> None:
        """Send a piece, waiting while the reader is slow. Raises NotConnected when the reader has gone."""
        ...


Handler = Callable[[Request], Awaitable[Response]]


class Stage(Protocol):
    """One step in front of a handler, in one file under `gateway/stages/`.

    Stages are composed once when a snapshot is loaded: a stage that is switched off is absent from the chain.
    """

    def __call__(self, following: Handler) -> Handler:
        """Wrap what follows. A stage refuses by raising a PlatformError; `gateway/problems` alone makes it an answer."""
        ...
