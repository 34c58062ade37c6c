"""Client certificates, made and signed for real: by thumbprint, by subject, in time."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from config.model import App
from core.errors import Unauthenticated
from gateway.access.certificate import ClientCertificate
from gateway.identity import Identity
from gateway.stage import Request
from tests.gateway.access_desk import identified, refusal, request_of

_BORN = datetime(2026, 1, 1, tzinfo=UTC)
_NOW = _BORN + timedelta(days=10)


def _certificate(subject: str, *, days: int = 90) -> bytes:
    key = Ed25519PrivateKey.generate()
    name = x509.Name.from_rfc4514_string(subject)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), _BORN, _BORN + timedelta(days=days)
    )
    return builder.sign(key, None).public_bytes(Encoding.DER)


def _with(der: bytes | None) -> Request:
    request = request_of("GET", "/v1/customers")
    request.certificate = der
    return request


def _means(now: datetime = _NOW, **certificates: tuple[str, ...]) -> ClientCertificate:
    return ClientCertificate({name: App(plan="p", certificates=each) for name, each in certificates.items()}, now=now.timestamp)


_SHOP = _certificate("CN=shop,O=Acme\\, Ltd,C=CN")
_PRINT = hashlib.sha256(_SHOP).hexdigest()


@pytest.mark.parametrize(
    "declared",
    [
        _PRINT,
        _PRINT.upper(),
        ":".join(_PRINT[each : each + 2] for each in range(0, 64, 2)).upper(),
        "CN=shop,O=Acme\\, Ltd,C=CN",
        "2.5.4.3=shop,O=Acme\\2C Ltd,C=CN",
    ],
    ids=["print", "upper", "colons", "name", "oid"],
)
def test_it_stands_for_its_app_however_it_is_written(declared: str) -> None:
    means = _means(shop=(declared,))
    first = identified(means, _with(_SHOP))
    assert first == Identity("shop", "", means="certificate")
    assert identified(means, _with(bytes(bytearray(_SHOP)))) is first  # the memo's own, on another connection too


def test_it_is_used_where_the_listener_checked_one() -> None:
    assert _means().is_used(_with(_SHOP))
    assert not _means().is_used(_with(None))
    assert not _means().needs_body(_with(_SHOP))


@pytest.mark.parametrize(
    "declared", ["CN=Shop,O=Acme\\, Ltd,C=CN", "O=Acme\\, Ltd,C=CN", "C=CN,O=Acme\\, Ltd,CN=shop", "CN=shop", "0" * 64]
)
def test_another_certificate_stands_for_nobody(declared: str) -> None:
    assert refusal(_means(shop=(declared,)), _with(_SHOP)) == "certificate_unknown"


def test_the_thumbprint_counts_before_the_subject() -> None:
    means = _means(shop=(_PRINT,), other=("CN=shop,O=Acme\\, Ltd,C=CN",))
    assert identified(means, _with(_SHOP)).app == "shop"
    assert identified(means, _with(_certificate("CN=shop,O=Acme\\, Ltd,C=CN"))).app == "other"


def test_it_counts_only_within_its_time_also_from_the_memo() -> None:
    clock: list[datetime] = [_BORN - timedelta(seconds=1)]
    means = ClientCertificate({"shop": App(plan="p", certificates=(_PRINT,))}, now=lambda: clock[0].timestamp())
    assert refusal(means, _with(_SHOP)) == "certificate_expired"
    clock[0] = _BORN
    assert refusal(means, _with(_SHOP)) == "let in"
    assert means.holds_until(_with(_SHOP)) == (_BORN + timedelta(days=90)).timestamp()
    clock[0] = _BORN + timedelta(days=90)
    assert refusal(means, _with(_SHOP)) == "certificate_expired"
    with pytest.raises(Unauthenticated):
        means.holds_until(_with(_SHOP))


def test_what_two_apps_claim_stands_for_neither_and_the_log_says_so_once() -> None:
    with capture_logs() as logs:
        means = _means(shop=(_PRINT,), other=(_PRINT.upper(),), third=("no certificate", ""))
        for _ in range(3):
            assert refusal(means, _with(_SHOP)) == "certificate_unknown"
        assert refusal(means, _with(_certificate(""))) == "certificate_unknown"
    assert [each["event"] for each in logs] == [
        "a certificate stands for two apps, so for neither",
        "a certificate of an app is neither a thumbprint nor a subject",
        "a certificate of an app is neither a thumbprint nor a subject",
    ]


@given(st.one_of(st.binary(max_size=60), st.integers(0, len(_SHOP) - 1).map(lambda at: _SHOP[:at] + b"\xff" + _SHOP[at + 1 :])))
def test_what_is_no_certificate_lets_nobody_in(der: Any) -> None:
    if der != _SHOP:
        assert refusal(_means(shop=(_PRINT,)), _with(der)) == "certificate_unknown"
