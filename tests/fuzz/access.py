"""Fuzzes what reads credentials and signatures: whatever the bytes, nobody is let in and nothing but a refusal is raised.

By coverage (atheris) it is run by tools/fuzz.sh in .venv-fuzz as `python -m tests.fuzz.access TARGET FOLDER [libFuzzer options]`;
without arguments it lists the targets. tests/gateway/test_access_assembly.py runs each on a bounded number of inputs.
"""

import importlib
import sys
import time
from collections.abc import Callable

from cache.replays_memory import MemoryReplays
from core.errors import Unauthenticated, Unavailable
from gateway.access.api_key import ApiKey
from gateway.access.ca import CaMeans
from gateway.access.certificate import ClientCertificate
from gateway.access.dpop import DpopProofs
from gateway.access.jwt import parsed
from gateway.access.key_sets import keys_of
from gateway.access.signature import SignatureMeans
from gateway.http1.message import made_request
from gateway.means import Means
from gateway.stage import Request
from tests.fuzz.begin import begun
from tests.gateway import signing
from tests.gateway.access_desk import app_token, bearer, credentials, snapshot_of

_SNAPSHOT = snapshot_of()
_AT = time.time()  # the clock stands: what is refused is refused for its bytes, not for the hour
_BEARER, _KEY, _CERTIFICATE = bearer(_SNAPSHOT, now=lambda: _AT), ApiKey(credentials()), ClientCertificate(_SNAPSHOT.platform.apps)
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


def _rejected(means: Means, request: Request) -> None:
    try:
        means.identify(request)
    except Unauthenticated:
        return
    raise AssertionError("let in")


def _signature(data: bytes) -> None:
    """RFC 9421: both fields of the fuzzer's; then each of them beside the other that is right."""
    signed = signing.signed_request()
    first, _, second = data.decode("latin-1").partition("\n")
    right = dict(signed.headers)
    for fields in (
        {"signature-input": first, "signature": second},
        {"signature-input": first, "signature": right["signature"]},
        {"signature-input": right["signature-input"], "signature": first},
    ):
        if all(right[name] == value for name, value in fields.items()):
            continue
        request = made_request("GET", "/v1/customers?limit=2")
        request.scheme = "https"
        request._headers = right | fields
        try:
            SignatureMeans(signing.snapshot(), MemoryReplays(), lambda: signing.NOW).identify(request)
        except Unauthenticated:
            continue
        assert right["signature"][6:-1] in fields["signature"], "let in without the right signature's bytes"


def _ca(data: bytes) -> None:
    """X-Ca-*: five fields, the query and the body of the fuzzer's."""
    parts = data.split(b"\n") + [b""] * 7
    names = ("x-ca-key", "x-ca-signature", "x-ca-nonce", "x-ca-timestamp", "x-ca-signature-headers")
    request = made_request("POST", "/", body=parts[6])
    request._headers = {"host": "gateway"} | {name: part.decode("latin-1") for name, part in zip(names, parts, strict=False)}
    request._headers["x-ca-key"] = signing.KEY
    request.target = b"/?" + parts[5]
    _rejected(CaMeans(signing.snapshot(), MemoryReplays(), lambda: signing.NOW), request)


def _dpop(data: bytes) -> None:
    request = made_request("GET", "/", headers={"host": "gateway"})
    request._headers = {"host": "gateway", "dpop": data.decode("latin-1")}
    try:
        DpopProofs(MemoryReplays(), lambda: signing.NOW).check(request, token=None)
    except Unauthenticated:
        return
    raise AssertionError("let in")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "token": _token,
    "signed_part": _signed_part,
    "api_key": _api_key,
    "certificate": _certificate,
    "key_set": _key_set,
    "compact_form": _compact_form,
    "signature": _signature,
    "ca": _ca,
    "dpop": _dpop,
}


def _seeds(target: str) -> list[bytes]:
    if target == "signature":
        right = signing.signed_request().headers
        return [f"{right['signature-input']}\n{right['signature']}".encode()]
    if target == "ca":
        return [b"\n".join((b"", b"AAAA", b"n-1", str(int(signing.NOW * 1000)).encode(), b"X-Ca-Nonce", b"a=1", b"{}"))]
    return [app_token("a secret that no app of the platform has").encode(), _HEAD, _PAYLOAD]  # a right one would be let in


def main() -> None:
    asked = begun(TARGETS, _seeds)
    if asked is None:
        return
    target, folder = asked
    atheris = importlib.import_module("atheris")
    for name in [each for each in sys.modules if each.startswith(("gateway.access.", "tests.gateway."))]:
        del sys.modules[name]  # they and who holds them are imported anew, to be instrumented
    with atheris.instrument_imports(include=["gateway.access"]):
        targets = importlib.import_module("tests.fuzz.access").TARGETS
    atheris.Setup([sys.argv[0], str(folder), *sys.argv[3:]], targets[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
