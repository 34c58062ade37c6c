"""The `X-Ca-*` signature that clients of Alibaba Cloud's API gateway already make (DESIGN §6), read more strictly than its origin.

What is signed: method, Accept, Content-MD5, Content-Type and Date, each on its line; the fields named in X-Ca-Signature-Headers as
`name:value` lines, sorted; then the path with the parameters of query and form, decoded, sorted by name, joined by `&`.
"""

import hashlib
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from urllib.parse import parse_qsl

from core.cache import Replays
from core.errors import Unauthenticated
from gateway.access.digest import body_of
from gateway.access.once import once
from gateway.access.signers import Signer, Signers
from gateway.access.structured import byte_sequence
from gateway.http1.message import MAX_QUERY_FIELDS
from gateway.identity import Identity
from gateway.identity import Means as Kind
from gateway.means import Means
from gateway.stage import Request
from registry.snapshot import Snapshot

WINDOW_S = 900  # the origin's
MAX_NONCE = 128
MAX_SIGNED_FIELDS = 32
_MAX_CHARACTERS = 1024
_KNOWN_LISTS = 512
_FORM = "application/x-www-form-urlencoded"
_NOT_LISTED = frozenset({"x-ca-signature", "x-ca-signature-headers", "accept", "content-md5", "content-type", "date"})
_WITHOUT_FORM = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS"})
_ONCE = ("content-md5", "content-type", "date", "x-ca-signature", "x-ca-signature-headers", "x-ca-signature-method")


class CaMeans:
    """See gateway.means.Means. Stricter than the origin, so that one text to sign stands for one request only:

    - X-Ca-Timestamp (milliseconds, within `window_s` of our clock) and X-Ca-Nonce must come and be signed; the nonce is remembered.
    - A body needs Content-MD5, unless it is a form, whose parameters are signed; a Content-MD5 that comes is always checked.
    - Signed fields come once, and so do parameters: the origin signs the first value only.
    - No parameter may have `&` in it, nor `=` in its name: they are signed decoded, and would read as other parameters.

    A parameter without a value is signed by its name alone, with or without `=`. The path is signed as it is sent, percent-encoded.
    The host is not signed, unless the client lists it.

    Query and form are signed as one list, as the origin documents it: that a parameter was moved from one to the other is not seen.
    `strict_forms` closes this: where Content-Type is a form's, parameters come from the query (GET, HEAD, DELETE, OPTIONS) or from
    the form (other methods), unless Content-MD5 says what the body is.
    """

    kind: Kind = "ca"
    challenge = 'X-Ca realm="zhiyun"'

    def __init__(
        self,
        snapshot: Snapshot,
        replays: Replays,
        now: Callable[[], float] = time.time,
        *,
        window_s: float = WINDOW_S,
        strict_forms: bool = False,
    ) -> None:
        self._strict_forms = strict_forms
        self._signers = Signers(snapshot, "ca")
        self._replays = replays
        self._now = now
        self._window_s = window_s

    def is_used(self, request: Request) -> bool:
        return request.is_signed and ("x-ca-signature" in request.headers or "x-ca-key" in request.headers)

    def needs_body(self, request: Request) -> bool:
        return request.body_length != 0

    def identify(self, request: Request) -> Identity | Awaitable[Identity]:
        """Raises Unauthenticated: signature_malformed, _incomplete, _expired, _invalid, digest_mismatch or replayed; and what the
        replay store raises."""
        headers, now = request.headers, self._now()
        _check_once(request)
        left_s = self._check_time(headers.get("x-ca-timestamp", ""), now)
        nonce = headers.get("x-ca-nonce", "")
        if not 0 < len(nonce) <= MAX_NONCE:
            raise _malformed(f"X-Ca-Nonce must have 1 to {MAX_NONCE} characters")
        if headers.get("x-ca-signature-method", "HmacSHA256") != "HmacSHA256":
            raise _malformed("X-Ca-Signature-Method must be HmacSHA256")
        body = body_of(request)
        if self._strict_forms:
            _check_form_is_told(request, body)
        signer, _ = self._signed(request, body, now)
        _check_md5(headers, body)
        return once(signer.identity, self._replays.is_new(f"ca:{signer.identity.key}:{nonce}", left_s))

    def holds_until(self, request: Request) -> float:
        """As long as the secret that signed; that its signature is new was asked when it came. Raises Unauthenticated."""
        return self._signed(request, body_of(request), self._now())[1]

    def _signed(self, request: Request, body: bytes, now: float) -> tuple[Signer, float]:
        """Who has signed, and until when that key lives."""
        headers = request.headers
        text = string_to_sign(request, _form(headers, body))
        signer = self._signers.find(headers.get("x-ca-key", ""))
        until = 0.0 if signer is None else signer.signed_until(text.encode(), _signature(headers), now)
        if signer is None or not until:
            raise Unauthenticated(
                "X-Ca-Signature does not fit the request: compare the string to sign, X-Ca-Key and its secret",
                code="signature_invalid",
            )
        return signer, until

    def _check_time(self, text: str, now: float) -> float:
        """The seconds for which the signature will still be accepted."""
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise _malformed("X-Ca-Timestamp must be the time in milliseconds since 1970")
        made = int(text) / 1000
        if abs(now - made) > self._window_s:
            raise Unauthenticated(f"X-Ca-Timestamp is more than {self._window_s:.0f} s from our clock", code="signature_expired")
        return made + self._window_s - now + 1


