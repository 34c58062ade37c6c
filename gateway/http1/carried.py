"""Who sent a request over an upstream's connection, as that connection tells it of the answer. A base class, so that the compiled
build calls it without a look-up: `passage` carries a client's request, `fetch` and `shadow` carry the platform's own."""

from gateway.http1.head import ResponseHead

RAW, DECODED, HELD = 0, 1, 2
"""How an answer's body is wanted: bytes as framed, payload only, or not yet."""


class Carried:
    """What it does not care for it leaves as it is."""

    __slots__ = ()

    def interim(self, head: ResponseHead) -> None:
        """A 1xx answer before the answer proper."""

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        """101, which was asked for."""

    def answer_begins(self, head: ResponseHead) -> int:
        """RAW, DECODED or HELD (until `go_on`)."""
        raise NotImplementedError

    def answer_piece(self, data: bytes, is_last: bool) -> None:
        raise NotImplementedError

    def tunnelled(self, data: bytes, *, is_client: bool) -> None:
        """Bytes of a tunnel."""

    def failed(self, failure: str, detail: str) -> None:
        """Nothing more will come; the connection is closed."""
        raise NotImplementedError

    def flow(self, *, is_slow: bool) -> None:
        """The upstream takes no more for now, or again."""
