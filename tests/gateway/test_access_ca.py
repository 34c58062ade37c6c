"""X-Ca signatures: a client of the origin gets in; what the origin lets pass unseen is refused."""

import base64
import hashlib
import hmac
import math
from collections.abc import Mapping
from urllib.parse import unquote_plus

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cache.replays_memory import MemoryReplays
from config.model import Device
from core.errors import Limited, Unauthenticated
from gateway.access.ca import CaMeans, string_to_sign
from gateway.access.jwk import packed
from gateway.http1.message import Request, made_request
from gateway.identity import Identity
from tests.gateway.ca_client import FORM, SIGNED, Parameters, ca_request, encoded
from tests.gateway.signing import ENDED_SECRET, NOW, OLD_SECRET, SECRET, code_by, identified_by, request_from, snapshot

SHOP = Identity("shop", "ak_shop", means="ca")
MD5_OF_X = base64.b64encode(hashlib.md5(b"x").digest()).decode()


STRICT = CaMeans(snapshot(), MemoryReplays(), lambda: NOW, strict_forms=True)


def means(now: float = NOW) -> CaMeans:
    return CaMeans(snapshot(), MemoryReplays(), lambda: now)


def identified(request: Request, by: CaMeans | None = None) -> Identity:
    return identified_by(by or means(), request)


def code_of(request: Request, by: CaMeans | None = None) -> str:
    return code_by(by or means(), request)


def changed(
    request: Request, target: str | None = None, body: bytes | None = None, *, fields: Mapping[str, str | None] | None = None
) -> Request:
    """The request with another target, body or header fields; None takes a field away."""
    merged = {**request.headers, **{name.replace("_", "-"): value for name, value in (fields or {}).items()}}
    headers = {name: value for name, value in merged.items() if value is not None}
    return made_request(
        request.method,
        request.target.decode() if target is None else target,
        headers=headers,
        body=(request.content or b"") if body is None else body,
    )


@pytest.mark.req("0.36")
def test_the_example_of_the_origin_s_documentation() -> None:
    request = request_from(
        b"POST /http2test/test?param1=test HTTP/1.1\r\nhost:api.aliyun.com\r\naccept:application/json; charset=utf-8\r\n"
        b"ca_version:1\r\ncontent-type:application/x-www-form-urlencoded; charset=utf-8\r\nx-ca-timestamp:1525872629832\r\n"
        b"date:Wed, 09 May 2018 13:30:29 GMT+00:00\r\nuser-agent:ALIYUN-ANDROID-DEMO\r\n"
        b"x-ca-nonce:c9f15cbf-f4ac-4a6c-b54d-f51abf4b5b44\r\nx-ca-key:203753385\r\nx-ca-signature-method:HmacSHA256\r\n"
        b"x-ca-signature-headers:x-ca-timestamp,x-ca-key,x-ca-nonce,x-ca-signature-method\r\ncontent-length:33\r\n\r\n"
    )
    assert string_to_sign(request, [("username", "xiaoming"), ("password", "123456789")]) == (
        "POST\napplication/json; charset=utf-8\n\napplication/x-www-form-urlencoded; charset=utf-8\n"
        "Wed, 09 May 2018 13:30:29 GMT+00:00\nx-ca-key:203753385\nx-ca-nonce:c9f15cbf-f4ac-4a6c-b54d-f51abf4b5b44\n"
        "x-ca-signature-method:HmacSHA256\nx-ca-timestamp:1525872629832\n"
        "/http2test/test?param1=test&password=123456789&username=xiaoming"
    )


def test_a_signature_from_the_tests_of_another_gateway() -> None:
    """From those of Higress's hmac-auth plug-in; its secret is `appSecret`, too short to be one of ours."""
    request = request_from(
        b"GET /Third/Tools/checkSign HTTP/1.1\r\nhost:a\r\naccept:application/json\r\ncontent-type:application/json\r\n"
        b"x-ca-timestamp:1646365291734\r\nx-ca-nonce:787dd0c2-7bd8-41cd-9c19-62c05ea524a2\r\nx-ca-key:appKey\r\n"
        b"x-ca-signature-headers:x-ca-key,x-ca-nonce,x-ca-timestamp\r\n\r\n"
    )
    made = hmac.digest(b"appSecret", string_to_sign(request, []).encode(), "sha256")
    assert base64.b64encode(made) == b"EdJSFAMOWyXZOpXhevZnjuS0ZafnwnCqaSk5hz+tXo8="


