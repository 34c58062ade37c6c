"""The limits and the end of a WebSocket tunnel: frames are counted while they pass, never kept (RFC 6455 §5.2). Does no I/O."""

import math
import os
import struct

_CONTINUATION, _LAST_DATA, _FIRST_CONTROL, _LAST_CONTROL = 0x0, 0x2, 0x8, 0xA
_CLOSE = 0x8
_MAX_CONTROL = 125
GOING_AWAY, MALFORMED, NOT_ALLOWED, TOO_BIG = 1001, 1002, 1008, 1009
"""Why a tunnel is ended (RFC 6455 §7.4.1)."""


def close_frame(code: int, *, is_masked: bool) -> bytes:
    """`is_masked`: for a server, which takes no other from a client (RFC 6455 §5.1)."""
    payload = struct.pack(">H", code)
    if not is_masked:
        return b"\x88\x02" + payload
    mask = os.urandom(4)
    return b"\x88\x82" + mask + bytes([payload[0] ^ mask[0], payload[1] ^ mask[1]])


class FrameCounter:
    """One direction. A message is the sum of its fragments; what is over `max_message_bytes` or no frame is refused.

    `has_closed`: a close frame has come. `is_whole`: what was let through ends with a frame, so that another may stand behind it.
    """

    def __init__(self, max_message_bytes: float) -> None:
        self.max_message_bytes = max_message_bytes
        self.refusal = 0  # the code that says why
        self.has_closed = False
        self.is_whole = True
        self._left = 0  # payload bytes of the frame under way
        self._message = 0  # payload bytes of the message so far
        self._is_fragmented = False
        self._head = b""  # of a frame, as far as it has come

    def passes(self, data: bytes) -> bool:
        """Whether these bytes may go on; after False nothing more may."""
        self._count(data)
        if self.refusal:
            return False
        self.is_whole = not self._left and not self._head
        return True

    def tail(self, data: bytes) -> bytes:
        """The tunnel is about to end: what of these bytes still belongs to a frame of which the other side has a part."""
        size = 0
        if not self.is_whole and not self.refusal:
            missing = self._left or _length(self._head + data) - len(self._head)
            self.is_whole = missing <= len(data)
            size = int(min(missing, len(data)))
        self._count(data)
        return data[:size]

    def is_closing(self) -> bool:
        """Whether the other side has been let have a close frame, or a part of one."""
        return not self.refusal and (self.has_closed or (len(self._head) > 0 and self._head[0] & 0x0F == _CLOSE))

    def _count(self, data: bytes) -> None:
        """A message that is too large is counted to its end, for what follows it; behind what is no frame nothing can be found."""
        position, size = 0, len(data)
        while position < size and self.refusal != MALFORMED:
            if self._left:
                taken = min(self._left, size - position)
                self._left -= taken
                position += taken
                continue
            needed = _head_length(self._head)
            taken = min(needed - len(self._head), size - position)
            self._head += data[position : position + taken]
            position += taken
            if len(self._head) >= 2 and len(self._head) == _head_length(self._head):
                self._frame()

    def _frame(self) -> None:
        head, self._head = self._head, b""
        opcode, is_final = head[0] & 0x0F, bool(head[0] & 0x80)
        length = _payload_length(head)
        if _FIRST_CONTROL <= opcode <= _LAST_CONTROL:
            if length > _MAX_CONTROL or not is_final:
                self.refusal = MALFORMED
            self.has_closed = self.has_closed or opcode == _CLOSE
        elif opcode > _LAST_DATA or (opcode == _CONTINUATION) != self._is_fragmented:
            self.refusal = MALFORMED
        else:
            self._message = self._message + length if opcode == _CONTINUATION else length
            self._is_fragmented = not is_final
            if self._message > self.max_message_bytes:
                self.refusal = self.refusal or TOO_BIG
        self._left = length


def _head_length(head: bytes) -> int:
    """How long the head is that begins so, as far as one can tell: 2, then with its length and mask."""
    if len(head) < 2:
        return 2
    length = head[1] & 0x7F
    return 2 + {126: 2, 127: 8}.get(length, 0) + (4 if head[1] & 0x80 else 0)


def _payload_length(head: bytes) -> int:
    length = head[1] & 0x7F
    if length == 126:
        return int.from_bytes(head[2:4], "big")
    return int.from_bytes(head[2:10], "big") if length == 127 else length


def _length(data: bytes) -> float:
    """Of the frame that begins so; infinite while its head is not whole."""
    size = _head_length(data)
    return size + _payload_length(data) if len(data) >= max(size, 2) else math.inf


class Tunnel:
    """Both directions of one tunnel. `until` (monotonic): when somebody has to ask again whether it is allowed.

    It ends by a close frame to each side as soon as one may stand there; then each side has a moment to answer with its own.
    """

    def __init__(self, idle_s: float, max_message_bytes: int) -> None:
        self.idle_s = idle_s
        self.until = math.inf
        self.code = 0  # with which it is ended
        self._client = FrameCounter(max_message_bytes)
        self._server = FrameCounter(max_message_bytes)
        self._has_told_client = False
        self._has_told_server = False
        self._is_server_gone = False

    def passes(self, data: bytes, *, is_client: bool) -> bool:
        """Whether these bytes of one side may go on to the other; after False it has to be ended with `refusal`."""
        return (self._client if is_client else self._server).passes(data)

    @property
    def refusal(self) -> int:
        return self._client.refusal or self._server.refusal

    def end(self, code: int) -> tuple[bytes, bytes]:
        """What is to be written to the client and to the server now. Once."""
        self.code = code
        self._client.max_message_bytes = self._server.max_message_bytes = math.inf
        self._has_told_client, self._has_told_server = self._server.is_closing(), self._client.is_closing()
        return self._to_client(), self._to_server()

    def tail(self, data: bytes, *, is_client: bool) -> tuple[bytes, bytes]:
        """After `end`: the same, now that these bytes have come from one side."""
        if is_client:
            return b"", self._client.tail(data) + self._to_server()
        return self._server.tail(data) + self._to_client(), b""

    def server_gone(self) -> None:
        """Nothing more comes from there."""
        self._is_server_gone = True

    @property
    def is_over(self) -> bool:
        """Whether nobody is waited for any more."""
        if self._is_server_gone and not self._has_told_client:  # within a frame: it will never be whole
            return True
        return self._client.has_closed and (self._server.has_closed or self._is_server_gone)

    def _to_client(self) -> bytes:
        if self._has_told_client or not self._server.is_whole:
            return b""
        self._has_told_client = True
        return close_frame(self.code, is_masked=False)

    def _to_server(self) -> bytes:
        if self._has_told_server or not self._client.is_whole:
            return b""
        self._has_told_server = True
        return close_frame(self.code, is_masked=True)
