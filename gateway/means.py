"""The contract of a means of authentication: one way in which a caller proves who it is, in one file of its own.

The authenticate stage tries those that a route allows, in the route's order, and takes the first that the request uses.
"""

from collections.abc import Awaitable
from typing import Protocol

from gateway.identity import Identity
from gateway.identity import Means as Kind
from gateway.stage import Request


class Means(Protocol):
    """Made once for each snapshot. `challenge` is what WWW-Authenticate says where nothing was sent (RFC 9110 §11.6.1)."""

    kind: Kind
    challenge: str

    def is_used(self, request: Request) -> bool:
        """Whether the request carries this means' credential at all, right or wrong. Cheap: a look at one header field."""
        ...

    def needs_body(self, request: Request) -> bool:
        """Whether the body takes part in the proof (a digest that is signed)."""
        ...

    def identify(self, request: Request) -> Identity | Awaitable[Identity]:
        """Who it is. Raises Unauthenticated with a code that says what is wrong, and never tells which secret was nearly right."""
        ...

    def holds_until(self, request: Request) -> float:
        """Until when (epoch seconds) nobody has to ask again about the credential of a request that was let in by it and goes on,
        as a tunnel does. What can be proved once only (a nonce, a proof of possession) is not asked for again. Raises
        Unauthenticated where it would not be let in any more."""
        ...
