"""What the stages that change an answer's body have in common: its header fields afterwards, and where the work is done."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.stage import Request

T = TypeVar("T")
LARGE_BYTES = 256 * 1024
"""A body over this is worked on in a thread: it would hold up every other request for milliseconds."""

_OF_THE_BYTES = frozenset({"content-length", "content-md5", "content-digest", "repr-digest", "accept-ranges"})


def changed_headers(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without the fields that tell of the bytes as they were; a strong entity tag becomes a weak one (RFC 9110 §8.8.1)."""
    kept = []
    for name, value in headers:
        lower = name.lower()
        if lower == "etag" and not value.startswith("W/"):
            kept.append((name, f"W/{value}"))
        elif lower not in _OF_THE_BYTES:
            kept.append((name, value))
    return kept


def send_understood(request: Request, body: bytes, understood: bytes) -> None:
    """Send the body as a stage has understood it: a member that stands twice in an object (RFC 8259 §4) goes on once, so that
    nobody behind reads another one than was checked. Most clients' bodies are the same bytes and stay."""
    if understood != body:
        request.replace_body(understood, request.headers.get("content-type", "application/json"))
        for name in ("Content-Digest", "Repr-Digest", "Content-MD5"):
            request.remove_header(name)


def worked(size: int, work: Callable[[], T], then: Callable[[T], None]) -> Awaitable[None] | None:
    """Give `then` the result of `work`: at once, or where `size` bytes are many, when a thread has done it."""
    if size <= LARGE_BYTES:
        then(work())
        return None
    return _in_thread(work, then)


async def _in_thread(work: Callable[[], T], then: Callable[[T], None]) -> None:
    then(await asyncio.get_running_loop().run_in_executor(None, work))
