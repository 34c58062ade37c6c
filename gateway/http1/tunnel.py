"""The limits of a WebSocket tunnel: frames are counted while they pass, never kept (RFC 6455 §5.2). Pure."""

import struct

_CONTINUATION, _LAST_DATA, _FIRST_CONTROL, _LAST_CONTROL = 0x0, 0x2, 0x8, 0xA
_MAX_CONTROL = 125
TOO_BIG = b"\x88\x02" + struct.pack(">H", 1009)
MALFORMED = b"\x88\x02" + struct.pack(">H", 1002)


class FrameCounter:
    """One direction. A message is the sum of its fragments; what is over `max_message_bytes` or no frame is refused."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max = max_message_bytes
        self._left = 0  # payload bytes of the frame under way
        self._message = 0  # payload bytes of the message so far
        self._is_fragmented = False
        self._head = b""  # of a frame, as far as it has come
        self.refusal = b""

    def passes(self, data: bytes) -> bool:
        """Whether these bytes may go on; after False nothing more may, and `refusal` is the close frame that says why."""
        position, size = 0, len(data)
        while position < size:
            if self._left:
                taken = min(self._left, size - position)
                self._left -= taken
                position += taken
                continue
            needed = self._needed()
            taken = min(needed - len(self._head), size - position)
            self._head += data[position : position + taken]
            position += taken
            if len(self._head) >= 2 and len(self._head) == self._needed() and not self._frame():
                return False
        return True

    def _needed(self) -> int:
        """How long the frame's head is, as far as one can tell: 2, then with its length and mask."""
        if len(self._head) < 2:
            return 2
        length = self._head[1] & 0x7F
        return 2 + {126: 2, 127: 8}.get(length, 0) + (4 if self._head[1] & 0x80 else 0)

    def _frame(self) -> bool:
        head, self._head = self._head, b""
        opcode, is_final = head[0] & 0x0F, bool(head[0] & 0x80)
        length = head[1] & 0x7F
        if length == 126:
            length = int.from_bytes(head[2:4], "big")
        elif length == 127:
            length = int.from_bytes(head[2:10], "big")
        if _FIRST_CONTROL <= opcode <= _LAST_CONTROL:
            if length > _MAX_CONTROL or not is_final:
                self.refusal = MALFORMED
                return False
        elif opcode > _LAST_DATA or (opcode == _CONTINUATION) != self._is_fragmented:
            self.refusal = MALFORMED
            return False
        else:
            self._message = self._message + length if opcode == _CONTINUATION else length
            self._is_fragmented = not is_final
            if self._message > self._max:
                self.refusal = TOO_BIG
                return False
        self._left = length
        return True


class Tunnel:
    """Both directions of one tunnel."""

    def __init__(self, idle_s: float, max_message_bytes: int) -> None:
        self.idle_s = idle_s
        self._client = FrameCounter(max_message_bytes)
        self._server = FrameCounter(max_message_bytes)
        self.farewell = b""  # the close frame for the client, where a side was refused

    def passes(self, data: bytes, *, is_client: bool) -> bool:
        counter = self._client if is_client else self._server
        if counter.passes(data):
            return True
        self.farewell = counter.refusal
        return False