class TestAClientOfTheOriginGetsIn:
    @pytest.mark.parametrize(
        "query",
        [
            (),
            (("limit", "2"),),
            (("z", "1"), ("a", "2"), ("B", "3")),
            (("empty", ""), ("a", "1")),
            (("名", "值 with blank+plus%percent=equals"),),
            (("url", "http://a/b?c"),),
        ],
    )
    def test_with_parameters_in_the_query(self, query: Parameters) -> None:
        assert identified(ca_request(query=query)) == SHOP

    def test_with_a_form(self) -> None:
        assert identified(ca_request("POST", form=(("name", "王"), ("empty", ""), ("a", "1")))) == SHOP

    def test_with_a_form_and_a_query(self) -> None:
        form, query = (("name", "x"),), (("v", "1"),)
        assert identified(ca_request("POST", query=query, form=form)) == SHOP
        md5 = base64.b64encode(hashlib.md5(encoded(form).encode()).digest()).decode()
        assert identified(ca_request("POST", query=query, form=form, headers={"Content-MD5": md5}, nonce="md5"), STRICT) == SHOP

    def test_with_a_body(self) -> None:
        assert identified(ca_request("PUT", "/v1/customers/K1", (("v", "1"),), body=b'{"a": 1}')) == SHOP

    def test_with_a_form_s_content_type_on_a_get_as_some_clients_send(self) -> None:
        assert identified(ca_request(query=(("a", "1"),), headers={"Content-Type": FORM})) == SHOP

    @pytest.mark.parametrize(
        "signed",
        [
            ("x-ca-nonce", "x-ca-timestamp"),
            ("X-Ca-Timestamp", "X-Ca-Nonce", "X-Ca-Stage", "X-Empty"),
            ("X-Ca-Nonce", "X-Ca-Timestamp", "User-Agent"),
        ],
    )
    def test_with_other_signed_fields_in_any_order(self, signed: tuple[str, ...]) -> None:
        headers = {"X-Ca-Stage": "RELEASE", "X-Empty": "", "User-Agent": "a, b", "Date": "today"}
        lower = {name: headers.get(name, "") for name in headers}
        request = ca_request(headers=lower, signed=signed, text=_text(signed, lower))
        assert identified(request) == SHOP

    def test_with_its_method_named(self) -> None:
        assert identified(ca_request(headers={"X-Ca-Signature-Method": "HmacSHA256"})) == SHOP

    def test_with_the_older_secret_during_an_overlap_but_no_ended_one(self) -> None:
        assert identified(ca_request(secret=OLD_SECRET)) == SHOP
        assert code_of(ca_request(secret=ENDED_SECRET)) == "signature_invalid"


def test_a_request_that_was_let_in_holds_as_long_as_the_secret_that_signed_it() -> None:
    for secret, until in ((SECRET, math.inf), (OLD_SECRET, NOW + 1_000)):
        request = ca_request(secret=secret)
        by = means()
        identified(request, by)
        assert by.holds_until(request) == until, "neither its nonce nor its time is asked for again"
        assert means(NOW + 999).holds_until(request) == until
    with pytest.raises(Unauthenticated):
        means(NOW + 1_001).holds_until(ca_request(secret=OLD_SECRET))
    with pytest.raises(Unauthenticated):
        means().holds_until(ca_request(key="ak_gone"))


def _text(signed: tuple[str, ...], headers: Mapping[str, str]) -> str:
    known = {name.lower(): value for name, value in headers.items()}
    known |= {"x-ca-nonce": "n-1", "x-ca-timestamp": str(int(NOW * 1000)), "x-ca-key": "ak_shop"}
    lines = "".join(f"{name}:{known[name.lower()]}\n" for name in sorted(signed))
    return f"GET\napplication/json\n\n\n{headers.get('Date', '')}\n{lines}/v1/customers"


