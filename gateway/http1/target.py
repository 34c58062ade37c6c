"""The request target: made origin-form, and normalised, so that what is authorised is what is forwarded (RFC 3986 §6.2.2).

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


def origin_form(target: bytes, verb: bytes) -> tuple[bytes, bytes, bytes]:
    """A target in absolute-form (RFC 9112 §3.2.2) as scheme, authority and origin-form; any other with two empty ones, as it is.
    The authority is as it was written: whoever takes it judges it."""
    scheme, mark, rest = target[:8].lower().partition(b"://")
    if not mark or scheme not in (b"http", b"https"):
        return b"", b"", target
    rest = target[len(scheme) + 3 :]
    end = min([at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0], default=len(rest))
    authority, path = rest[:end], rest[end:]
    if not authority:
        raise malformed("the target has a scheme and no host")
    if not path:  # RFC 9112 §3.2.4 and §3.2.1
        return scheme, authority, b"*" if verb == b"OPTIONS" else b"/"
    return scheme, authority, path if path.startswith(b"/") else b"/" + path


def normalised(target: bytes, verb: bytes) -> tuple[bytes, bool]:
    """The target to be used from here on, and whether its path holds %2F or %5C. Raises Refused."""
    if not target.startswith(b"/"):
        if target == b"*" and verb == b"OPTIONS":
            return target, False
        raise malformed("the target must be a path, or http:// or https:// with a host: authority-form and * are not taken")
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
