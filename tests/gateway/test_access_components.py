"""Component values and signature bases: RFC 9421's own examples, and what is refused."""

import base64
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from config.model import Device
from core.errors import Unauthenticated
from gateway.access import structured
from gateway.access.components import coverage
from gateway.access.signers import DeviceSigner, Signer
from gateway.http1.message import Request
from tests.gateway import rfc9421
from tests.gateway.rfc9421 import Example
from tests.gateway.signing import request_from

TEST_REQUEST = request_from(rfc9421.TEST_REQUEST, rfc9421.BODY)


def base_of(request: Request, field: str) -> str:
    signed = structured.dictionary(f"sig={field}")["sig"]
    assert isinstance(signed, structured.InnerList)
    return coverage(signed.text).base(request, signed).decode()


def device(jwk: dict[str, str]) -> Signer:
    return DeviceSigner("till", Device(app="shop", key=jwk))


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize(
    ("example", "request_", "key"),
    [
        pytest.param(rfc9421.B21, TEST_REQUEST, rfc9421.RSA_PSS, id="B.2.1 minimal, rsa-pss-sha512"),
        pytest.param(rfc9421.B22, TEST_REQUEST, rfc9421.RSA_PSS, id="B.2.2 selective, rsa-pss-sha512"),
        pytest.param(rfc9421.B23, TEST_REQUEST, rfc9421.RSA_PSS, id="B.2.3 full coverage, rsa-pss-sha512"),
        pytest.param(rfc9421.B26, TEST_REQUEST, rfc9421.ED25519, id="B.2.6 ed25519"),
        pytest.param(rfc9421.B3, request_from(rfc9421.PROXIED_REQUEST, rfc9421.BODY), rfc9421.P256, id="B.3 ecdsa-p256-sha256"),
        *(
            pytest.param(rfc9421.B4, request_from(head), rfc9421.ED25519, id=f"B.4 number {number}")
            for number, head in enumerate(rfc9421.B4_STILL_VALID)
        ),
    ],
)
def test_the_examples_of_appendix_b_have_their_base_and_verify(example: Example, request_: Request, key: dict[str, str]) -> None:
    base = base_of(request_, example.input)
    assert base == example.base
    assert device(key).signed_until(base.encode(), base64.b64decode(example.signature), 0.0)
    assert not device(key).signed_until(base.encode() + b" ", base64.b64decode(example.signature), 0.0)


def test_b_2_4_a_response_verifies_by_its_key_and_its_component_is_no_request_s() -> None:
    signature = base64.b64decode(rfc9421.B24.signature)
    assert device(rfc9421.P256).signed_until(rfc9421.B24.base.encode(), signature, 0.0)
    with pytest.raises(Unauthenticated) as refused:
        base_of(TEST_REQUEST, rfc9421.B24.input)
    assert refused.value.specific_code == "signature_component_unsupported"


def test_b_2_5_hmac_reproduces() -> None:
    base = base_of(TEST_REQUEST, rfc9421.B25.input)
    assert base == rfc9421.B25.base
    # The RFC's secret is bytes that are no text, which an AppSecret never is: AppSigner's turn is in test_access_signature.
    made = hmac.digest(base64.b64decode(rfc9421.SHARED_SECRET), base.encode(), "sha256")
    assert base64.b64encode(made).decode() == rfc9421.B25.signature


def test_b_2_6_and_b_4_reproduce_and_a_fresh_ecdsa_signature_verifies() -> None:
    private = Ed25519PrivateKey.from_private_bytes(decoded(rfc9421.ED25519_PRIVATE))
    for example in (rfc9421.B26, rfc9421.B4):
        assert base64.b64encode(private.sign(example.base.encode())).decode() == example.signature
    ecdsa = derive_private_key(int.from_bytes(decoded(rfc9421.P256_PRIVATE), "big"), SECP256R1())
    numbers = decode_dss_signature(ecdsa.sign(b"data", ECDSA(SHA256())))
    raw = b"".join(number.to_bytes(32, "big") for number in numbers)
    assert device(rfc9421.P256).signed_until(b"data", raw, 0.0)
    assert not device(rfc9421.P256).signed_until(
        b"data", ecdsa.sign(b"data", ECDSA(SHA256())), 0.0
    )  # DER is JOSE's and the RFC's taboo


@pytest.mark.parametrize("head", rfc9421.B4_NOT_VALID)
def test_b_4_changed_messages_do_not_verify(head: bytes) -> None:
    base = base_of(request_from(head), rfc9421.B4.input)
    assert not device(rfc9421.ED25519).signed_until(base.encode(), base64.b64decode(rfc9421.B4.signature), 0.0)


