"""A connection to an upstream's endpoint: one request at a time, its answer's framing, and its place among the idle ones.

What it carries is somebody else's: a `Carried` is told of the answer as it comes.
"""

import asyncio
import ssl
from typing import Any, cast

from core.errors import NotConnected
from gateway import clock
from gateway.http1.carried import DECODED, HELD, RAW, Carried
from gateway.http1.chunked import ChunkScanner
from gateway.http1.head import MAX_HEAD_BYTES, ResponseHead, parse_response
from gateway.http1.refused import Refused

IDLE, HEAD, BODY, WAITING, TUNNEL, CLOSED = 0, 1, 2, 3, 4, 5
_HELD_BYTES = 65_536


class Outbound:
    """An `asyncio.Protocol`. `endpoint.pools[key]` holds those that are idle, the one used last at the end."""

    def __init__(self, endpoint: Any, key: bytes, max_idle: int) -> None:
        self.endpoint = endpoint
        self.key = key
        self.max_idle = max_idle
        self.transport: Any = None
        self.carried: Any = None  # a Carried
        self.verb = b""
        self.state = IDLE
        self.buffer = b""
        self.want = RAW
        self.remaining = 0  # of the body; -1 chunked, -2 until close
        self.chunks: ChunkScanner | None = None
        self.keep_alive = True
        self.is_reading = True
        self.has_answered = False  # a byte of the answer has come
        self.idle_since = 0.0
        self.last_bytes = (
            b"\0"  # the head that came last, and what it meant: many answers of one second differ in their bodies only
        )
        self.last_verb = b""
        self.last_head: ResponseHead | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if transport.get_extra_info("ssl_object") is None:
            transport.set_write_buffer_limits(high=0)  # as in Inbound

    def begin(self, carried: Carried, verb: bytes) -> None:
        """A request is about to be written by `carried`."""
        self.carried = carried
        self.verb = verb
        self.state = HEAD
        self.has_answered = False

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state == HEAD:
            self.has_answered = True
            if self.buffer:
                data = self.buffer + data
                self.buffer = b""
            self._head(data)
        elif state == BODY:
            self._body(data)
        elif state == TUNNEL:
            self.carried.tunnelled(data, is_client=False)
        elif state == WAITING:
            self.buffer += data
            if len(self.buffer) > _HELD_BYTES:
                self.pause()
        else:
            # Nobody asked: it must not be taken for the answer to the next request.
            self._close()

    def _head(self, data: bytes) -> None:
        if data.startswith(self.last_bytes) and self.verb == self.last_verb:
            end = len(self.last_bytes)
            assert self.last_head is not None
            self._answer(self.last_head, data[end:])
            return
        while True:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                if len(data) > MAX_HEAD_BYTES:
                    self._fail("malformed", "its header fields are too large")
                else:
                    self.buffer = data
                return
            raw = data[:end]
            try:
                head = parse_response(raw, self.verb)
            except Refused as refusal:
                self._fail("malformed", refusal.detail)
                return
            if not head.is_interim:
                break
            self.carried.interim(head)
            data = data[end:]
            if not data:
                return
        if head.status != 101:
            self.last_bytes, self.last_verb, self.last_head = raw, self.verb, head
        self._answer(head, data[end:])

    def _answer(self, head: ResponseHead, rest: bytes) -> None:
        if head.status == 101:
            self._switch(head, rest)
            return
        self.keep_alive = head.keep_alive
        self.remaining = head.body_length
        if head.body_length == -1:
            self.chunks = ChunkScanner()
        carried = self.carried
        want = carried.answer_begins(head)
        if self.carried is not carried:  # it has let go of this connection
            return
        if want == HELD:
            self.state = WAITING
            self.buffer = rest
            return
        self.want = want
        self.state = BODY
        self._begin_body(rest)

    def _begin_body(self, rest: bytes) -> None:
        if self.remaining == 0:
            if rest:
                self.keep_alive = False  # more than was announced: whatever it is, it is no answer
            self._give(b"", True)
        elif rest:
            self._body(rest)
        else:
            self._give(b"", False)

    def _give(self, data: bytes, is_last: bool) -> None:
        """A piece of the body. Held here while it works: with the last one it may let go of itself."""
        carried = self.carried
        carried.answer_piece(data, is_last)

    def go_on(self, want: int) -> None:
        """After HELD: the body is wanted now, RAW or DECODED."""
        if self.state == WAITING:
            self.want = want
            self.state = BODY
            rest, self.buffer = self.buffer, b""
            self._begin_body(rest)
            self.resume()

    def _body(self, data: bytes) -> None:
        """RFC 9112 §6.3."""
        remaining = self.remaining
        if remaining > 0:
            size = len(data)
            if size < remaining:
                self.remaining = remaining - size
                self._give(data, False)
            else:
                if size > remaining:
                    self.keep_alive = False
                    data = data[:remaining]
                self.remaining = 0
                self._give(data, True)
        elif remaining == -1:
            self._chunked(data)
        else:
            self._give(data, False)

    def _chunked(self, data: bytes) -> None:
        chunks = self.chunks
        assert chunks is not None
        try:
            if self.want == DECODED:
                end, payload = chunks.decode(data)
            else:
                end = chunks.feed(data)
                payload = data if end < 0 else data[:end]
        except Refused as refusal:
            self._fail("malformed", refusal.detail)
            return
        if 0 <= end < len(data):
            self.keep_alive = False
        if end >= 0:
            self.chunks = None
            self.remaining = 0
        self._give(payload, end >= 0)

    def _switch(self, head: ResponseHead, rest: bytes) -> None:
        if not self.carried.request.upgrade or head.upgrade != self.carried.request.upgrade:
            self._fail("malformed", "it changed to a protocol that nobody asked for")
            return
        self.state = TUNNEL
        self.carried.switched(head, rest)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        state, carried = self.state, self.carried
        self.state = CLOSED
        self.carried = None
        if carried is None:
            pool = self.endpoint.pools.get(self.key)
            if pool is not None:
                pool.pop(self, None)
                if not pool:
                    del self.endpoint.pools[self.key]
        elif state == BODY and self.remaining == -2 and exc is None:
            carried.answer_piece(b"", True)
        elif state == TUNNEL:
            carried.failed("reset", "the tunnel was closed")
        else:
            failure = "reset" if self.has_answered or state != HEAD else "closed"
            carried.failed(failure, f"{self.endpoint.url} closed the connection before its answer was whole")

    def _fail(self, failure: str, detail: str) -> None:
        carried = self.carried
        self._close()
        if carried is not None:
            carried.failed(failure, f"{self.endpoint.url}: {detail}")

    def _close(self) -> None:
        self.state = CLOSED
        if self.carried is None:
            pool = self.endpoint.pools.get(self.key)
            if pool is not None:
                pool.pop(self, None)
        self.carried = None
        self.transport.abort()

    def release(self) -> None:
        """The answer is whole: idle until the next request, or closed where it can't serve one."""
        self.carried = None
        self.buffer = b""
        self.chunks = None
        if self.state == CLOSED:
            return
        if self.state == TUNNEL or not self.keep_alive or self.remaining:
            self.drop()
            return
        pool = self.endpoint.pools.get(self.key)
        if pool is None:
            pool = self.endpoint.pools[self.key] = {}
        if len(pool) >= self.max_idle:
            self.drop()
            return
        self.state = IDLE
        self.idle_since = clock.monotonic()
        if not self.is_reading:
            self.resume()
        pool[self] = None

    def drop(self) -> None:
        """Close it: it is in the middle of something, or not wanted any more."""
        self.carried = None
        if self.state != CLOSED:
            self.state = CLOSED
            self.transport.abort()

    def pause(self) -> None:
        if self.is_reading and self.state != CLOSED:
            self.is_reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        if not self.is_reading and self.state != CLOSED:
            self.is_reading = True
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        if self.carried is not None:
            self.carried.flow(is_slow=True)

    def resume_writing(self) -> None:
        if self.carried is not None:
            self.carried.flow(is_slow=False)


