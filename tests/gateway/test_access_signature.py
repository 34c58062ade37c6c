"""RFC 9421 signatures as a means: what passes, what is refused and with which code."""

import itertools
import math
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.replays_memory import MemoryReplays
from config.model import Device
from core.errors import InvalidInput, Unauthenticated, Unavailable
from gateway.access.ca import CaMeans
from gateway.access.signature import SignatureMeans
from gateway.http1.message import Request, made_request
from gateway.identity import Identity
from gateway.pipe import Pipe, run
from gateway.problems import status_of
from gateway.stage import Response
from gateway.stages.authenticate import Authenticate
from tests.conformance.stage_suite import StageSuite
from tests.gateway import rfc9421
from tests.gateway.signing import (
    COVERED,
    ENDED_SECRET,
    KEY,
    NOW,
    OLD_SECRET,
    SECRET,
    code_by,
    digest,
    hmac_with,
    identified_by,
    request_from,
    signed_request,
    snapshot,
)
from tests.gateway.signing import signature_means as means

URL = "https://gateway/v1/customers?limit=2"
SHOP = Identity("shop", KEY, means="signature")
_NONCES = itertools.count()


def identified(request: Request, by: SignatureMeans | None = None) -> Identity:
    return identified_by(by or means(), request)


def code_of(request: Request, by: SignatureMeans | None = None) -> str:
    return code_by(by or means(), request)


def changed(request: Request, **fields: str | None) -> Request:
    """The request with other header fields; None takes one away."""
    headers = {name: value for name, value in request.headers.items() if name != "host"}
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    merged = {name: value for name, value in (headers | given).items() if value is not None}
    made = made_request(
        request.method, request.target.decode(), headers={"host": request.host.decode()} | merged, body=request.content or b""
    )
    made.scheme = request.scheme
    return made


@pytest.mark.req("0.36")
class TestAnAppSignsWithItsSecret:
    def test_a_request_without_a_body(self) -> None:
        assert identified(signed_request()) == SHOP

    @pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
    def test_a_request_with_a_body(self, algorithm: str) -> None:
        body = b'{"name": "x"}'
        assert identified(signed_request("POST", URL, body=body, headers={"content-digest": digest(body, algorithm)})) == SHOP

    @pytest.mark.parametrize(
        "covered", [("@method", "@target-uri"), ("@method", "@authority", "@request-target"), ("date", *COVERED)]
    )
    def test_other_coverage_that_is_enough(self, covered: tuple[str, ...]) -> None:
        assert identified(signed_request(headers={"date": "today"}, covered=covered)) == SHOP

    def test_the_query_needs_no_coverage_where_there_is_none(self) -> None:
        assert identified(signed_request(url="https://gateway/v1/customers", covered=("@method", "@authority", "@path"))) == SHOP

    def test_either_secret_during_an_overlap_and_none_that_has_ended(self) -> None:
        assert identified(signed_request(sign=hmac_with(OLD_SECRET))) == SHOP
        assert code_of(signed_request(sign=hmac_with(ENDED_SECRET))) == "signature_invalid"
        late = means(now=NOW + 1_000)
        assert code_of(signed_request(sign=hmac_with(OLD_SECRET), created=int(NOW + 1_000)), late) == "signature_invalid"
        assert identified(signed_request(created=int(NOW + 1_000)), late) == SHOP

    def test_a_proxy_s_key_signs_for_no_app(self) -> None:
        assert code_of(signed_request(keyid="pk_partner")) == "signature_invalid"

    def test_among_several_signatures_ours_is_found(self) -> None:
        ours = signed_request()
        foreign = '("date");created=1;keyid="somebody"'
        mixed = changed(
            ours,
            signature_input=f"theirs={foreign}, {ours.headers['signature-input']}",
            signature=f"theirs=:AAAA:, {ours.headers['signature']}",
        )
        assert identified(mixed) == SHOP

    def test_signature_input_in_other_clothes_has_the_same_canonical_form(self) -> None:
        ours = signed_request()
        spaced = ours.headers["signature-input"].replace('" "', '"   "').replace("(", "(  ").replace(";", ";  ")
        assert identified(changed(ours, signature_input=spaced)) == SHOP


