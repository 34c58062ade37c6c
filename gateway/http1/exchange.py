"""One request and its answer: the walk through its pipe to a handler or an upstream, and back. Without a task while nothing waits.

Neighbours: `inbound` gives the body and takes the answer, `passage` is the way to an upstream. One of the three places that catch
everything: a bug in a stage or handler becomes a 500 with an error id, never a dead connection.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog

from core.errors import DeadlineExceeded, InvalidInput, NotConnected, PlatformError, Unavailable
from core.ids import new_id
from gateway import clock
from gateway.http1 import answer as answering
from gateway.http1.message import Request, Response
from gateway.http1.passage import Passage
from gateway.problems import problem

_log = structlog.get_logger("gateway.exchange")
COLLECT = 1  # of inbound, which imports this module
_GONE = 499  # the client went before its answer: nothing is sent, the log says so
_ENDS_CONNECTION = frozenset(("malformed_request", "ambiguous_framing", "request_timeout", "headers_too_large"))
"""After these nobody knows where the next request would begin."""


class Exchange:
    """`inbound` is the client's connection; `reached` counts the stages whose `on_request` was called."""

    def __init__(self, engine: Any, inbound: Any, request: Request) -> None:
        self.engine = engine
        self.inbound = inbound
        self.request = request
        self.pipe: Any = None
        self.passage: Passage | None = None
        self.reached = 0
        self.rescuable = 1 << 30  # stages from this number on are not asked for a rescue
        self.max_body = 0
        self.has_body_left = request.body_length != 0
        self.is_answered = False  # something of the answer was written
        self.is_over = False
        self.waiting: Any = None  # a Future or Task of a stage
        self.body_future: asyncio.Future[bytes] | None = None
        self.stream_limit: asyncio.Timeout | None = None
        self.drained: asyncio.Future[None] | None = None
        self.limit = math.inf  # monotonic: when the client stops waiting
        self.timer: asyncio.TimerHandle | None = None  # set for that moment

    # -- the walk

    def begin(self) -> None:
        """Find the pipe and walk it."""
        request, inbound, engine = self.request, self.inbound, self.engine
        request.scheme = inbound.scheme
        request.certificate = inbound.certificate
        if inbound.is_trusted:
            engine.believe(request, inbound.remote)
        else:
            request.remote = inbound.remote
            request.request_id = engine.request_id()
        if engine.next_trace is not None:
            request.trace = engine.next_trace(request.trace)
        request.deadline = inbound.deadline = request.started + engine.body_s
        try:
            pipe = self.pipe = request.pipe = engine.finder.find(request)
            request.deadline = inbound.deadline = request.started + pipe.timeout_s
            if request.timeout_ms:
                self._shorten(request)
            self.max_body = pipe.max_body_bytes
            if request.body_length > self.max_body:
                raise InvalidInput(f"the body is larger than {self.max_body} bytes", code="payload_too_large")
        except PlatformError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001  # the listener: one of the three places
            self.crash(error)
        else:
            self._walk()

    def _shorten(self, request: Request) -> None:
        """The client has a deadline of its own. It never gets more time for it than the route gives, and as it counts from the
        request's first byte on, it bounds the client's own sending too. A timer of its own: the sweep would be too late for it."""
        if request.timeout_ms < 0:
            raise DeadlineExceeded("the time that X-Zhiyun-Timeout-Ms gives was over when the request came")
        self.limit = request.started + request.timeout_ms / 1000
        request.deadline = min(request.deadline, self.limit)
        self.timer = self.engine.loop.call_later(max(self.limit - clock.monotonic(), 0.0), self._out_of_time)

    def _out_of_time(self) -> None:
        """The client does not wait any longer. That is no fault of the upstream's: or a caller could open its breaker for all."""
        self.timer = None
        if not self.is_answered:
            text = f"no answer within the {self.request.timeout_ms} ms that X-Zhiyun-Timeout-Ms gives"
            self.fail(DeadlineExceeded(text))  # it lets go of the upstream as abandoned

    def _walk(self) -> None:
        """Ask the stages, from where the walk stands, until one answers or has to wait; then the endpoint."""
        request, pipe = self.request, self.pipe
        checks, bodies = pipe.checks, pipe.bodies
        count = len(checks)
        try:
            while self.reached < count:
                wants = bodies[self.reached]
                if wants is not None and not self._has_body(wants(request)):
                    return
                check = checks[self.reached]
                self.reached += 1
                outcome = check(request)
                if outcome is not None:
                    if isinstance(outcome, Response):
                        self.answer(outcome, self.reached - 1)
                    else:
                        self._wait(outcome)
                    return
            if pipe.proxy is not None:
                passage = self.passage = Passage(self)
                passage.start()
            else:
                request.body_reader = self.read_body
                self.engine.spawn(self._serve(), "request")
        except PlatformError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001  # the listener: one of the three places
            self.crash(error)

    def _has_body(self, limit: int) -> bool:
        """Whether the stage may be asked: it wants no body, or the body is there. Otherwise the walk goes on in `body_came`."""
        request = self.request
        if limit <= 0:
            return True
        if request.content is None and self.has_body_left:
            self.max_body = min(limit, self.pipe.max_body_bytes)
            self.inbound.take_body(COLLECT)
            return False
        if request.content is None:
            request.content = b""
        if len(request.content) > limit:
            raise InvalidInput(f"the body is larger than {limit} bytes", code="payload_too_large")
        return True

    def _wait(self, outcome: Awaitable[Response | None]) -> None:
        if isinstance(outcome, asyncio.Future):
            self.waiting = outcome
            outcome.add_done_callback(self._resumed)
        else:
            self.waiting = self.engine.spawn(self._awaited(outcome), "stage")

    def _resumed(self, future: "asyncio.Future[Response | None]") -> None:
        if self.is_over or future.cancelled():
            if not self.is_over:
                self.fail(Unavailable("the platform gave up a step of this request"))
            return
        self.waiting = None
        error = future.exception()
        if error is None:
            self._go_on(future.result())
        elif isinstance(error, PlatformError):
            self.fail(error)
        else:
            self.crash(error)

    async def _awaited(self, outcome: Awaitable[Response | None]) -> None:
        try:
            result = await outcome
        except PlatformError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001  # the listener, as above
            self.crash(error)
        else:
            self.waiting = None
            self._go_on(result)

    def _go_on(self, result: Response | None) -> None:
        if self.is_over:
            return
        if result is None:
            self._walk()
        else:
            self.answer(result, self.reached - 1)

    # -- the request's body

    def body_came(self, body: bytes) -> None:
        """The whole body, decoded."""
        self.has_body_left = False
        self.request.content = body
        if self.body_future is None:
            self._walk()
        elif not self.body_future.done():
            self.body_future.set_result(body)

    async def read_body(self) -> bytes:
        """For handlers. Raises InvalidInput for a body that is too large, too slow, malformed or cut short."""
        if not self.has_body_left:
            return b""
        self.max_body = self.pipe.max_body_bytes
        future = self.body_future = self.engine.loop.create_future()
        self.inbound.take_body(COLLECT)
        body: bytes = await future
        return body

    # -- answers

    async def _serve(self) -> None:
        try:
            response = await self.pipe.handler(self.request)
        except PlatformError as error:
            self.body_future = None
            self.fail(error)
        except Exception as error:  # noqa: BLE001  # the listener, as above
            self.body_future = None
            self.crash(error)
        else:
            if not self.is_over:
                self.answer(response, len(self.pipe.answers))

    def answer(self, response: Response, below: int) -> None:
        """Answer with a whole response (or a stream), as the stages below that number leave it."""
        answers = self.pipe.answers
        try:
            while below:
                below -= 1
                stage = answers[below]
                changed = None if stage is None else stage.on_response(self.request, response)
                if changed is None:
                    continue
                if not isinstance(changed, Response):
                    self.waiting = self.engine.spawn(self.later(changed, response, partial(self.answer, below=below)), "stage")
                    return
                response = changed
        except PlatformError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001  # the listener, as above
            self.crash(error)
        else:
            if response.stream is not None and self.request.verb != b"HEAD":
                self.engine.spawn(self._stream(response), "stream")
            else:
                self._write(response)

    async def later(self, changed: Awaitable[Response | None], response: Response, go_on: Callable[[Response], None]) -> None:
        """Go on with what a stage makes of an answer, once it has made it."""
        try:
            response = await changed or response
            self.waiting = None
            if not self.is_over:
                go_on(response)
        except PlatformError as error:
            self.fail(error)
        except Exception as error:  # noqa: BLE001  # the listener, as above
            self.crash(error)

    def _write(self, response: Response) -> None:
        for each in response.filters or ():
            response.body = each.feed(response.body) + each.finish()
        request, inbound = self.request, self.inbound
        request.status = response.status
        request.sent_bytes = len(response.body)
        self.is_answered = True
        inbound.settle(request)
        inbound.transport.write(answering.whole(request, response, self.engine.date, keep_alive=inbound.keep_alive))
        self.end()
        inbound.finished()

    async def _stream(self, response: Response) -> None:
        """A body written in pieces by the platform itself, until it ends, the reader goes or the stream is ended."""
        request, inbound = self.request, self.inbound
        request.status = response.status
        self.is_answered = True
        is_chunked = request.minor == 1
        inbound.settle(request)
        if not is_chunked:
            inbound.keep_alive = False
        framing = answering.CHUNKED if is_chunked else b""
        date = self.engine.date
        inbound.transport.write(answering.opening(request, response, date, framing=framing, keep_alive=inbound.keep_alive))
        inbound.deadline = math.inf
        assert response.stream is not None
        try:
            self.stream_limit = asyncio.timeout(None)
            async with self.stream_limit:
                await response.stream(_ClientStream(self, is_chunked=is_chunked))
        except TimeoutError:
            _log.debug("a stream ends with the listener", request_id=request.request_id)
        except (NotConnected, ConnectionError):
            _log.debug("the reader of a stream has gone", request_id=request.request_id)
        except Exception:  # noqa: BLE001  # the listener, as above: the answer has begun, it can only be cut
            _log.exception("stream failed", request_id=request.request_id, error_id=new_id("err_"), path=request.path)
            self.end()
            inbound.transport.abort()
        self.stream_limit = None
        if not self.is_over:
            if is_chunked:
                inbound.transport.write(answering.LAST_CHUNK)
            self.end()
            inbound.finished()

    async def ready(self) -> None:
        """Wait while the client reads slower than we write. Raises NotConnected when it has gone or takes nothing for too long."""
        if self.drained is not None:
            self.inbound.deadline = clock.monotonic() + self.engine.write_s
            await self.drained
            self.inbound.deadline = math.inf
        if self.is_over:
            raise NotConnected("the reader has gone")

    def fail(self, error: PlatformError) -> None:
        """Answer with a problem; where the answer has begun it can only be cut."""
        if self.is_over:
            return
        if self.body_future is not None and not self.body_future.done():
            self.body_future.set_exception(error)  # the handler makes the answer of it
            return
        if self.passage is not None:
            self.passage.drop("abandoned")
        request = self.request
        request.error_code = error.specific_code
        if self.is_answered:
            self.end()
            self.inbound.transport.abort()
            return
        if error.specific_code in _ENDS_CONNECTION:
            self.inbound.keep_alive = False
        if self._is_rescued(error):
            return
        response = problem(error, request)
        if response.status == 500 and type(error) is not PlatformError:  # a crash was told already
            _log.error("request failed", request_id=request.request_id, path=request.path, error=repr(error))
        self._write(response)

    def _is_rescued(self, error: PlatformError) -> bool:
        """Whether a stage has an answer for a failure behind it: a stale copy, say. The stages outside it see that answer as any
        other, since they may have to mask it; should one of them fail on it, only those outside are asked again."""
        if self.pipe is None:
            return False
        for number in reversed(range(min(self.reached, self.rescuable))):
            rescue = self.pipe.rescues[number]
            response = None if rescue is None else rescue(self.request, error)
            if response is not None:
                self.rescuable = number
                self.answer(response, number)
                return True
        return False

    def crash(self, error: BaseException) -> None:
        """A bug: told with an id that an operator can search for."""
        error_id = new_id("err_")
        _log.error("request failed", request_id=self.request.request_id, error_id=error_id, path=self.request.path, exc_info=error)
        self.fail(PlatformError(f"{error_id}: {type(error).__name__}"))

    def end(self) -> None:
        """Once, whatever happened: stages and observers hear of it."""
        if self.is_over:
            return
        self.is_over = True
        request = self.request
        request.ended = clock.monotonic()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        waiting = self.waiting
        if waiting is not None:
            self.waiting = None
            if waiting is not asyncio.tasks.current_task(self.engine.loop):
                waiting.cancel()
        if self.pipe is not None and self.pipe.hears_ends:
            for end in self.pipe.ends[: self.reached]:
                if end is not None:
                    end(request)
        for observe in self.engine.observers:
            observe(request)

    # -- the client's connection tells

    def lost(self) -> None:
        """The client has gone: nobody waits for the rest. A handler of the platform's own goes on: a write is finished."""
        if self.is_over:
            return
        if not self.is_answered:
            self.request.status = _GONE
        if self.body_future is not None and not self.body_future.done():
            self.body_future.set_exception(InvalidInput("the body ended before it was whole", code="malformed_request"))
        if self.passage is not None:
            self.passage.drop("abandoned")
        self.flow(is_slow=False)
        self.end()

    def flow(self, *, is_slow: bool) -> None:
        """The client reads slower than it is written to, or takes more again."""
        outbound = self.passage.outbound if self.passage is not None else None
        if outbound is not None:
            outbound.pause() if is_slow else outbound.resume()
        if is_slow and self.drained is None:
            self.drained = self.engine.loop.create_future()
        elif not is_slow and self.drained is not None:
            if not self.drained.done():
                self.drained.set_result(None)
            self.drained = None

    def timed_out(self, at: float) -> None:
        """The connection's deadline has passed."""
        if self.passage is not None:
            self.passage.timed_out()
        elif self.is_answered:
            self.request.error_code = "reader_too_slow"
            self.end()
            self.inbound.transport.abort()
        else:
            self.fail(DeadlineExceeded(f"no answer within {at - self.request.started:.0f} s"))


class _ClientStream:
    """gateway.stage.Stream on a client's connection."""

    def __init__(self, exchange: Exchange, *, is_chunked: bool) -> None:
        self._exchange = exchange
        self._is_chunked = is_chunked

    async def write(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange.is_over:
            raise NotConnected("the reader has gone")
        exchange.inbound.transport.write(answering.chunk(data) if self._is_chunked else data)
        exchange.request.sent_bytes += len(data)
        await exchange.ready()