def test_the_examples_of_section_2_2() -> None:
    request = request_from(b"POST /path?param=value HTTP/1.1\r\nHost: WWW.Example.com:443\r\n\r\n")
    names = ("@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query")
    base = base_of(request, "(" + " ".join(f'"{name}"' for name in names) + ")")
    assert base.splitlines()[:-1] == [
        '"@method": POST',
        '"@target-uri": https://www.example.com/path?param=value',
        '"@authority": www.example.com',
        '"@scheme": https',
        '"@request-target": /path?param=value',
        '"@path": /path',
        '"@query": ?param=value',
    ]
    absolute = request_from(b"GET https://www.example.com/path?param=value HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
    assert base_of(absolute, '("@request-target" "@path")').splitlines()[:-1] == [
        '"@request-target": https://www.example.com/path?param=value',
        '"@path": /path',
    ]
    bare = request_from(b"GET /path HTTP/1.1\r\nHost: www.example.com:8443\r\n\r\n")
    assert base_of(bare, '("@query" "@authority")').splitlines()[:-1] == ['"@query": ?', '"@authority": www.example.com:8443']


def test_the_examples_of_query_parameters_section_2_2_8() -> None:
    target = b"/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something&qux="
    request = request_from(b"GET " + target + b" HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
    names = ("var", "bar", "fa%C3%A7ade%22%3A%20", "qux")
    base = base_of(request, "(" + " ".join(f'"@query-param";name="{name}"' for name in names) + ")")
    assert base.split("\n")[:-1] == [
        '"@query-param";name="var": this%20is%20a%20big%0Amultiline%20value',
        '"@query-param";name="bar": with%20plus%20whitespace',
        '"@query-param";name="fa%C3%A7ade%22%3A%20": something',
        '"@query-param";name="qux": ',
    ]


def test_fields_that_repeat_are_joined_and_empty_ones_stay_section_2_1() -> None:
    request = request_from(
        b"GET / HTTP/1.1\r\nHost: a\r\nCache-Control: max-age=60\r\nCache-Control:    must-revalidate\r\nX-Empty-Header: \r\n\r\n"
    )
    base = base_of(request, '("cache-control" "x-empty-header")')
    assert base.split("\n")[:-1] == ['"cache-control": max-age=60, must-revalidate', '"x-empty-header": ']


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ('("date";sf)', "signature_component_unsupported"),
        ('("date";bs)', "signature_component_unsupported"),
        ('("date";tr)', "signature_component_unsupported"),
        ('("date";req)', "signature_component_unsupported"),
        ('("date";key="a")', "signature_component_unsupported"),
        ('("date";name="a")', "signature_component_unsupported"),
        ('("@method";req)', "signature_component_unsupported"),
        ('("@status")', "signature_component_unsupported"),
        ('("@signature-params")', "signature_component_unsupported"),
        ('("@unknown")', "signature_component_unsupported"),
        ('("x-chinese")', "signature_component_unsupported"),
        ("(date)", "signature_malformed"),
        ("(1)", "signature_malformed"),
        ("(:YQ==:)", "signature_malformed"),
        ('("Date")', "signature_malformed"),
        ('("da te")', "signature_malformed"),
        ('("")', "signature_malformed"),
        ('("date" "date")', "signature_malformed"),
        ('("@query-param";name="param" "@query-param";name="param")', "signature_malformed"),
        ('("@query-param")', "signature_malformed"),
        ('("@query-param";name=param)', "signature_malformed"),
        ('("@query-param";name="param";req)', "signature_malformed"),
        ('("@query-param";name="a\\"b")', "signature_malformed"),
        ('("@query-param";name="absent")', "signature_incomplete"),
        ('("@query-param";name="twice")', "signature_incomplete"),
        ('("x-absent")', "signature_incomplete"),
    ],
)
def test_what_can_t_be_covered_is_refused(field: str, code: str) -> None:
    request = request_from("GET /?param=1&twice=1&twice=2 HTTP/1.1\r\nHost: a\r\nDate: x\r\nX-Chinese: 号\r\n\r\n".encode())
    with pytest.raises(Unauthenticated) as refused:
        base_of(request, field)
    assert refused.value.specific_code == code


def test_a_value_can_forge_no_line() -> None:
    head = b'GET / HTTP/1.1\r\nHost: a\r\nX-Note: a\n"@method": POST\r\n\r\n'
    request = Request(b"GET", b"/", head, b"")  # which no listener lets pass: the base must hold by itself
    with pytest.raises(Unauthenticated):
        base_of(request, '("x-note")')