class TestWhatIsAsked:
    def test_of_a_request(self) -> None:
        used = means()
        assert used.is_used(signed_request())
        assert used.is_used(made_request("GET", "/", headers={"signature": "a=:AA==:"}))
        assert used.is_used(request_from(b"GET / HTTP/1.1\r\nHost: a\r\nSIGNATURE-Input: a=()\r\n\r\n"))
        bearer = made_request("GET", "/signature", headers={"authorization": "Bearer x"})
        assert not used.is_used(bearer)
        assert bearer._headers is None  # it costs the others nothing
        assert not used.is_used(made_request("GET", "/", headers={"signature-agent": "x", "x-signature": "y"}))
        assert used.needs_body(made_request("POST", "/", body=b"x"))
        assert not used.needs_body(made_request("GET", "/"))
        chunked = made_request("POST", "/")
        chunked.body_length = -1
        assert used.needs_body(chunked)

    def test_a_body_that_was_not_read_is_never_believed(self) -> None:
        request = signed_request("POST", URL, body=b"x")
        request.content = None
        with pytest.raises(RuntimeError):
            means().identify(request)


class TestRefusals:
    @pytest.mark.parametrize(
        ("parameters", "code"),
        [
            (f';keyid="{KEY}";nonce="n"', "signature_malformed"),
            (f';created=1.5;keyid="{KEY}";nonce="n"', "signature_malformed"),
            (f';created="{NOW:.0f}";keyid="{KEY}";nonce="n"', "signature_malformed"),
            (f';created;keyid="{KEY}";nonce="n"', "signature_malformed"),
            (f';created={NOW:.0f};keyid={KEY};nonce="n"', "signature_malformed"),
            (f';created={NOW:.0f};keyid="{KEY}"', "signature_malformed"),
            (f';created={NOW:.0f};keyid="{KEY}";nonce=""', "signature_malformed"),
            (f';created={NOW:.0f};keyid="{KEY}";nonce=n', "signature_malformed"),
            (f';created={NOW:.0f};keyid="{KEY}";nonce="{"n" * 129}"', "signature_malformed"),
            (f';created={NOW:.0f};keyid="{KEY}";nonce="n";nonce="m"', "signature_malformed"),
            (f';created={NOW:.0f};keyid="{KEY}";nonce="n";expires="never"', "signature_malformed"),
            (f';created={NOW:.0f};keyid="{KEY}";nonce="n";alg=1', "signature_invalid"),
            (f';created={NOW:.0f};keyid="{KEY}";nonce="n";alg="ed25519"', "signature_invalid"),
            (f';created={NOW:.0f};keyid="{KEY}";nonce="n";tag="another-use"', "signature_invalid"),
            (f';created={NOW:.0f};keyid="ak_unknown";nonce="n"', "signature_invalid"),
            (f';created={NOW:.0f};nonce="n"', "signature_invalid"),
            (f';created={NOW - 301:.0f};keyid="{KEY}";nonce="n"', "signature_expired"),
            (f';created={NOW + 301:.0f};keyid="{KEY}";nonce="n"', "signature_expired"),
            (f';created={NOW:.0f};keyid="{KEY}";nonce="n";expires={NOW:.0f}', "signature_expired"),
        ],
    )
    def test_of_parameters(self, parameters: str, code: str) -> None:
        assert code_of(signed_request(parameters=parameters)) == code

    @pytest.mark.parametrize(
        "parameters",
        [
            f';created={NOW - 300:.0f};keyid="{KEY}";nonce="n"',
            f';created={NOW + 300:.0f};keyid="{KEY}";nonce="n"',
            f';created={NOW:.0f};keyid="{KEY}";nonce="n";expires={NOW + 1:.0f};alg="hmac-sha256";tag="zhiyun";ours=?0',
        ],
    )
    def test_of_none_of_these(self, parameters: str) -> None:
        assert identified(signed_request(parameters=parameters)) == SHOP

    @pytest.mark.parametrize(
        ("covered", "lacks"),
        [
            ((), "@method"),
            (("@authority", "@path", "@query"), "@method"),
            (("@method", "@path", "@query"), "@authority"),
            (("@method", "@authority", "@query"), "@path"),
            (("@method", "@authority", "@path"), "@query"),
            (("@method", "@request-target"), "@authority"),
        ],
    )
    def test_of_too_little_coverage(self, covered: tuple[str, ...], lacks: str) -> None:
        with pytest.raises(Unauthenticated, match=lacks) as refused:
            means().identify(signed_request(covered=covered))
        assert refused.value.specific_code == "signature_incomplete"

    def test_of_a_body_that_is_not_covered(self) -> None:
        request = signed_request("POST", URL, body=b"x", covered=("@method", "@target-uri"))
        assert code_of(request) == "signature_incomplete"

    @pytest.mark.parametrize(
        "field", [digest(b"y"), "sha-256=:AA==:", "md5=:AA==:", "sha-256=AA==", "", f"{digest(b'x')}, sha-512=:AA==:"]
    )
    def test_of_a_digest_that_is_not_the_body_s(self, field: str) -> None:
        request = signed_request(
            "POST", URL, body=b"x", headers={"content-digest": field}, covered=("@method", "@target-uri", "content-digest")
        )
        assert code_of(request) == "digest_mismatch"

    @pytest.mark.parametrize(
        "fields",
        [
            {"signature": None},
            {"signature_input": None},
            {"signature": "other=:AAAA:"},
            {"signature": "sig1=AAAA"},
            {"signature": "sig1=:A:"},
            {"signature": "sig1=:AAAA:, sig1=:AAAA:"},
            {"signature": "sig1=(:AAAA:)"},
            {"signature_input": "sig1"},
            {"signature_input": "sig1=("},
            {"signature_input": f'sig1=("a");keyid="{KEY}"; '},
            {"signature_input": ", ".join(f'sig{number}=();keyid="k"' for number in range(5))},
            {"signature_input": "sig1=" + "(" * 4000},
            {"signature_input": "sig1=(" + " ".join(f'"f{number}"' for number in range(33)) + ")"},
            {"signature_input": "a" * 9000},
        ],
    )
    def test_of_what_is_malformed(self, fields: dict[str, str | None]) -> None:
        assert code_of(changed(signed_request(), **fields)) == "signature_malformed"

    def test_of_the_rfc_s_examples_which_cover_too_little(self) -> None:
        for example in (rfc9421.B21, rfc9421.B22, rfc9421.B23, rfc9421.B25, rfc9421.B26):
            head = (
                rfc9421.TEST_REQUEST[:-2]
                + f"Signature-Input: s={example.input}\r\nSignature: s=:{example.signature}:\r\n\r\n".encode()
            )
            assert (
                code_of(request_from(head, rfc9421.BODY), means({"x": Device(app="shop", key=rfc9421.RSA_PSS)}))
                == "signature_invalid"
            )


