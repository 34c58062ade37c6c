"""The request target: origin-form only, and normalised, so that what is authorised is what is forwarded (RFC 3986 §6.2.2).

Refused is whatever two readers could take for different paths: dot segments, empty segments, backslashes, broken triplets.
"""

import re

from gateway.http1.fields import PATH_BYTES, QUERY_BYTES
from gateway.http1.refused import Refused, malformed

_TRIPLET = re.compile(rb"%([0-9A-Fa-f]{2})")
_ENCODED_SLASH = re.compile(rb"%2F|%5C")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_NORMAL = {
    b"%02x" % code: bytes([code]) if code in _UNRESERVED else b"%%%02X" % code for code in range(256)
}  # RFC 3986 §6.2.2.1 and §6.2.2.2


def normalised(target: bytes, verb: bytes) -> tuple[bytes, bool]:
    """The target to be used from here on, and whether its path holds %2F or %5C. Raises Refused."""
    if not target.startswith(b"/"):
        if target == b"*" and verb == b"OPTIONS":
            return target, False
        raise malformed("the target must be a path: absolute-form, authority-form and * are not taken")
    path, mark, query = target.partition(b"?")
    _check_query(query)
    path = _normal_path(path)
    if b"//" in path:
        raise Refused(400, "ambiguous_path", "the path holds an empty segment (//)")
    has_encoded_slash = b"%2F" in path or b"%5C" in path
    _check_dots(_ENCODED_SLASH.sub(b"/", path) if has_encoded_slash else path)
    return path + mark + query, has_encoded_slash


def _normal_path(path: bytes) -> bytes:
    if path.translate(None, PATH_BYTES + b"/%"):
        raise malformed("the path holds a byte that must be percent-encoded")
    if b"%" not in path:
        return path
    _check_triplets(path)
    if b"%00" in path:
        raise malformed("the path holds an encoded NUL")
    return _TRIPLET.sub(_normal_triplet, path)


def _normal_triplet(match: "re.Match[bytes]") -> bytes:
    return _NORMAL[match[1].lower()]


def _check_query(query: bytes) -> None:
    if query.translate(None, QUERY_BYTES + b"%"):
        raise malformed("the query holds a byte that must be percent-encoded")
    if b"%" in query:
        _check_triplets(query)


def _check_triplets(text: bytes) -> None:
    if text.count(b"%") != len(_TRIPLET.findall(text)):
        raise malformed("a percent sign is not followed by two hexadecimal digits")


def _check_dots(path: bytes) -> None:
    """Dots before `;` count too: some servers cut path parameters off first."""
    for segment in path.split(b"/"):
        if segment[:1] == b"." and segment.partition(b";")[0] in (b".", b".."):
            raise Refused(400, "ambiguous_path", "the path holds a dot segment")