def test_what_is_asked_of_a_request() -> None:
    used = means()
    assert used.is_used(ca_request())
    assert used.is_used(made_request("GET", "/", headers={"x-ca-key": "k"}))
    assert used.is_used(request_from(b"GET / HTTP/1.1\r\nHost: a\r\nX-CA-KEY: k\r\n\r\n"))
    other = made_request("GET", "/x-ca-key", headers={"accept": "x-ca-key"})
    assert not used.is_used(other)
    assert other._headers is None  # it costs the others nothing
    assert not used.is_used(made_request("GET", "/", headers={"x-ca-stage": "RELEASE"}))
    assert used.needs_body(ca_request("POST", body=b"x"))
    assert not used.needs_body(ca_request())


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"x_ca_timestamp": None}, "signature_malformed"),
            ({"x_ca_timestamp": ""}, "signature_malformed"),
            ({"x_ca_timestamp": "-1"}, "signature_malformed"),
            ({"x_ca_timestamp": "1e12"}, "signature_malformed"),
            ({"x_ca_timestamp": "١٨٠٠٠٠٠٠٠٠٠٠٠"}, "signature_malformed"),
            ({"x_ca_timestamp": "9" * 16}, "signature_malformed"),
            ({"x_ca_timestamp": f"{NOW:.0f}"}, "signature_expired"),  # seconds
            ({"x_ca_nonce": None}, "signature_malformed"),
            ({"x_ca_nonce": ""}, "signature_malformed"),
            ({"x_ca_nonce": "n" * 129}, "signature_malformed"),
            ({"x_ca_nonce": "n-2"}, "signature_invalid"),
            ({"x_ca_key": None}, "signature_incomplete"),
            ({"x_ca_key": "ak_unknown"}, "signature_invalid"),
            ({"x_ca_key": "pk_partner"}, "signature_invalid"),
            ({"x_ca_signature": None}, "signature_malformed"),
            ({"x_ca_signature": "号"}, "signature_malformed"),
            ({"x_ca_signature": "AAAA"}, "signature_invalid"),
            ({"x_ca_signature_method": "HmacSHA1"}, "signature_malformed"),
            ({"x_ca_signature_method": ""}, "signature_malformed"),
            ({"x_ca_signature_headers": None}, "signature_incomplete"),
            ({"x_ca_signature_headers": "X-Ca-Timestamp"}, "signature_incomplete"),
            ({"x_ca_signature_headers": "X-Ca-Nonce"}, "signature_incomplete"),
            ({"x_ca_signature_headers": ",".join((*SIGNED, "X-Absent"))}, "signature_incomplete"),
            ({"x_ca_signature_headers": ",".join((*SIGNED, "x-ca-nonce"))}, "signature_malformed"),
            ({"x_ca_signature_headers": ",".join((*SIGNED, "Accept"))}, "signature_malformed"),
            ({"x_ca_signature_headers": ",".join((*SIGNED, "X-Ca-Signature"))}, "signature_malformed"),
            ({"x_ca_signature_headers": ",".join((*SIGNED, *(f"x{n}" for n in range(40))))}, "signature_malformed"),
            ({"x_ca_signature_headers": "x" * 5000}, "signature_malformed"),
            ({"accept": "text/plain"}, "signature_invalid"),
            ({"date": "today"}, "signature_invalid"),
            ({"content_type": "text/plain"}, "signature_invalid"),
            ({"content_md5": MD5_OF_X}, "signature_invalid"),
        ],
    )
    def test_of_fields(self, fields: dict[str, str | None], code: str) -> None:
        assert code_of(changed(ca_request(), fields=fields)) == code

    @pytest.mark.parametrize(("seconds", "code"), [(-901, "signature_expired"), (901, "signature_expired")])
    def test_of_another_time(self, seconds: float, code: str) -> None:
        assert code_of(ca_request(at=NOW + seconds)) == code
        assert identified(ca_request(at=NOW + seconds * 0.99)) == SHOP

    def test_of_timestamp_or_nonce_that_are_not_signed(self) -> None:
        assert code_of(ca_request(signed=("X-Ca-Key", "X-Ca-Nonce"))) == "signature_incomplete"
        assert code_of(ca_request(signed=("X-Ca-Key", "X-Ca-Timestamp"))) == "signature_incomplete"

    @pytest.mark.parametrize(
        "line",
        [b"X-Ca-Nonce: n-2", b"x-ca-timestamp: 1", b"X-Ca-Key: ak_2", b"Content-Type: a", b"Date: b", b"X-Ca-Signature: AAAA"],
    )
    def test_of_a_signed_field_that_comes_twice(self, line: bytes) -> None:
        headers = {"Content-Type": "c", "Date": "d"}
        head = ca_request(headers=headers).head
        assert identified(request_from(head, scheme="http")) == SHOP
        assert code_of(request_from(head[:-2] + line + b"\r\n\r\n")) == "signature_malformed"
        assert code_of(request_from(head.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\n" + line + b"\r\n", 1))) == "signature_malformed"

    def test_of_parameters_that_come_twice(self) -> None:
        """The origin signs the first value only: whoever sits between could add others."""
        signed = ca_request(query=(("a", "1"),))
        assert code_of(changed(signed, "/v1/customers?a=1&a=2")) == "signature_malformed"
        assert code_of(changed(signed, "/v1/customers?a=1&%61=2")) == "signature_malformed"
        form = ca_request("POST", form=(("a", "1"),))
        assert code_of(changed(form, body=b"a=1&a=2")) == "signature_malformed"

    def test_of_a_parameter_that_reads_as_two(self) -> None:
        signed = ca_request(query=(("a", "1"), ("b", "2")))
        assert code_of(changed(signed, "/v1/customers?a=1%26b%3D2")) == "signature_malformed"
        assert code_of(changed(signed, "/v1/customers?a%3D1%26b=2")) == "signature_malformed"
        assert code_of(changed(signed, "/v1/customers?a%3D1&b=2")) == "signature_malformed"

    def test_of_parameters_moved_between_query_and_form_where_forms_are_strict(self) -> None:
        form = ca_request("POST", form=(("a", "1"),))
        assert code_of(changed(form, "/v1/customers?a=1", b""), STRICT) == "signature_malformed"
        query = ca_request(query=(("a", "1"),), headers={"Content-Type": FORM})
        assert code_of(changed(query, "/v1/customers", b"a=1"), STRICT) == "signature_malformed"
        assert identified(form, STRICT) == SHOP
        assert identified(query, means()) == SHOP

    @pytest.mark.parametrize("target", ["/v1/customers?a=%FF", "/v1/customers?" + "&".join(f"p{n}=1" for n in range(101))])
    def test_of_a_query_that_can_t_be_read(self, target: str) -> None:
        assert code_of(changed(ca_request(), target)) == "signature_malformed"

    @pytest.mark.parametrize("body", [b"a=%FF", "a=号".encode(), "&".join(f"p{n}=1" for n in range(101)).encode()])
    def test_of_a_form_that_can_t_be_read(self, body: bytes) -> None:
        assert code_of(changed(ca_request("POST", form=(("a", "1"),)), body=body)) == "signature_malformed"

    def test_of_a_form_in_another_character_set(self) -> None:
        assert (
            code_of(ca_request("POST", form=(("a", "1"),), headers={"Content-Type": FORM.replace("UTF-8", "GBK")}))
            == "signature_malformed"
        )

    def test_of_a_body_without_its_digest_or_with_another_s(self) -> None:
        assert code_of(ca_request("POST", body=b"x", headers={"Content-MD5": ""})) == "signature_incomplete"
        assert code_of(ca_request("POST", body=b"y", headers={"Content-MD5": MD5_OF_X})) == "digest_mismatch"
        assert code_of(changed(ca_request("POST", body=b"x"), body=b"")) == "digest_mismatch"

    def test_of_a_device_s_key(self) -> None:
        """Devices sign by RFC 9421 only: this form has no public keys."""
        private = Ed25519PrivateKey.generate()
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": packed(private.public_key().public_bytes_raw()).decode()}
        unsigned = ca_request(key="device:till")
        signature = base64.b64encode(private.sign(string_to_sign(unsigned, []).encode())).decode()
        request = changed(unsigned, fields={"x_ca_signature": signature})
        used = CaMeans(snapshot({"till": Device(app="shop", key=jwk)}), MemoryReplays(), lambda: NOW)
        assert code_of(request, used) == "signature_invalid"


class TestReplays:
    def test_a_request_comes_once_and_a_refused_one_uses_up_nothing(self) -> None:
        once = means()
        assert code_of(ca_request(secret="wrong"), once) == "signature_invalid"
        assert identified(ca_request(), once) == SHOP
        assert code_of(ca_request(), once) == "replayed"
        assert identified(ca_request(nonce="n-2"), once) == SHOP

    def test_it_is_remembered_for_as_long_as_it_would_be_accepted(self) -> None:
        clock = [NOW]
        once = CaMeans(snapshot(), MemoryReplays(clock=lambda: clock[0]), lambda: clock[0])
        assert identified(ca_request(at=NOW + 900), once) == SHOP
        clock[0] = NOW + 1_800
        assert code_of(ca_request(at=NOW + 900), once) == "replayed"
        clock[0] = NOW + 1_801
        assert code_of(ca_request(at=NOW + 900), once) == "signature_expired"

    def test_a_full_store_is_said_so(self) -> None:
        full = CaMeans(snapshot(), MemoryReplays(max_entries=1), lambda: NOW)
        assert identified(ca_request(), full) == SHOP
        with pytest.raises(Limited):
            full.identify(ca_request(nonce="n-2"))


QUERY, FORM_FIELDS = (("limit", "2"), ("name", "王 x")), (("note", "a+b"), ("n", "1"))


class TestFuzz:
    @settings(max_examples=250, deadline=None)
    @given(
        part=st.sampled_from(
            [
                "verb",
                "path",
                "query",
                "body",
                "x-ca-nonce",
                "x-ca-key",
                "content-type",
                "accept",
                "x-ca-signature",
                "x-ca-timestamp",
            ]
        ),
        has_form=st.booleans(),
        at=st.integers(0, 200),
        byte=st.integers(0x21, 0x7E),
        how=st.sampled_from(["set", "insert", "delete"]),
    )
    def test_no_changed_request_passes(self, part: str, has_form: bool, at: int, byte: int, how: str) -> None:
        """Changed in meaning: the origin signs parameters decoded and sorted, so their spelling and order may differ."""
        request = ca_request("POST", form=FORM_FIELDS) if has_form else ca_request("PUT", query=QUERY, body=b'{"a": 1}')
        path, _, query = request.target.partition(b"?")
        before = {"verb": request.verb, "path": path, "query": query, "body": request.content or b""}.get(part)
        raw = request.headers[part].encode() if before is None else before
        assume(raw)
        at %= len(raw)
        after = raw[:at] + (b"" if how == "delete" else bytes([byte])) + raw[at if how == "insert" else at + 1 :]
        assume(_meaning(after, part, has_form) != _meaning(raw, part, has_form))
        if part == "verb":
            request.verb = after
        elif part in ("path", "query"):
            request.target = (after if part == "path" else path) + (b"?" + (after if part == "query" else query) if query else b"")
        elif part == "body":
            request.content, request.body_length = after, len(after)
        else:
            request = changed(request, fields={part: after.decode()})
        with pytest.raises(Unauthenticated):
            means().identify(request)

    @settings(max_examples=200, deadline=None)
    @given(
        headers=st.dictionaries(
            st.sampled_from(
                [
                    "x-ca-key",
                    "x-ca-signature",
                    "x-ca-nonce",
                    "x-ca-timestamp",
                    "x-ca-signature-headers",
                    "content-type",
                    "content-md5",
                ]
            ),
            st.one_of(
                st.text(max_size=30), st.sampled_from(["ak_shop", str(int(NOW * 1000)), "X-Ca-Nonce,X-Ca-Timestamp", FORM, "AAAA"])
            ),
        ),
        query=st.binary(max_size=30),
        body=st.binary(max_size=30),
    )
    def test_whatever_comes_is_refused_in_good_order(self, headers: dict[str, str], query: bytes, body: bytes) -> None:
        request = made_request("POST", "/", body=body)
        request._headers = headers
        request.target = b"/?" + query
        with pytest.raises(Unauthenticated):
            means().identify(request)


def _meaning(raw: bytes, part: str, has_form: bool) -> object:
    """Query and form as sorted pairs, an absent value as an empty one; anything else byte for byte."""
    if part != "query" and not (part == "body" and has_form):
        return raw
    pairs = [each.partition("=") for each in raw.decode().split("&") if each]
    return sorted((unquote_plus(name), unquote_plus(value)) for name, _, value in pairs)
