"""A route's path: fixed segments, `{name}` for one segment, a last `{name...}` for the rest. For the check and the router."""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})(\.\.\.)?\}")
_FIXED = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@\u0080-\U0010ffff]|%[0-9A-Fa-f]{2})+")
_PLAIN = re.compile(r"(?:/[A-Za-z0-9\-_~][A-Za-z0-9\-_~.]*)*/?")
MAX_SEGMENTS = 32


class PathPattern(NamedTuple):
    """`segments` in order, percent-decoded, None where one is variable; `names` by position; `rest` names what follows (empty: the
    path ends there)."""

    segments: tuple[bytes | None, ...]
    names: tuple[tuple[int, str], ...]
    rest: str

    def exact(self) -> bytes | None:
        """The one path that fits, None where there are variables."""
        return None if self.names or self.rest else b"/" + b"/".join(self.segments)  # type: ignore[arg-type]  # none is None then


@lru_cache(maxsize=16_384)  # a reload parses only what is new
def parse_path(text: str) -> PathPattern:
    """A last slash makes no difference. Raises ValueError that says what is wrong."""
    parts = text.removesuffix("/").split("/")[1:]
    if len(parts) > MAX_SEGMENTS:
        raise ValueError(f"a path has at most {MAX_SEGMENTS} segments")
    if _PLAIN.fullmatch(text):  # most of ten thousand
        return PathPattern(tuple([part.encode() for part in parts]), (), "")
    segments: list[bytes | None] = []
    names: list[tuple[int, str]] = []
    rest = ""
    for part in parts:
        if rest:
            raise ValueError(f"{{{rest}...}} takes the rest of the path; nothing may follow it")
        if part[:1] != "{":
            segments.append(_fixed(part))
            continue
        name = _variable(part)
        if any(name.removesuffix("...") == known for _, known in names):
            raise ValueError(f"{{{name}}} stands in the path twice")
        if name.endswith("..."):
            rest = name[:-3]
        else:
            names.append((len(segments), name))
            segments.append(None)
    return PathPattern(tuple(segments), tuple(names), rest)


@lru_cache(maxsize=4096)
def _variable(part: str) -> str:
    if not _VARIABLE.fullmatch(part):
        raise ValueError(f"'{part}' is neither {{name}} nor a last {{name...}}; a variable is a whole segment")
    return part[1:-1]


@lru_cache(maxsize=4096)
def _fixed(part: str) -> bytes:
    if "{" in part or "}" in part:
        raise ValueError(f"'{part}': a variable is a whole segment, {{name}} or a last {{name...}}")
    if not part:
        raise ValueError("a path has no empty segment")
    if not _FIXED.fullmatch(part):
        raise ValueError(f"'{part}' holds a character that no path may have (RFC 3986 §3.3); write it percent-encoded")
    decoded = unquote_to_bytes(part)
    if decoded in (b".", b".."):
        raise ValueError("a path has no dot segment")
    if b"/" in decoded or b"\\" in decoded or b"\0" in decoded:
        raise ValueError(f"'{part}' holds an encoded slash or NUL, which is never sent upstream")
    return decoded
