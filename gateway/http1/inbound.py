"""A client's connection: bytes → requests, their bodies, and the order of answers (RFC 9112 §9.3.2: one exchange at a time).

What happens to a request is `exchange`'s; what is a request is `head`'s. Reads no further than `Patience.held_bytes` ahead.
"""

from typing import Any

from core.errors import InvalidInput, PlatformError
from gateway import clock
from gateway.http1 import answer
from gateway.http1 import head as heads
from gateway.http1.chunked import ChunkScanner
from gateway.http1.engine import Engine
from gateway.http1.exchange import Exchange
from gateway.http1.head import MAX_HEAD_BYTES, has_bare_line_end, why_too_large
from gateway.http1.message import Request, Response
from gateway.http1.passage import Passage
from gateway.http1.refused import Refused
from gateway.http1.tunnel import GOING_AWAY
from gateway.problems import problem

IDLE, BODY, BUSY, TUNNEL, LINGER, CLOSED = 0, 1, 2, 3, 4, 5
"""Between requests; a body is on its way; the request is whole and its answer is not; bytes go through; a last look; gone."""
HOLD, COLLECT, PASS, DISCARD = 0, 1, 2, 3
"""What is done with a body: kept until somebody wants it, put together, sent on as it comes, thrown away."""
_DISCARDED = 262_144  # bytes of a body nobody read that are read for the sake of the next request
_LINE_SHOWN = 200
_LAST_S = 1.0  # without a request, while the worker drains: then its connection is closed