def close_idle(endpoint: Any, *, before: float) -> None:
    """Close the connections that have been idle since before that moment (monotonic seconds)."""
    for key in list(endpoint.pools):
        pool = endpoint.pools[key]
        for outbound in list(pool):
            if outbound.idle_since >= before:
                break  # those used later stand behind it
            pool.pop(outbound, None)
            outbound.drop()
        if not pool:
            endpoint.pools.pop(key, None)


async def dial(endpoint: Any, upstream: Any, key: bytes) -> Outbound:
    """A new connection. Raises NotConnected: nothing was sent."""
    declared = upstream.declared
    made = Outbound(endpoint, key, declared.max_idle)
    loop = asyncio.get_running_loop()
    try:
        context = tls_context(declared.tls) if endpoint.is_tls else None
        name = (declared.tls.server_name or endpoint.server_name) if context is not None else None
        async with asyncio.timeout(declared.connect_timeout_s):
            await loop.create_connection(cast(Any, lambda: made), endpoint.host, endpoint.port, ssl=context, server_hostname=name)
    except TimeoutError as error:
        raise NotConnected(f"{endpoint.url} took no connection within {declared.connect_timeout_s:g} s") from error
    except ssl.SSLError as error:
        raise NotConnected(f"{endpoint.url}: TLS failed: {error.reason or 'no common ground'}") from error
    except OSError as error:
        raise NotConnected(f"{endpoint.url}: {error.strerror or error}") from error
    return made


_contexts: dict[Any, ssl.SSLContext] = {}
_MAX_CONTEXTS = 1024


def tls_context(declared: Any) -> ssl.SSLContext:
    """One context for each way of TLS that is declared. Raises OSError for a file that can't be read."""
    context = _contexts.get(declared)
    if context is None:
        context = ssl.create_default_context(cafile=declared.ca_file)
        context.set_alpn_protocols(["http/1.1"])
        if not declared.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if declared.certificate_file is not None:
            context.load_cert_chain(declared.certificate_file, declared.key_file)
        if len(_contexts) >= _MAX_CONTEXTS:
            _contexts.clear()
        _contexts[declared] = context
    return context
