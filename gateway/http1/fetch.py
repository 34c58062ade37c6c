"""A request sent to a route's upstream by the platform itself, and its whole answer: the cache refreshes what is stale with it.

One attempt, no stages, no client. Beside `passage`, which carries a client's request.
"""

import asyncio
import time
from typing import Any

from core.errors import NotConnected, Unavailable
from gateway.http1.carried import DECODED, Carried
from gateway.http1.head import ResponseHead
from gateway.http1.message import Request, Response, pairs_of
from gateway.http1.outbound import dial


class Fetch:
    """Of one route: `proxy` chooses the upstream and makes the head as for a client's request. No answer over `max_bytes`."""

    def __init__(self, proxy: Any, max_bytes: int) -> None:
        self._proxy = proxy
        self._max_bytes = max_bytes

    async def __call__(self, request: Request) -> Response:
        """Raises what choosing an endpoint raises, and Unavailable where no whole answer came before the request's deadline."""
        upstream = self._proxy.upstream_for(request)
        endpoint = upstream.choose(request, None)
        begun, outcome = time.monotonic(), "abandoned"
        fetched = _Fetched(self._max_bytes)
        try:
            async with asyncio.timeout(request.deadline - begun):
                await self._send(request, upstream, endpoint, fetched)
                response = await fetched.response
            outcome = "failed" if response.status in upstream.retried else "ok"
            return response
        except NotConnected:
            outcome = "refused"
            raise
        except (Unavailable, TimeoutError) as error:
            outcome = "failed"
            raise Unavailable(f"upstream {upstream.name} gave no whole answer") from error
        finally:
            fetched.leave()
            upstream.finished(endpoint, time.monotonic() - begun, outcome)

    async def _send(self, request: Request, upstream: Any, endpoint: Any, fetched: "_Fetched") -> None:
        key = self._proxy.pool_key(upstream, request)
        pool = endpoint.pools.get(key)
        outbound = pool.popitem()[0] if pool else await dial(endpoint, upstream, key)
        fetched.outbound = outbound
        outbound.begin(fetched, request.verb)
        forwarded = f"X-Forwarded-For: {request.remote}\r\nX-Forwarded-Proto: {request.scheme}\r\nX-Request-Id: ".encode()
        outbound.transport.write(self._proxy.head(request, endpoint, upstream, forwarded))


class _Fetched(Carried):
    """Puts the answer together."""

    def __init__(self, max_bytes: int) -> None:
        self.outbound: Any = None
        self.response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._answer = Response(0)
        self._pieces: list[bytes] = []
        self._left = max_bytes

    def leave(self) -> None:
        """Nobody waits any more: a connection that is still at work is of no use to others."""
        outbound, self.outbound = self.outbound, None
        if outbound is not None:
            outbound.drop()
        if not self.response.done():
            self.response.cancel()
        elif not self.response.cancelled():
            self.response.exception()  # seen, though nobody may have waited for it

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        self.failed("malformed", "it switched protocols unasked")

    def answer_begins(self, head: ResponseHead) -> int:
        self._answer = Response(head.status, pairs_of(head.forward))
        return DECODED

    def answer_piece(self, data: bytes, is_last: bool) -> None:
        self._left -= len(data)
        if self._left < 0:
            self.failed("too_large", "its answer is too large")
            return
        self._pieces.append(data)
        if is_last and not self.response.done():
            self._answer.body = b"".join(self._pieces)
            outbound, self.outbound = self.outbound, None
            outbound.release()
            self.response.set_result(self._answer)

    def failed(self, failure: str, detail: str) -> None:
        if not self.response.done():
            self.response.set_exception(Unavailable(detail, code="upstream_failed"))
