"""Fuzzes what reads credentials: whatever the bytes, nobody is let in and nothing but a refusal is raised.

`fuzz_one` is for a fuzzer by coverage; tests/gateway/test_access_assembly.py runs it on a bounded number of inputs.
"""

from collections.abc import Callable

from core.errors import Unauthenticated, Unavailable
from gateway.access.api_key import ApiKey
from gateway.access.certificate import ClientCertificate
from gateway.access.jwt import parsed
from gateway.access.key_sets import keys_of
from gateway.means import Means
from gateway.stage import Request
from tests.gateway.access_desk import app_token, bearer, credentials, snapshot_of

_SNAPSHOT = snapshot_of()
_BEARER, _KEY, _CERTIFICATE = bearer(_SNAPSHOT), ApiKey(credentials()), ClientCertificate(_SNAPSHOT.platform.apps)
_HEAD, _PAYLOAD, _SIGNATURE = app_token().encode().split(b".")


def _refused(means: Means, *, authorization: bytes = b"", api_key: bytes = b"", certificate: bytes | None = None) -> None:
    request = Request(b"GET", b"/", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"")
    request.api_key = api_key
    request.authorization = authorization
    request.certificate = certificate
    means.is_used(request)
    try:
        means.identify(request)
    except Unauthenticated:
        return
    raise AssertionError("let in")


def _token(data: bytes) -> None:
    _refused(_BEARER, authorization=b"Bearer " + data)
    _refused(_BEARER, authorization=b"DPoP " + data)


def _signed_part(data: bytes) -> None:
    """A header or a payload of the fuzzer's beside parts that are right."""
    if data != _PAYLOAD:
        _refused(_BEARER, authorization=b".".join((b"Bearer " + _HEAD, data, _SIGNATURE)))
    if data != _HEAD:
        _refused(_BEARER, authorization=b".".join((b"Bearer " + data, _PAYLOAD, _SIGNATURE)))


def _api_key(data: bytes) -> None:
    _refused(_KEY, authorization=b"Basic " + data)
    _refused(_KEY, api_key=data)


def _certificate(data: bytes) -> None:
    _refused(_CERTIFICATE, certificate=data)


def _key_set(data: bytes) -> None:
    try:
        assert keys_of(data, "ES256")
    except Unavailable:
        return


def _compact_form(data: bytes) -> None:
    """What is taken apart is put together the same: one token, one spelling."""
    try:
        token = parsed(data)
    except Unauthenticated:
        return
    assert data.startswith(token.signed + b".")


TARGETS: tuple[Callable[[bytes], None], ...] = (_token, _signed_part, _api_key, _certificate, _key_set, _compact_form)


def fuzz_one(data: bytes) -> None:
    """The first byte chooses the target."""
    if data:
        TARGETS[data[0] % len(TARGETS)](data[1:])
