"""The way of one request to an upstream and of its answer back: what is sent, sent again, passed on as it is or changed.

Neighbours: `outbound` is the connection, `gateway.upstream` decides where to and whether again, `relay` frames what stages changed.
"""

from functools import partial
from typing import Any

from core.errors import DeadlineExceeded, NotConnected, PlatformError, Unavailable
from gateway import clock
from gateway.http1 import answer
from gateway.http1.carried import DECODED, HELD, RAW, Carried
from gateway.http1.head import ResponseHead
from gateway.http1.message import Response
from gateway.http1.open_tunnel import OpenTunnel
from gateway.http1.outbound import Outbound, dial
from gateway.http1.relay import Relay

PASS = 2  # of inbound, which imports exchange, which imports this module


class Passage(Carried):
    """Belongs to one exchange, `owner`. `attempt` counts from 1."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.request = owner.request
        self.inbound = owner.inbound
        self.proxy = owner.pipe.proxy
        self.upstream: Any = None
        self.endpoint: Any = None
        self.outbound: Outbound | None = None
        self.attempt = 1
        self.sent_at = 0.0
        self.unsent = b""  # a request's head that waits for its first piece of body, to go out in one write
        self.opening: list[bytes] | None = None  # an answer's head, which waits likewise
        self.kept: bytes | None = None  # the request body as framed, while it may have to be sent again
        self.is_streaming = False  # the request body is passed on as it comes
        self.came: ResponseHead | None = None  # an answer's head, where stages look at it
        self.relay: Relay | None = None
        self.tunnel: OpenTunnel | None = None

    # -- there

    def start(self) -> None:
        """Choose where to, and send. Raises PlatformError where nothing can be chosen."""
        request, proxy = self.request, self.proxy
        proxy.check(request)
        upstream = self.upstream = proxy.upstream_for(request)
        self.endpoint = upstream.choose(request, None)
        self._send()
        if proxy.shadow is not None:
            proxy.shadow.copy(self.owner.engine, request)

    def _send(self) -> None:
        endpoint = self.endpoint
        self.sent_at = clock.monotonic()
        pool = endpoint.pools.get(self.proxy.pool_key(self.upstream, self.request)) if endpoint.pools else None
        if pool:
            self._connected(pool.popitem()[0])
        else:
            self.owner.waiting = self.owner.engine.spawn(self._dial(), "dial")

    async def _dial(self) -> None:
        upstream, endpoint = self.upstream, self.endpoint
        try:
            outbound = await dial(endpoint, upstream, self.proxy.pool_key(upstream, self.request))
        except NotConnected as error:
            self.owner.waiting = None
            self.failed("connect", error.detail)
            return
        self.owner.waiting = None
        if self.owner.is_over:
            outbound.release()
            return
        try:
            self._connected(outbound)
        except PlatformError as error:
            self.owner.fail(error)
        except Exception as error:  # noqa: BLE001  # the listener: what a template of a route made of a request
            self.owner.crash(error)

    def _connected(self, outbound: Outbound) -> None:
        request = self.request
        self.outbound = outbound
        outbound.begin(self, request.verb)
        forwarded = self.inbound.forwarded
        if self.inbound.is_trusted:  # whom the proxy in front speaks for, not that proxy
            forwarded = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Request-Id: " % (
                request.remote.encode("ascii", "replace"),
                request.scheme.encode("ascii", "replace"),
            )
        head = self.proxy.head(request, self.endpoint, self.upstream, forwarded)
        body = request.content if request.content is not None else self.kept
        if body is not None:
            outbound.transport.write(head + body)
        elif self.owner.has_body_left:
            self.unsent = head
            self.is_streaming = True
            self.owner.max_body = self.owner.pipe.max_body_bytes
            self.inbound.take_body(PASS)
            if self.unsent and self.outbound is outbound:
                self.unsent = b""
                outbound.transport.write(head)
        else:
            outbound.transport.write(head)

    def body_piece(self, data: bytes, is_last: bool) -> None:
        """A piece of the request's body, sent on as it is framed."""
        outbound = self.outbound
        if outbound is None:
            return
        self.kept = None
        if self.unsent:
            if is_last and len(data) <= self.upstream.declared.retries.keep_body_bytes:
                self.kept = data
            data, self.unsent = self.unsent + data, b""
        outbound.transport.write(data)

    def _may_repeat(self, failure: str) -> bool:
        """Whether the request can be sent once more: its body is still there, and the upstream's rules and budget allow it."""
        request = self.request
        has_body = not self.is_streaming or self.kept is not None or request.content is not None
        if self.owner.is_answered or not has_body:
            return False
        return bool(self.upstream.may_retry(request, self.endpoint, self.attempt, failure))

    def _settle(self, outcome: str) -> None:
        """The endpoint's part is over."""
        took_s = self.request.upstream_s = clock.monotonic() - self.sent_at
        self.upstream.finished(self.endpoint, took_s, outcome)

    def _repeat(self) -> None:
        self.attempt += 1
        self.owner.engine.count("upstream_retries", self.upstream.name)
        failed, self.endpoint = self.endpoint, None
        try:
            self.endpoint = self.upstream.choose(self.request, failed)
            self._send()
        except PlatformError as error:
            self.owner.fail(error)

    def failed(self, failure: str, detail: str) -> None:
        """Nothing more comes from this connection; `failure` as `UpstreamState.may_retry` names them, or `malformed`."""
        owner = self.owner
        if owner.is_over:
            return
        self.outbound = None
        if self.tunnel is not None:
            self.tunnel.server_gone()
            return
        may_repeat = self._may_repeat(failure)
        outcome = "refused" if failure == "connect" else "failed"
        self._settle(outcome)
        owner.engine.count("upstream_failures", self.upstream.name)
        if may_repeat:
            self._repeat()
            return
        self.endpoint = None
        code = "upstream_malformed" if failure == "malformed" else "upstream_failed"
        owner.fail(Unavailable(f"the system behind route {owner.pipe.name} failed: {detail}", code=code))

    def timed_out(self) -> None:
        """No answer came in time, or no more of it. Whether the upstream is to blame: not where the client reads too slowly."""
        owner = self.owner
        if owner.is_answered:
            is_reader = owner.drained is not None
            self.request.error_code = "reader_too_slow" if is_reader else "upstream_timeout"
            self.drop("abandoned" if is_reader else "failed")
            owner.end()
            self.inbound.transport.abort()
            return
        self.drop("failed")
        text = f"route {owner.pipe.name} gave no answer within {owner.pipe.timeout_s:g} s"
        owner.fail(DeadlineExceeded(text, code="upstream_timeout"))

    # -- and back

    def interim(self, head: ResponseHead) -> None:
        """A 1xx answer (RFC 9110 §15.2): 100 is our own business, others go on to clients that understand them."""
        if head.status != 100 and self.request.minor == 1 and not self.owner.is_answered:
            self.inbound.transport.write(head.status_line + head.forward + b"\r\n")

    def answer_begins(self, head: ResponseHead) -> int:
        """The upstream's head has come: RAW, DECODED or HELD. What is written of it waits for the first piece of the body."""
        request, owner = self.request, self.owner
        status, length = head.status, head.body_length
        if status in self.upstream.retried and not self._is_hurried(status) and self._may_repeat(f"status:{status}"):
            self._drop_connection()
            self._settle("failed")
            self._repeat()
            return HELD
        request.status = status
        request.upstream = self.endpoint.url
        if self.inbound.state == 1:  # its BODY: the answer came before the request was whole
            self.inbound.keep_alive = False
        if owner.pipe.sees_answers or length == -2 or (length == -1 and request.minor == 0):
            return self._changed(head)
        self._open_as_it_came(head)
        return RAW

    def _open_as_it_came(self, head: ResponseHead) -> None:
        """The upstream's lines, and what the platform tells. The body's bytes follow as they are framed."""
        request = self.request
        opening = [head.status_line, head.forward, b"X-Request-Id: ", request.request_id.encode(), b"\r\n"]
        if request.told is not None:
            opening += request.told
        if head.body_length == -1:
            opening.append(answer.CHUNKED)
        opening.append(b"\r\n" if self.inbound.keep_alive else b"Connection: close\r\n\r\n")
        self.opening = opening

    def _changed(self, head: ResponseHead) -> int:
        """An answer that stages want to see, or that has to be framed anew."""
        owner, request = self.owner, self.request
        response = Response(head.status)
        response.came_as(head.forward)
        response.is_passing = True
        self.came = head
        try:
            limit = 0
            for stage in owner.pipe.answers:
                if stage is not None:
                    limit = max(limit, stage.collects(request, response))
            if limit > 0:
                self.relay = Relay(head.body_length, request)
                self.relay.limit = limit
                self.relay.response = response
                response.is_passing = False
                return DECODED
            return self._pass_on(response, len(owner.pipe.answers))
        except PlatformError as error:
            owner.fail(error)
        except Exception as error:  # noqa: BLE001  # the listener, as in exchange
            owner.crash(error)
        return HELD

    def _pass_on(self, response: Response, below: int) -> int:
        """Ask the stages below that number, then begin to write a body that passes."""
        owner = self.owner
        answers = owner.pipe.answers
        while below:
            below -= 1
            stage = answers[below]
            changed = None if stage is None else stage.on_response(self.request, response)
            if changed is None:
                continue
            if not isinstance(changed, Response):
                owner.waiting = owner.engine.spawn(owner.later(changed, response, partial(self._pass_on_later, below)), "stage")
                return HELD
            if not changed.is_passing:  # another answer in its place
                self._replaced()
                owner.answer(changed, below)
                return HELD
            response = changed
        head = self.came
        assert head is not None
        length = head.body_length
        is_untouched = response.block is head.forward and response.status == head.status and not response.filters
        if is_untouched and (length >= 0 or (length == -1 and self.request.minor == 1)):
            self._open_as_it_came(head)
            return RAW
        relay = self.relay = Relay(length, self.request)
        framing = relay.open(response)
        if relay.closes:
            self.inbound.keep_alive = False
        self.request.status = response.status
        self.opening = [answer.opening(self.request, response, b"", framing=framing, keep_alive=self.inbound.keep_alive)]
        return DECODED

    def _pass_on_later(self, below: int, response: Response) -> None:
        """The same, once a stage that had to wait has its answer."""
        if not response.is_passing:
            self._replaced()
            self.owner.answer(response, below)
            return
        want = self._pass_on(response, below)
        if want != HELD and self.outbound is not None:
            self.outbound.go_on(want)

    def answer_piece(self, data: bytes, is_last: bool) -> None:
        """Some of the upstream's body, as `answer_begins` wanted it."""
        relay = self.relay
        if relay is not None:
            if relay.response is not None:
                self._collected(relay, data, is_last=is_last)
                return
            data = relay.encoded(data, is_last=is_last)
        owner, opening = self.owner, self.opening
        if opening is not None:
            owner.is_answered = True
            self.opening = None
            opening.append(data)
            self.inbound.transport.write(b"".join(opening))
        elif data:
            self.inbound.transport.write(data)
        self.request.sent_bytes += len(data)
        if is_last:
            self._release()
            owner.passage = None  # they hold each other: without this only the garbage collector could free them
            owner.end()
            self.inbound.finished()
        else:
            self.inbound.deadline = clock.monotonic() + owner.engine.write_s

    def _collected(self, relay: Relay, data: bytes, *, is_last: bool) -> None:
        owner = self.owner
        if not relay.collect(data):
            text = f"the answer of route {owner.pipe.name} is larger than the {relay.limit} bytes that can be worked on"
            self.drop("ok")
            owner.fail(Unavailable(text, code="answer_too_large"))
        elif is_last:
            response = relay.response
            assert response is not None
            response.body = relay.body()
            self._release()
            owner.answer(response, len(owner.pipe.answers))

    def _release(self) -> None:
        """The answer is whole: the connection serves others, unless the request was not."""
        outbound, endpoint = self.outbound, self.endpoint
        self.outbound = self.endpoint = None
        if outbound is not None:
            outbound.drop() if self.is_streaming and self.owner.has_body_left else outbound.release()
            took_s = self.request.upstream_s = clock.monotonic() - self.sent_at
            status = self.request.status
            outcome = "failed" if status in self.upstream.retried else "ok"
            self.upstream.finished(endpoint, took_s, "abandoned" if self._is_hurried(status) else outcome)

    def _is_hurried(self, status: int) -> bool:
        """Whether the upstream, a gateway too it may be, gave up for the client's own deadline, of which we told it."""
        return status == 504 and self.owner.limit <= self.request.deadline

    def _replaced(self) -> None:
        """A stage has an answer of its own. The upstream's connection goes on where its answer had no body, as a 304 has none."""
        if self.outbound is not None and self.outbound.remaining == 0:
            self._release()
        else:
            self.drop("ok")

    def _drop_connection(self) -> None:
        outbound, self.outbound = self.outbound, None
        if outbound is not None:
            outbound.drop()

    def drop(self, outcome: str) -> None:
        """Let go of an upstream that has not finished. Does nothing where there is none."""
        endpoint, self.endpoint = self.endpoint, None
        self._drop_connection()
        if endpoint is not None:
            if self.request.status != 101:  # how long a tunnel was open says nothing of how quick the upstream is
                self.request.upstream_s = clock.monotonic() - self.sent_at
            took_s = self.request.upstream_s
            self.upstream.finished(endpoint, took_s, outcome)

    # -- back-pressure

    def flow(self, *, is_slow: bool) -> None:
        """The upstream is slow to take the body, or ready again: so is the client read."""
        self.inbound.pause() if is_slow else self.inbound.resume()

    # -- tunnels

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        """101: from here on bytes go through (RFC 9110 §7.8)."""
        request = self.request
        request.status = 101
        request.upstream = self.endpoint.url
        request.upstream_s = clock.monotonic() - self.sent_at
        self.owner.is_answered = True
        upgrade = b"Connection: Upgrade\r\nUpgrade: " + request.upgrade + b"\r\n\r\n"
        self.inbound.transport.write(head.status_line + head.forward + answer.told(request) + upgrade)
        tunnel = self.tunnel = OpenTunnel(self)
        tunnel.begin(rest)

    def tunnelled(self, data: bytes, *, is_client: bool) -> None:
        """Bytes of a tunnel, from one side."""
        if self.tunnel is not None:
            self.tunnel.passes(data, is_client=is_client)