class TestReplays:
    def test_a_request_comes_once(self) -> None:
        once = means()
        assert identified(signed_request(), once) == SHOP
        assert code_of(signed_request(), once) == "replayed"
        assert identified(signed_request(nonce="n-2"), once) == SHOP

    def test_a_refused_signature_uses_up_no_nonce(self) -> None:
        once = means()
        assert code_of(signed_request(sign=hmac_with("wrong")), once) == "signature_invalid"
        assert identified(signed_request(), once) == SHOP

    def test_it_is_remembered_for_as_long_as_it_would_be_accepted(self) -> None:
        clock = [NOW]
        once = SignatureMeans(snapshot(), MemoryReplays(clock=lambda: clock[0]), lambda: clock[0])
        assert identified(signed_request(created=int(NOW) + 300), once) == SHOP
        for later_s in (1, 300, 599, 600):
            clock[0] = NOW + later_s
            assert code_of(signed_request(created=int(NOW) + 300), once) == "replayed"
        clock[0] = NOW + 601
        assert code_of(signed_request(created=int(NOW) + 300), once) == "signature_expired"

    async def test_a_store_that_answers_later_is_waited_for(self) -> None:
        answers = [True, False]

        class Later:
            async def is_new(self, key: str, ttl_s: float) -> bool:
                if not answers:
                    raise Unavailable("down")
                return answers.pop(0)

        later = SignatureMeans(snapshot(), Later(), lambda: NOW)
        outcomes: list[Any] = []
        for _ in range(3):
            waiting = later.identify(signed_request())
            assert isinstance(waiting, Awaitable)
            try:
                outcomes.append(await waiting)
            except (Unauthenticated, Unavailable) as error:
                outcomes.append(error.specific_code)
        assert outcomes == [SHOP, "replayed", "unavailable"]  # never 401 because a store is down


