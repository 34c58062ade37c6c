"""A passing body that is changed on its way or framed anew: payload in, framed bytes out; or put together whole, within a bound."""

from gateway.http1 import answer
from gateway.http1.message import Filter, Request, Response


class Relay:
    """`length` is the upstream's framing: bytes, -1 chunked, -2 until close. `response` is set while the body is put together."""

    def __init__(self, length: int, request: Request) -> None:
        self._length = length
        self._knows_chunks = request.minor == 1
        self._is_head = request.verb == b"HEAD"
        self._filters: list[Filter] = []
        self._is_chunked = False
        self._parts: list[bytes] = []
        self._size = 0
        self.limit = 0
        self.response: Response | None = None
        self.closes = False  # the end of the connection is the end of the body

    def collect(self, data: bytes) -> bool:
        """Put a piece away; False where it is too much."""
        self._size += len(data)
        self._parts.append(data)
        return self._size <= self.limit

    def body(self) -> bytes:
        return b"".join(self._parts)

    def open(self, response: Response) -> bytes:
        """The framing fields of the answer that is about to be written (RFC 9112 §6)."""
        self._filters = response.filters or []
        is_same = self._length >= 0 and (not self._filters or response.keeps_length)
        if response.status in answer.BODILESS or (self._is_head and not is_same):
            return b""
        if self._is_head:
            length = response.header("content-length")
            return f"Content-Length: {length}\r\n".encode() if length.isdigit() else b""
        if is_same:
            return b"Content-Length: %d\r\n" % self._length
        if self._knows_chunks:
            self._is_chunked = True
            return answer.CHUNKED
        self.closes = True
        return b""

    def encoded(self, data: bytes, *, is_last: bool) -> bytes:
        """The next piece, through the filters and in its framing."""
        for each in self._filters:
            if data:
                data = each.feed(data)
            if is_last:
                data += each.finish()
        if not self._is_chunked:
            return data
        return answer.chunk(data) + answer.LAST_CHUNK if is_last else answer.chunk(data)
