"""JSON bodies read and written without loss: a number keeps its digits, so that a body that is only looked at comes out as it was.

For stages that work on bodies.
"""

from decimal import Decimal
from typing import Any

import msgspec

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def decoded(body: bytes) -> Any:
    """The value; numbers with a fraction or an exponent are Decimals. Raises ValueError for what is no JSON."""
    try:
        return _DECODER.decode(body)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except ArithmeticError:
        raise ValueError("a number out of range") from None


def encoded(value: Any) -> bytes:
    """What `decoded` gave, or was made of it. Raises ValueError for what JSON can't hold (half a surrogate pair)."""
    try:
        return _ENCODER.encode(value)
    except RecursionError:
        raise ValueError("nested too deep") from None


def is_json(content_type: str) -> bool:
    """application/json, or a type that is written in it (RFC 6839 §3.1)."""
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or media.endswith("+json")
