"""What an unquoted scalar of YAML 1.2's core schema means (§10.3.2). Pure; also for variables put into a document."""

import math
import re
from collections.abc import Mapping
from typing import Any

_INTEGER = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def plain_scalar(text: str) -> Any:
    """What an unquoted scalar means: null, a boolean, a number, or else text. `yes`, `on` and dates are text in YAML 1.2.

    A number that JSON or 64 bits can't hold stays text, so that a number field refuses it.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        whole = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        return whole if -(2**63) <= whole < 2**63 else text
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