class Inbound:
    """An `asyncio.Protocol`, made for each accepted connection. `certificate` is the client's (DER), `remote` its address."""

    def __init__(self, engine: Engine, remote: str = "", scheme: str = "http") -> None:
        self.engine = engine
        self.transport: Any = None
        self.state = IDLE
        self.mode = HOLD
        self.buffer = b""
        self.deadline = 0.0  # monotonic; looked at by the engine's sweep
        self.exchange: Exchange | None = None
        self.passage: Passage | None = None  # of a tunnel
        self.remote = remote
        self.scheme = scheme
        self.certificate: bytes | None = None
        self.is_trusted = False
        self.forwarded = b""  # the forwarding lines of this client, made once
        self.remaining = 0
        self.chunks: ChunkScanner | None = None
        self.parts: list[bytes] = []
        self.is_reading = True
        self.is_half = False  # the client has sent its last byte
        self.keep_alive = True
        self.discarded = 0

    # -- the transport's calls

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        engine = self.engine
        self.deadline = clock.monotonic() + engine.patience.head_s
        if len(engine.connections) >= engine.patience.connections:
            engine.refused_connections += 1
            self.state = CLOSED
            transport.abort()
            return
        engine.connections[self] = None
        if not self.remote:
            peer = transport.get_extra_info("peername")
            self.remote = peer[0] if isinstance(peer, tuple) else ""
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.scheme = "https"
            self.certificate = tls.getpeercert(binary_form=True)
        else:
            transport.set_write_buffer_limits(high=0)  # an answer leaves at once, not when the loop has been round everybody
        self.is_trusted = engine.is_trusted(self.remote)
        self.forwarded = f"X-Forwarded-For: {self.remote}\r\nX-Forwarded-Proto: {self.scheme}\r\nX-Request-Id: ".encode()

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state == IDLE:
            if self.buffer:
                data = self.buffer + data
                self.buffer = b""
            self._begin(data)
        elif state == BODY:
            self._body(data)
        elif state == TUNNEL:
            assert self.passage is not None
            self.passage.tunnelled(data, is_client=True)
        elif state == BUSY:
            self._hold(data)
        elif state == LINGER:
            self.discarded += len(data)
            if self.discarded > _DISCARDED:
                self.transport.abort()

    def eof_received(self) -> bool:
        """The client has closed its side. In the middle of a body it is told; else it counts as gone, as for other proxies: one
        that only half-closed can't be told from one that left, and an upstream must not work for nobody."""
        self.is_half = True
        self.keep_alive = False
        if self.state == BODY:
            assert self.exchange is not None
            self.exchange.fail(InvalidInput("the body ended before it was whole", code="malformed_request"))
            return True
        if self.passage is not None and self.passage.tunnel is not None:
            self.passage.tunnel.end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = CLOSED
        self.engine.forget(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.lost()

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.flow(is_slow=True)

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.flow(is_slow=False)

    # -- requests

    def _begin(self, data: bytes) -> None:
        """`data` begins where a request should."""
        at = clock.monotonic()
        size = len(data)
        request = heads.usual_request(data)
        if request is None:
            if data.startswith(b"\r\n"):  # one empty line before a request is tolerated (RFC 9112 §2.2)
                data = data[2:]
                size -= 2
            end = data.find(b"\r\n\r\n") + 4
            try:
                if end < 4 or end > MAX_HEAD_BYTES:
                    self._incomplete(data, at, is_whole=end >= 4)
                    return
                request = heads.parse_request(data if end == size else data[:end])
            except Refused as refusal:
                self._refuse(refusal, data)
                return
        else:
            end = len(request.head)
        request.started = at
        self.keep_alive = request.keep_alive and not self.is_half and not self.engine.is_draining
        if request.body_length == 0:
            self.state = BUSY
            if size > end:
                self._hold(data[end:])
        else:
            self.state = BODY
            self.mode = HOLD
            self.remaining = request.body_length
            self.chunks = ChunkScanner() if request.body_length < 0 else None
            self.buffer = data[end:]
        exchange = self.exchange = Exchange(self.engine, self, request)
        exchange.begin()

    def _incomplete(self, data: bytes, at: float, *, is_whole: bool) -> None:
        if is_whole or len(data) > MAX_HEAD_BYTES:
            raise why_too_large(data)
        if data and not data[:1].isupper():
            raise Refused(400, "malformed_request", "a request begins with its method in capital letters")
        if has_bare_line_end(data):
            raise Refused(400, "malformed_request", "lines end with CR LF (RFC 9112 §2.2)")
        self.buffer = data
        if data:
            self.deadline = min(self.deadline, at + self.engine.patience.head_s)

    def _again(self) -> None:
        """The next of several requests that came together."""
        if self.state == IDLE and self.buffer:
            data, self.buffer = self.buffer, b""
            self._begin(data)

    def _hold(self, data: bytes) -> None:
        """What comes before it is its turn. Reading stops, so that it stays small."""
        self.buffer = self.buffer + data if self.buffer else data
        self.pause()

    def pause(self) -> None:
        if self.is_reading and not self.is_half:
            self.is_reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        if not self.is_reading:
            self.is_reading = True
            self.transport.resume_reading()

    # -- bodies

    def _body(self, data: bytes) -> None:
        if self.mode == HOLD:
            self.buffer = self.buffer + data if self.buffer else data
            if len(self.buffer) > self.engine.patience.held_bytes:
                self.pause()
            return
        self._piece(data)

    def take_body(self, mode: int) -> None:
        """Somebody wants the body now, from its first byte: what has come already is handed over before this returns."""
        assert self.exchange is not None
        self.mode = mode
        if mode == COLLECT:
            self.parts = []
        self.deadline = clock.monotonic() + self.engine.body_s
        held, self.buffer = self.buffer, b""
        if self.exchange.request.expects_continue and not held and mode != DISCARD:
            self.transport.write(answer.CONTINUE)
        self.resume()  # first: a slow upstream may stop it again
        if held:
            self._piece(held)

    def _piece(self, data: bytes) -> None:
        """Some of the body, as framed (RFC 9112 §6.3); what follows it is held for the next request."""
        exchange = self.exchange
        try:
            end, payload = self._framed(data)
        except Refused as refusal:
            if exchange is None:
                self.transport.abort()
            else:
                exchange.fail(InvalidInput(refusal.detail, code=refusal.code))
            return
        is_last = end >= 0
        if is_last:
            self.state = BUSY
            if end < len(data):
                self._hold(data[end:])
        if exchange is None:
            self._discarded_piece(len(data), is_last=is_last)
            return
        request = exchange.request
        self._extend(exchange, is_last=is_last)
        request.received_bytes += len(payload)
        if request.received_bytes > exchange.max_body:
            exchange.fail(InvalidInput(f"the body is larger than {exchange.max_body} bytes", code="payload_too_large"))
        elif self.mode == COLLECT:
            self.parts.append(payload)
            if is_last:
                parts, self.parts = self.parts, []
                exchange.body_came(b"".join(parts))
        else:
            if is_last:
                exchange.has_body_left = False
            assert exchange.passage is not None
            exchange.passage.body_piece(payload, is_last)

    def _extend(self, exchange: Exchange, *, is_last: bool) -> None:
        """The client has time for the next piece. With the last one it has used up its own: what is behind gets the pipe's."""
        at = clock.monotonic()
        if is_last:
            request = exchange.request
            self.deadline = request.deadline = min(max(request.deadline, at + exchange.pipe.timeout_s), exchange.limit)
        else:
            self.deadline = at + self.engine.body_s

    def _framed(self, data: bytes) -> tuple[int, bytes]:
        """Where in `data` the body ends (-1: not there) and its payload. To pass chunks on, their bytes count as the payload."""
        if self.chunks is not None:
            if self.mode == COLLECT:
                return self.chunks.decode(data)
            end = self.chunks.feed(data)
            return end, data if end < 0 else data[:end]
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return -1, data
        end, self.remaining = self.remaining, 0
        return end, data if end == size else data[:end]

    def _discarded_piece(self, size: int, *, is_last: bool) -> None:
        self.discarded += size
        if is_last:
            self._next()
        elif self.discarded > _DISCARDED:
            self._linger()

    # -- answers

    def finished(self) -> None:
        """The exchange has written its whole answer and lets go."""
        self.exchange = self.passage = None
        if self.state == TUNNEL:
            self.transport.close()
        elif self.state == BODY:
            self._unread()
        elif self.state == BUSY:
            self._next()

    def _next(self) -> None:
        if not self.keep_alive:
            self.state = CLOSED
            self.transport.close()
            return
        self.state = IDLE
        self.deadline = clock.monotonic() + (_LAST_S if self.engine.is_draining else self.engine.idle_s)
        self.resume()
        if self.buffer:
            self.engine.loop.call_soon(self._again)  # not called from here: a thousand small ones would be a deep stack

    def settle(self, request: Request) -> None:
        """An answer is about to be written: where its request's body was not read, decide whether the connection goes on after it.
        Little of a body is read and thrown away; more of it, or one that may never come (Expect), ends the connection."""
        if self.state == BODY:
            is_small = 0 <= self.remaining <= _DISCARDED and self.chunks is None
            if not is_small or (request.expects_continue and not self.buffer and self.mode == HOLD):
                self.keep_alive = False

    def _unread(self) -> None:
        if not self.keep_alive:
            self._linger()
            return
        self.discarded = 0
        self.mode = DISCARD
        self.deadline = clock.monotonic() + self.engine.body_s
        held, self.buffer = self.buffer, b""
        self.resume()
        if held:
            self._piece(held)

    def open_tunnel(self, passage: Passage) -> None:
        """From here on bytes go through."""
        self.state = TUNNEL
        self.passage = passage
        assert passage.tunnel is not None
        self.deadline = clock.monotonic() + passage.tunnel.idle_s
        held, self.buffer = self.buffer, b""
        self.resume()
        if held:
            passage.tunnelled(held, is_client=True)

    def _refuse(self, refusal: Refused, data: bytes) -> None:
        """What came is no request: say so and close; where framing is in doubt nothing more is read from this client."""
        request = Request(b"", b"", b"", b"")
        request.line = data.partition(b"\r\n")[0][:_LINE_SHOWN]
        request.started = clock.monotonic()
        request.remote = self.remote
        request.request_id = self.engine.request_id()
        self._refused(InvalidInput(refusal.detail, code=refusal.code), request)

    def _refused(self, error: PlatformError, request: Request) -> None:
        response: Response = problem(error, request)
        request.status = response.status
        request.error_code = error.specific_code
        request.ended = clock.monotonic()
        self.keep_alive = False
        self.transport.write(answer.whole(request, response, self.engine.date, keep_alive=False))
        for observe in self.engine.observers:
            observe(request)
        self._linger()

    def _linger(self) -> None:
        """Close so that the client can still read what was written: a reset would destroy it (RFC 9112 §9.6)."""
        if self.state == CLOSED:
            return
        if self.is_half or not self.transport.can_write_eof():
            self.state = CLOSED
            self.transport.close()
            return
        self.state = LINGER
        self.buffer = b""
        self.discarded = 0
        self.deadline = clock.monotonic() + self.engine.patience.linger_s
        self.resume()
        self.transport.write_eof()

    # -- the engine's calls

    @property
    def tunnelled(self) -> Request | None:
        """The request that opened the tunnel, where there is one."""
        return self.exchange.request if self.state == TUNNEL and self.exchange is not None else None

    def recheck(self) -> None:
        """Ask again whether the tunnel is allowed, where there is one."""
        if self.passage is not None and self.passage.tunnel is not None:
            self.passage.tunnel.recheck()

    def timed_out(self, at: float) -> None:
        """`deadline` has passed."""
        exchange = self.exchange
        if self.passage is not None and self.passage.tunnel is not None:
            self.passage.tunnel.timed_out(at)
        elif exchange is None:
            if self.state == IDLE and self.buffer:
                self._refuse(Refused(408, "request_timeout", "the request did not arrive in time"), self.buffer)
            else:
                self.state = CLOSED
                self.transport.abort() if self.state == LINGER else self.transport.close()
        elif self.state == BODY and self.mode in (COLLECT, PASS) and not exchange.is_answered:
            text = f"no more of the body came for {self.engine.patience.body_s:g} s"
            exchange.fail(InvalidInput(text, code="request_timeout"))
        else:
            exchange.timed_out(at)

    def drain(self) -> None:
        """End after the next answer, which says so. Without one under way it waits a moment: one may be coming. A tunnel has no
        end of its own: it is closed, and its client comes again to another worker."""
        if self.passage is not None and self.passage.tunnel is not None:
            self.passage.tunnel.close(GOING_AWAY)
        if self.exchange is None or not self.exchange.is_answered:
            self.keep_alive = False
        if self.state == IDLE and not self.buffer:
            self.deadline = min(self.deadline, clock.monotonic() + _LAST_S)

    def end_stream(self) -> None:
        """End a streamed answer properly; others go on."""
        exchange = self.exchange
        if exchange is not None and exchange.stream_limit is not None:
            limit, exchange.stream_limit = exchange.stream_limit, None  # it can be told once only
            limit.reschedule(0)