def test_a_request_that_was_let_in_holds_as_long_as_the_key_that_signed_it() -> None:
    for secret, until in ((SECRET, math.inf), (OLD_SECRET, NOW + 1_000)):
        request = signed_request(sign=hmac_with(secret))
        by = means()
        identified(request, by)
        assert by.holds_until(request) == until, "neither its nonce nor its time is asked for again"
        assert means(now=NOW + 999).holds_until(request) == until
    with pytest.raises(Unauthenticated):
        means(now=NOW + 1_001).holds_until(signed_request(sign=hmac_with(OLD_SECRET)))
    with pytest.raises(Unauthenticated):
        means().holds_until(signed_request(keyid="device:gone"))


BODY = b'{"name": "x", "n": 1}'
MUTABLE = st.sampled_from(["verb", "target", "host", "content", "date", "content-digest", "signature", "signature-input"])


class TestFuzz:
    @settings(max_examples=200, deadline=None)
    @given(part=MUTABLE, at=st.integers(0, 400), byte=st.integers(0x21, 0x7E), how=st.sampled_from(["set", "insert", "delete"]))
    def test_no_changed_request_passes(self, part: str, at: int, byte: int, how: str) -> None:
        request = signed_request(
            "POST", URL, body=BODY, headers={"date": "Tue, 20 Apr 2021 02:07:55 GMT"}, covered=("date", *COVERED, "content-digest")
        )
        is_attribute = hasattr(request, part)
        before = getattr(request, part) if is_attribute else request.headers[part]
        raw = before.encode() if isinstance(before, str) else before
        at %= len(raw)
        after = raw[:at] + (b"" if how == "delete" else bytes([byte])) + raw[at if how == "insert" else at + 1 :]
        if after == raw or (part == "host" and after.lower() == raw.lower()):
            return
        if is_attribute:
            setattr(request, part, after.decode() if isinstance(before, str) else after)
        else:
            request = changed(request, **{part.replace("-", "_"): after.decode()})
        with pytest.raises(Unauthenticated):
            means().identify(request)

    @settings(max_examples=200, deadline=None)
    @given(
        input_=st.one_of(
            st.text(max_size=60), st.from_regex(r'\A[a-z]{1,3}=\([ "@a-z;=]{0,20}\)(;[a-z]{1,7}=?["0-9:?a-z]{0,9}){0,4}\Z')
        ),
        signature=st.one_of(st.text(max_size=40), st.from_regex(r"\A[a-z]{1,3}=:[A-Za-z0-9+/=]{0,12}:\Z")),
    )
    def test_whatever_comes_is_refused_in_good_order(self, input_: str, signature: str) -> None:
        request = made_request("GET", "/")
        request._headers = {"host": "gateway", "signature-input": input_, "signature": signature}
        with pytest.raises(Unauthenticated):
            means().identify(request)


async def _served(request: Request) -> Response:
    return Response(200, body=request.content or b"")


class TestInItsStage(StageSuite):
    def stage(self) -> Authenticate:
        return Authenticate([means(), CaMeans(snapshot(), MemoryReplays(), lambda: NOW)])

    def admitted(self) -> Request:
        return signed_request("POST", URL, body=BODY, nonce=f"n-{next(_NONCES)}")

    def refused(self) -> Request:
        return signed_request("POST", URL, body=BODY, sign=hmac_with("x" * 32))

    async def test_the_body_is_read_for_the_proof_and_goes_on(self) -> None:
        request = self.admitted()
        request.content = None
        request.body_reader = _body
        response = await run(Pipe("test", [self.stage()], handler=_served), request)
        assert (response.status, response.body) == (200, BODY)
        assert request.identity == SHOP

    async def test_a_signature_beside_another_kind_is_refused(self) -> None:
        both = changed(self.admitted(), x_ca_key="ak_shop", x_ca_signature="AAAA")
        with pytest.raises(InvalidInput, match="two kinds"):
            await run(Pipe("test", [self.stage()], handler=_served), both)

    async def test_a_store_that_is_down_is_no_401(self) -> None:
        class Down:
            async def is_new(self, key: str, ttl_s: float) -> bool:
                raise Unavailable("Redis does not answer")

        stage = Authenticate([SignatureMeans(snapshot(), Down(), lambda: NOW)])
        with pytest.raises(Unavailable) as refused:
            await run(Pipe("test", [stage], handler=_served), self.admitted())
        assert status_of(refused.value) == 503


async def _body() -> bytes:
    return BODY
