"""Identifiers: their types, and how fresh ones are made."""

import os
import time
from typing import NewType

RequestId = NewType("RequestId", str)
AppKey = NewType("AppKey", str)
NodeId = NewType("NodeId", str)

_BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


def _base32(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        digits.append(_BASE32[value & 31])
        value >>= 5
    return "".join(reversed(digits))


def new_id(prefix: str = "") -> str:
    """26 characters that sort by time of making (48 bits of milliseconds, 80 random bits: the ULID layout), after `prefix`."""
    return prefix + _base32((time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10)), 26)


def last_id_at(epoch_ms: int) -> str:
    """The greatest id that `new_id()` can give in that millisecond: every id made until then is not greater."""
    return _base32((epoch_ms << 80) | ((1 << 80) - 1), 26)


def new_request_id() -> RequestId:
    """One per request, returned to the caller as `X-Request-Id` and written into every log line about it."""
    return RequestId(new_id())
