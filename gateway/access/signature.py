"""HTTP message signatures (RFC 9421) as a means of authentication: strict about what is signed, when, and that it comes once.

A caller signs with its AppSecret (`keyid` is the AppKey) or with a device's key (`keyid` is `device:<name>`).
"""

import time
from collections.abc import Awaitable, Callable

from core.cache import Replays
from core.errors import Unauthenticated
from gateway.access import structured
from gateway.access.components import coverage
from gateway.access.digest import body_of, check_content_digest
from gateway.access.once import once
from gateway.access.signers import Signer, Signers
from gateway.access.structured import Bare, InnerList, Item, Token
from gateway.identity import Identity
from gateway.identity import Means as Kind
from gateway.means import Means
from gateway.stage import Request
from registry.snapshot import Snapshot

TAG = "zhiyun"  # a signature with another tag is meant for somebody else (RFC 9421 §7.2.7)
WINDOW_S = 300
MAX_LABELS = 4
MAX_NONCE = 128


class SignatureMeans:
    """See gateway.means.Means. Of several signatures the first counts whose tag is ours, or absent, and whose key is known.

    Required: coverage as `Coverage.require` says; `created` within `window_s` of our clock, `keyid`, and `nonce`, which is
    remembered for as long as the signature could come again. `expires` and `alg` count where they are given.
    """

    kind: Kind = "signature"
    challenge = 'Signature realm="zhiyun"'

    def __init__(
        self, snapshot: Snapshot, replays: Replays, now: Callable[[], float] = time.time, *, window_s: float = WINDOW_S
    ) -> None:
        self._signers = Signers(snapshot, "signature")
        self._replays = replays
        self._now = now
        self._window_s = window_s

    def is_used(self, request: Request) -> bool:
        return request.is_signed and ("signature-input" in request.headers or "signature" in request.headers)

    def needs_body(self, request: Request) -> bool:
        return request.body_length != 0

    def identify(self, request: Request) -> Identity | Awaitable[Identity]:
        """Raises Unauthenticated: signature_malformed, _component_unsupported, _incomplete, _expired, _invalid, digest_mismatch or
        replayed; and what the replay store raises."""
        headers, now = request.headers, self._now()
        label, signed, signer = self._chosen(headers.get("signature-input", ""))
        signature = _signature(headers.get("signature", ""), label)
        left_s = self._check_time(signed.parameters, now)
        nonce = _text(signed.parameters, "nonce")
        if not 0 < len(nonce) <= MAX_NONCE:
            raise _malformed(f"a signature needs a nonce of 1 to {MAX_NONCE} characters")
        body = body_of(request)
        covered = coverage(signed.text)
        covered.require(request, has_body=bool(body))
        base = covered.base(request, signed)
        if signed.parameters.get("alg", signer.algorithm) != signer.algorithm or not signer.signed_until(base, signature, now):
            raise _invalid()
        if body or "content-digest" in headers:
            check_content_digest(headers.get("content-digest", ""), body)
        return once(signer.identity, self._replays.is_new(f"signature:{signer.identity.key}:{nonce}", left_s))

    def holds_until(self, request: Request) -> float:
        """As long as the key that signed; that its signature is new was asked when it came. Raises Unauthenticated."""
        label, signed, signer = self._chosen(request.headers.get("signature-input", ""))
        base = coverage(signed.text).base(request, signed)
        until = signer.signed_until(base, _signature(request.headers.get("signature", ""), label), self._now())
        if not until:
            raise _invalid()
        return until

    def _chosen(self, field: str) -> tuple[str, InnerList, Signer]:
        members = _dictionary(field, "Signature-Input")
        for label, member in members.items():
            if not isinstance(member, InnerList):
                raise _malformed(f"'{label}' in Signature-Input is no list of components")
            if member.parameters.get("tag", TAG) == TAG:
                signer = self._signers.find(_text(member.parameters, "keyid"))
                if signer is not None:
                    return label, member, signer
        raise Unauthenticated(
            "the signature's keyid is no AppKey and no device that may sign here, or its tag is not ours", code="signature_invalid"
        )

    def _check_time(self, parameters: dict[str, Bare], now: float) -> float:
        """The seconds for which the signature will still be accepted."""
        created, expires = parameters.get("created"), parameters.get("expires")
        if type(created) is not int or (expires is not None and type(expires) is not int):
            raise _malformed("a signature needs the parameter created, in whole seconds since 1970; expires likewise where given")
        if abs(now - created) > self._window_s:
            raise Unauthenticated(
                f"the signature's time of creation is more than {self._window_s:.0f} s from our clock", code="signature_expired"
            )
        if type(expires) is int and expires <= now:
            raise Unauthenticated("the signature has expired", code="signature_expired")
        return created + self._window_s - now + 1


def _dictionary(field: str, name: str) -> dict[str, Item | InnerList]:
    if not field:
        raise _malformed(f"the field {name} is missing: a signature needs Signature-Input and Signature (RFC 9421 §4)")
    try:
        members = structured.dictionary(field)
    except ValueError as error:
        raise _malformed(f"{name} can't be understood (RFC 9421 §4): {error}") from error
    if len(members) > MAX_LABELS:
        raise _malformed(f"{name} has {len(members)} signatures; at most {MAX_LABELS} are looked at")
    return members


def _signature(field: str, label: str) -> bytes:
    if field.startswith(f"{label}=:") and field.endswith(":") and field.count(":") == 2:  # the only one: nearly always
        try:
            return structured.byte_sequence(field[len(label) + 2 : -1])
        except ValueError as error:
            raise _malformed(f"Signature can't be understood: {error}") from error
    member = _dictionary(field, "Signature").get(label)
    if member is None or not isinstance(member[0], bytes):
        raise _malformed(f"Signature has no bytes for '{label}' of Signature-Input")
    return member[0]


def _text(parameters: dict[str, Bare], name: str) -> str:
    value = parameters.get(name, "")
    if not isinstance(value, str) or isinstance(value, Token):
        raise _malformed(f"the parameter {name} must be a quoted text")
    return value


def _invalid() -> Unauthenticated:
    return Unauthenticated(
        "the signature does not fit the request: compare the signature base, the key and the algorithm", code="signature_invalid"
    )


def _malformed(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, code="signature_malformed")


def _conforms(means: SignatureMeans) -> Means:
    return means