def string_to_sign(request: Request, form: list[tuple[str, str]]) -> str:
    """The text that the client has signed, from what arrived."""
    headers = request.headers
    lines = [request.verb.decode("ascii")]
    lines += [headers.get(name, "") for name in ("accept", "content-md5", "content-type", "date")]
    lines += _signed_fields(request)
    lines.append(_resource(request, form))
    return "\n".join(lines)


def _signed_fields(request: Request) -> list[str]:
    """`name:value` for each field that X-Ca-Signature-Headers names."""
    headers = request.headers
    listed = headers.get("x-ca-signature-headers", "")
    if len(listed) > _MAX_CHARACTERS:
        raise _malformed(f"X-Ca-Signature-Headers may have {_MAX_CHARACTERS} characters at most")
    lines = []
    for name, lower in _listed_names(listed):
        value = headers.get(lower)
        if value is None:
            raise _incomplete(f"X-Ca-Signature-Headers names {name}, which the request does not have")
        if "," in value and _count(request, lower) > 1:
            raise _malformed(f"the signed field {name} comes more than once")
        lines.append(f"{name}:{value}")
    return lines


@lru_cache(maxsize=_KNOWN_LISTS)
def _listed_names(listed: str) -> tuple[tuple[str, str], ...]:
    """The names as they are spelled, in their order by code point, each with its lower-case form: a client that signs one spelling
    lists the same."""
    names = sorted(name.strip() for name in listed.split(","))
    lowered = [name.lower() for name in names]
    if len(names) > MAX_SIGNED_FIELDS:
        raise _malformed(f"X-Ca-Signature-Headers may name {MAX_SIGNED_FIELDS} fields at most")
    if "x-ca-timestamp" not in lowered or "x-ca-nonce" not in lowered:
        raise _incomplete("X-Ca-Signature-Headers must name X-Ca-Timestamp and X-Ca-Nonce: both have to be signed")
    if len(set(lowered)) != len(lowered) or not _NOT_LISTED.isdisjoint(lowered):
        raise _malformed("X-Ca-Signature-Headers names a field twice, or one that is signed elsewhere")
    return tuple(zip(names, lowered, strict=True))


def _check_once(request: Request) -> None:
    headers = request.headers
    for name in _ONCE:
        if "," in headers.get(name, "") and _count(request, name) > 1:
            raise _malformed(f"the field {name} comes more than once")


def _count(request: Request, name: str) -> int:
    return request.head.lower().count(f"\r\n{name}:".encode())


def _resource(request: Request, form: list[tuple[str, str]]) -> str:
    path, _, query = request.target.partition(b"?")
    resource = path.decode("ascii", "replace")
    parameters = _parameters(query) + form if query else form
    if not parameters:
        return resource
    names = {name for name, _ in parameters}
    if len(names) != len(parameters):
        raise _malformed(
            "a parameter comes more than once in query and form: this kind of signature would cover its first value only"
        )
    if any("&" in name or "=" in name or "&" in value for name, value in parameters):
        raise _malformed(
            "a parameter has `&` in it (or `=` in its name), which this kind of signature can't tell from two parameters"
        )
    return f"{resource}?{'&'.join([f'{name}={value}' if value else name for name, value in sorted(parameters)])}"


def _check_form_is_told(request: Request, body: bytes) -> None:
    is_out_of_place = body if request.verb in _WITHOUT_FORM else b"?" in request.target
    if is_out_of_place and _is_form(request.headers) and "content-md5" not in request.headers:
        raise _malformed("parameters in query and form read the same to this kind of signature: send Content-MD5 as well")


def _form(headers: Mapping[str, str], body: bytes) -> list[tuple[str, str]]:
    """The parameters of a form that is the body; none for other bodies."""
    return _parameters(body) if body and _is_form(headers) else []


def _parameters(raw: bytes) -> list[tuple[str, str]]:
    """The parameters of a query or form, decoded, as `Request.query` has them."""
    try:
        text = raw.decode("ascii")
        if "%" in text or "+" in text or text.count("&") >= MAX_QUERY_FIELDS:
            return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict")
    except ValueError:
        raise _malformed(f"query and form may have at most {MAX_QUERY_FIELDS} parameters each, percent-encoded in UTF-8") from None
    pairs = [part.partition("=") for part in text.split("&") if part]  # nothing to decode: several times as fast
    return [(name, value) for name, _, value in pairs]


def _is_form(headers: Mapping[str, str]) -> bool:
    kind, _, parameters = headers.get("content-type", "").lower().partition(";")
    if kind.strip() != _FORM:
        return False
    if "charset" in parameters and parameters.strip().replace('"', "") not in ("charset=utf-8", "charset=utf8"):
        raise _malformed("the form in the body must be in UTF-8")
    return True


def _check_md5(headers: Mapping[str, str], body: bytes) -> None:
    given = headers.get("content-md5", "")
    if not given:
        if body and not _is_form(headers):
            raise _incomplete("a body that is no form needs Content-MD5")
        return
    if given != b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode():
        raise Unauthenticated("Content-MD5 is not the digest of the body that arrived", code="digest_mismatch")


def _signature(headers: Mapping[str, str]) -> bytes:
    text = headers.get("x-ca-signature", "")
    if not text:
        raise _malformed("X-Ca-Signature is missing")
    try:
        return byte_sequence(text)
    except ValueError as error:
        raise _malformed("X-Ca-Signature must be base64") from error


def _malformed(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, code="signature_malformed")


def _incomplete(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, code="signature_incomplete")


def _conforms(means: CaMeans) -> Means:
    return means
