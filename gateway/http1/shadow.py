"""Copies of requests to a shadow upstream. Nobody waits for their answers, which are read and thrown away."""

import asyncio
from typing import Any

from core.errors import NotConnected, PlatformError
from gateway.http1.carried import RAW, Carried
from gateway.http1.head import ResponseHead
from gateway.http1.message import Request
from gateway.http1.outbound import dial
from gateway.upstream.shadow import Shadowing


class ShadowCopies:
    """Of one route. `proxy` makes the head as for the real upstream; a body that was not kept whole is not copied."""

    def __init__(self, shadowing: Shadowing, upstreams: Any) -> None:
        self._shadowing = shadowing
        self._upstreams = upstreams

    def copy(self, engine: Any, request: Request) -> None:
        """Send a copy, where one is wanted; returns at once."""
        has_body = request.body_length == 0 or request.content is not None
        if has_body and self._shadowing.wants_copy(request):
            proxy = request.pipe.proxy
            engine.spawn(self._send(proxy, request), "shadow")

    async def _send(self, proxy: Any, request: Request) -> None:
        upstream = self._upstreams.get(self._shadowing.upstream)
        try:
            endpoint = upstream.choose(request, None)
        except PlatformError:
            self._shadowing.copied()
            return
        copy = _Copy(self._shadowing, upstream, endpoint, request)
        key = proxy.pool_key(upstream, request)
        pool = endpoint.pools.get(key)
        try:
            outbound = pool.popitem()[0] if pool else await dial(endpoint, upstream, key)
        except NotConnected:
            copy.settle("refused")
            return
        copy.outbound = outbound
        outbound.begin(copy, request.verb)
        forwarded = f"X-Forwarded-For: {request.remote}\r\nX-Zhiyun-Shadow: 1\r\nX-Request-Id: ".encode()
        outbound.transport.write(proxy.head(request, endpoint, upstream, forwarded) + (request.content or b""))
        copy.give_up_after(max(request.deadline - request.started, 1.0))


class _Copy(Carried):
    """Counts the outcome, keeps nothing."""

    def __init__(self, shadowing: Shadowing, upstream: Any, endpoint: Any, request: Request) -> None:
        self.request = request
        self.outbound: Any = None
        self._shadowing = shadowing
        self._upstream = upstream
        self._endpoint = endpoint
        self._timer: Any = None
        self._is_settled = False

    def give_up_after(self, seconds: float) -> None:
        if not self._is_settled:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self.outbound.drop()
        self.settle("failed")

    def settle(self, outcome: str) -> None:
        if self._is_settled:
            return
        self._is_settled = True
        if self._timer is not None:
            self._timer.cancel()
        self._upstream.finished(self._endpoint, 0.0, outcome)
        self._shadowing.copied()

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        self._give_up()

    def answer_begins(self, head: ResponseHead) -> int:
        return RAW

    def answer_piece(self, data: bytes, is_last: bool) -> None:
        if is_last:
            self.outbound.release()
            self.settle("ok")

    def failed(self, failure: str, detail: str) -> None:
        self.settle("failed")
