"""A tunnel on its two connections: bytes through, and its end with a word to both sides. `tunnel` decides, this moves.

Belongs to a `passage`, whose client's and upstream's connections it uses until it ends.
"""

import time
from typing import Any

from gateway import clock
from gateway.http1.tunnel import GOING_AWAY, NOT_ALLOWED, Tunnel

_FAREWELL_S = 1.0  # for both sides to answer a close frame


class OpenTunnel:
    """Of one passage. `close` begins its end, `end` is that."""

    def __init__(self, passage: Any) -> None:
        proxy = passage.proxy
        self._passage = passage
        self._inbound = passage.inbound
        self._request = passage.request
        self._tunnel = Tunnel(proxy.idle_s, proxy.max_message_bytes)

    def begin(self, rest: bytes) -> None:
        """`rest`: what has come from the server already."""
        self._inbound.open_tunnel(self._passage)
        if rest:
            self.passes(rest, is_client=False)
        self.recheck()
        if self._passage.owner.engine.is_draining:
            self.close(GOING_AWAY)

    @property
    def idle_s(self) -> float:
        return self._tunnel.idle_s

    def passes(self, data: bytes, *, is_client: bool) -> None:
        """Bytes from one side to the other, as far as they keep to the limits."""
        tunnel, request = self._tunnel, self._request
        if tunnel.code:
            self._farewell(*tunnel.tail(data, is_client=is_client))
            return
        self._inbound.deadline = min(clock.monotonic() + tunnel.idle_s, tunnel.until)
        if not tunnel.passes(data, is_client=is_client):
            request.error_code = "message_refused"
            self.close(tunnel.refusal)
        elif is_client:
            request.received_bytes += len(data)
            self._passage.outbound.transport.write(data)
        else:
            request.sent_bytes += len(data)
            self._inbound.transport.write(data)

    def recheck(self) -> None:
        """Whether it is allowed still, and for how long nobody has to ask again: a token ends, say."""
        tunnel = self._tunnel
        if tunnel.code:
            return
        left_s = self._passage.owner.engine.allowed_until(self._request) - time.time()
        if left_s > 0:
            tunnel.until = clock.monotonic() + left_s
            self._inbound.deadline = min(self._inbound.deadline, tunnel.until)
        else:
            self._request.error_code = "tunnel_not_allowed"
            self.close(NOT_ALLOWED)

    def close(self, code: int) -> None:
        """End it properly (RFC 6455 §7): a close frame to each side, a moment for its answer, then the connections."""
        if not self._tunnel.code:
            self._inbound.deadline = clock.monotonic() + _FAREWELL_S
            self._farewell(*self._tunnel.end(code))

    def _farewell(self, to_client: bytes, to_server: bytes) -> None:
        outbound = self._passage.outbound
        if to_client:
            self._inbound.transport.write(to_client)
        if to_server and outbound is not None:
            outbound.transport.write(to_server)
        if self._tunnel.is_over:
            self.end()

    def server_gone(self) -> None:
        """The upstream's connection is closed. In a farewell the client has its moment still."""
        self._tunnel.server_gone()
        if not self._tunnel.code or self._tunnel.is_over:
            self.end()

    def timed_out(self, at: float) -> None:
        """Nothing passed for long, or it has to be asked again whether it is allowed, or the moment of a farewell is over."""
        tunnel = self._tunnel
        if tunnel.code:
            self.end()
            self._inbound.transport.abort()  # a client that reads nothing would never let it close
        elif at >= tunnel.until:
            self._inbound.deadline = clock.monotonic() + tunnel.idle_s
            self.recheck()
        else:
            self.close(GOING_AWAY)

    def end(self) -> None:
        """One side has closed, or both had their moment."""
        passage = self._passage
        if passage.tunnel is not None:
            passage.tunnel = passage.owner.passage = None  # they hold each other, see `answer_piece`
            passage.drop("ok")
            passage.owner.end()
            self._inbound.finished()
