"""Heads → messages: the corpus of odd requests on both builds, what is read from a good head, and what may never be accepted."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.http1 import fields
from gateway.http1.diagnosis import why_too_large
from gateway.http1.head import Refused, has_bare_line_end, parse_request, parse_response
from gateway.http1.message import Request
from tests.gateway.odd_requests import ACCEPTED, ODD_REQUESTS, Odd
from tests.gateway.wire_builds import Builds, Verdict
from tests.gateway.wire_messages import METHOD, REQUESTS, TARGET, VALUES

pytestmark = pytest.mark.timeout(600)  # the first test may have to compile first
_FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
TRACE = b"00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


def head(*lines: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes | None = b"a.example") -> bytes:
    every = (line, *([b"Host: " + host] if host is not None else []), *lines, b"", b"")
    return b"\r\n".join(every)


def refusal(data: bytes) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        parse_request(data)
    return caught.value.status, caught.value.code


def answer_refusal(data: bytes, verb: bytes = b"GET") -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        parse_response(data, verb)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("odd", ODD_REQUESTS, ids=[odd.name for odd in ODD_REQUESTS])
def test_an_odd_request_gets_what_the_rules_say(builds: Builds, odd: Odd) -> None:
    found = builds.verdict("message", odd.data)
    assert (ACCEPTED if found[0] == "accepted" else found[1]) == odd.status, f"{odd.why}: {found}"


def test_the_corpus_is_large_and_each_case_is_named_once() -> None:
    assert len(ODD_REQUESTS) > 600
    assert len({odd.name for odd in ODD_REQUESTS}) == len(ODD_REQUESTS)
    assert len({odd.data for odd in ODD_REQUESTS}) > 590


def test_what_a_head_says_is_read() -> None:
    data = head(
        b"Authorization: Bearer abc",
        b"X-Request-Id: req_1",
        b"Traceparent: " + TRACE,
        b"X-Forwarded-For: 1.2.3.4",
        b"x-forwarded-for: 5.6.7.8",
        b"X-Forwarded-Proto: https",
        b"Content-Length: 12",
        b"Expect: 100-Continue",
        b"Accept: */*",
        line=b"POST /a%2fb?c HTTP/1.1",
    )
    request = parse_request(data)
    assert (request.verb, request.target, request.line) == (b"POST", b"/a%2Fb?c", b"POST /a%2fb?c HTTP/1.1")
    assert (request.host, request.authorization) == (b"a.example", b"Bearer abc")
    assert (request.request_id, request.trace) == ("req_1", TRACE)
    assert (request.forwarded_for, request.forwarded_proto) == (b"1.2.3.4, 5.6.7.8", b"https")
    assert (request.body_length, request.expects_continue, request.keep_alive, request.minor) == (12, True, True, 1)
    assert request.has_encoded_slash
    assert request.forward == b"Accept: */*\r\n"
    assert request.headers["accept"] == "*/*"


def test_every_field_that_must_not_go_on_is_left_out(builds: Builds) -> None:
    drops = [name for name, kind in fields.REQUEST_FIELDS.items() if not kind & fields.KEEP and not kind & fields.TOLD]
    assert len(drops) >= 9
    kept = b"Accept: a\r\nX-Ca-Key: c\r\nX_Y: 1\r\nTrailer: X-Sum\r\n"
    data = head(*kept.split(b"\r\n")[:-1], *(name.title() + b": a" for name in drops), b"X-Zhiyun-App: forged", b"x-zhiyun-: a")
    assert dict(builds.verdict("request", data)[1:])["forward"] == kept


@pytest.mark.parametrize(
    ("minor", "connection", "is_kept"),
    [
        (b"1", None, True),
        (b"1", b"close", False),
        (b"1", b"Close", False),
        (b"1", b"keep-alive, close", False),
        (b"1", b"x", True),
        (b"0", None, False),
        (b"0", b"Keep-Alive", True),
        (b"0", b"keep-alive, close", False),
        (b"0", b"x", False),
    ],
)
def test_whether_the_connection_is_kept(minor: bytes, connection: bytes | None, is_kept: bool) -> None:
    lines = [b"Connection: " + connection] if connection is not None else []
    assert parse_request(head(*lines, line=b"GET / HTTP/1." + minor)).keep_alive is is_kept
    length = b"Content-Length: 0"
    assert parse_response(head(length, *lines, line=b"HTTP/1." + minor + b" 200 OK"), b"GET").keep_alive is is_kept


def test_fields_that_connection_names_are_left_out_however_often_it_stands() -> None:
    request = parse_request(head(b"Connection: X-A", b"x-a: 1", b"X-B: 2", b"connection: x-b, close", b"X-C: 3", b"X-A: 4"))
    assert (request.forward, request.keep_alive) == (b"X-C: 3\r\n", False)


def test_an_upgrade_is_one_only_where_connection_names_it() -> None:
    upgrade = b"Upgrade: WebSocket"
    assert parse_request(head(upgrade, b"Connection: keep-alive, Upgrade")).upgrade == b"websocket"
    assert parse_request(head(upgrade)).upgrade == b""
    assert parse_request(head(upgrade, b"Connection: close")).upgrade == b""
    assert parse_request(head(upgrade, b"Connection: upgrade", line=b"GET / HTTP/1.0")).upgrade == b""


def test_nothing_is_awaited_where_there_is_no_content() -> None:
    expect = b"Expect: 100-continue"
    assert not parse_request(head(expect)).expects_continue
    assert not parse_request(head(expect, b"Content-Length: 0")).expects_continue
    assert not parse_request(head(expect, b"Content-Length: 1", line=b"POST / HTTP/1.0")).expects_continue
    assert parse_request(head(expect, b"Transfer-Encoding: chunked")).expects_continue


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (TRACE, TRACE),
        (b"cc" + TRACE[2:], TRACE),
        (b"01" + TRACE[2:] + b"-more", TRACE),
        (TRACE + b"-more", b""),
        (b"01" + TRACE[2:] + b"more", b""),
        (b"ff" + TRACE[2:], b""),
        (TRACE.upper(), b""),
        (TRACE[:-1], b""),
        (b"00-" + b"0" * 32 + TRACE[35:], b""),
        (TRACE[:36] + b"0" * 16 + b"-01", b""),
        (TRACE.replace(b"-", b"_"), b""),
        (TRACE[:10] + b"-" + TRACE[11:], b""),
        (b"", b""),
    ],
)
def test_a_traceparent_is_taken_only_whole(given: bytes, taken: bytes) -> None:
    assert parse_request(head(b"traceparent: " + given)).trace == taken
    assert parse_request(head(b"traceparent: " + given, b"Traceparent: " + TRACE)).trace == b""  # W3C: one only


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (b"a", "a"),
        (b"A.b_c-9", "A.b_c-9"),
        (b"a" * 64, "a" * 64),
        (b"a" * 65, ""),
        (b"a b", ""),
        (b"", ""),
        (b"a\xe4", ""),
        (b"a\tb", ""),
    ],
)
def test_a_request_id_is_taken_only_where_it_fits_a_log(given: bytes, taken: str) -> None:
    assert parse_request(head(b"X-Request-Id: " + given)).request_id == taken


@pytest.mark.parametrize(("given", "taken"), [(b"1", 1), (b"0250", 250), (b"9999999999", 9_999_999_999), (b"0", -1), (b"000", -1)])
def test_a_client_s_deadline_is_read_and_not_sent_on(given: bytes, taken: int) -> None:
    request = parse_request(head(b"X-Zhiyun-Timeout-Ms: " + given, b"Accept: a"))
    assert (request.timeout_ms, request.forward) == (taken, b"Accept: a\r\n")
    assert parse_request(head()).timeout_ms == 0


@pytest.mark.parametrize(
    ("line", "given", "host", "target"),
    [
        (b"GET http://A.example/a%2fb?c", b"a.example", b"A.example", b"/a%2Fb?c"),
        (b"GET HTTP://a.example:80", b"a.example", b"a.example:80", b"/"),
        (b"GET https://a.example?b", b"a.example:443", b"a.example", b"/?b"),
        (b"POST http://a.example:8080/a", b"a.example:8080", b"a.example:8080", b"/a"),
        (b"OPTIONS http://a.example", b"a.example", b"a.example", b"*"),
        (b"OPTIONS http://a.example/", b"a.example", b"a.example", b"/"),
    ],
)
def test_an_absolute_target_becomes_host_and_path(line: bytes, given: bytes, host: bytes, target: bytes) -> None:
    request = parse_request(head(line=line + b" HTTP/1.1", host=given))
    assert (request.host, request.target) == (host, target)
    assert request.line == line + b" HTTP/1.1", "the log shows what came"


def test_codes_say_what_kind_of_fault_it_is() -> None:
    both = (b"Content-Length: 1", b"Transfer-Encoding: chunked")
    assert refusal(head(*both)) == (400, "ambiguous_framing")
    assert refusal(head(line=b"GET /a/../b HTTP/1.1")) == (400, "ambiguous_path")
    assert refusal(head(b"X-Zhiyun-Timeout-Ms: soon")) == (400, "deadline_malformed")
    assert refusal(head(line=b"CONNECT a:1 HTTP/1.1")) == (501, "method_unknown")
    assert refusal(head(b"X: " + b"a" * fields.MAX_LINE)) == (431, "headers_too_large")
    assert refusal(b"a" * (fields.MAX_HEAD_BYTES + 1)) == (414, "target_too_long")
    assert why_too_large(b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000).status == 431


def test_a_refusal_repeats_nothing_that_the_sender_wrote(builds: Builds) -> None:
    found = [builds.verdict("message", odd.data) for odd in ODD_REQUESTS]
    details = {each[3] for each in found if each[0] == "refused"}
    assert len(details) > 30
    assert all(detail.isprintable() and "a.example" not in detail and "SMUGGLED" not in detail for detail in details)


def test_a_bare_line_end_is_seen_before_the_head_is_whole() -> None:
    for data in (b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\rX", b"a\r\nb\n", b"a\r\r\n", b"\n"):
        assert has_bare_line_end(data)
    for data in (b"", b"GET / HT", b"GET / HTTP/1.1\r", b"a\r\nb\r\n", b"a\r\n\r"):
        assert not has_bare_line_end(data)


def test_a_thousand_hosts_do_not_fill_the_memory_of_hosts(builds: Builds) -> None:
    for number in range(1030):  # the memory is emptied on the way
        parse_request(head(host=b"h%d.example" % number))
    assert refusal(head(host=b"h 1")) == (400, "malformed_request")
    assert parse_request(head(host=b"h1.example")).host == b"h1.example"


def _lines(block: bytes) -> list[bytes]:
    assert block == b"" or block.endswith(b"\r\n")
    return block.split(b"\r\n")[:-1]


@_FUZZ
@given(data=REQUESTS)
def test_whatever_is_accepted_can_be_sent_on_and_read_in_one_way(data: bytes) -> None:
    try:
        request = parse_request(data)
    except Refused:
        return
    _assert_clean(request)
    framing = b"Transfer-Encoding: chunked" if request.body_length < 0 else b"Content-Length: %d" % request.body_length
    line = request.verb + b" " + request.target + b" HTTP/1.1"
    again = parse_request(head(framing, *_lines(request.forward), line=line, host=request.host or b"a"))
    assert (again.verb, again.target, again.body_length) == (request.verb, request.target, request.body_length)
    assert again.forward == request.forward
    assert again.has_encoded_slash == request.has_encoded_slash


def _assert_clean(request: Request) -> None:
    for line in _lines(request.forward):
        assert not {0x0A, 0x0D, 0x00} & set(line)
        name = line.partition(b":")[0].lower()
        assert name
        assert fields.REQUEST_FIELDS.get(name, fields.KEEP) & fields.KEEP
        assert not name.startswith(b"x-zhiyun-")
    path = request.target.partition(b"?")[0]
    segments = path.lower().replace(b"%2f", b"/").replace(b"%5c", b"/").replace(b"%2e", b".").split(b"/")
    assert not {b".", b".."} & {segment.partition(b";")[0] for segment in segments}
    assert b"//" not in path
    assert all(0x21 <= byte < 0x7F for byte in request.target)


@_FUZZ
@given(verb=METHOD, target=TARGET)
def test_a_normalised_target_is_normal(verb: bytes, target: bytes) -> None:
    try:
        first = parse_request(head(line=verb + b" " + target + b" HTTP/1.1"))
    except Refused:
        return
    again = parse_request(head(line=verb + b" " + first.target + b" HTTP/1.1"))
    assert (again.target, again.has_encoded_slash) == (first.target, first.has_encoded_slash)


@_FUZZ
@given(value=st.sampled_from(VALUES) | st.binary(max_size=30))
def test_a_value_that_is_forwarded_is_the_value_that_came(value: bytes) -> None:
    value = value.replace(b"\r\n", b"")  # would be a line of its own
    try:
        request = parse_request(head(b"X-A: " + value))
    except Refused:
        assert set(value) & (set(range(32)) | {127})
        return
    assert request.forward == b"X-A: " + value + b"\r\n"


def values_of(data: bytes, verb: bytes = b"GET") -> tuple[int, int, bool]:
    answer = parse_response(data, verb)
    return answer.status, answer.body_length, answer.keep_alive


OK = b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("line", "lines", "verb", "expected"),
    [
        (OK, [b"Content-Length: 5"], b"GET", (200, 5, True)),
        (OK, [b"Transfer-Encoding: Chunked"], b"GET", (200, -1, True)),
        (OK, [], b"GET", (200, -2, False)),
        (OK, [b"Content-Length: 5"], b"HEAD", (200, 0, True)),
        (OK, [b"Transfer-Encoding: chunked"], b"HEAD", (200, 0, True)),
        (OK, [], b"HEAD", (200, 0, True)),
        (b"HTTP/1.1 304 Not Modified", [b"Content-Length: 5"], b"GET", (304, 0, True)),
        (b"HTTP/1.1 204 No Content", [], b"GET", (204, 0, True)),
        (b"HTTP/1.1 204 No Content", [b"Content-Length: 0"], b"GET", (204, 0, True)),
        (b"HTTP/1.1 204 No Content", [b"Content-Length: 5"], b"GET", (204, 0, False)),
        (b"HTTP/1.1 204 No Content", [b"Transfer-Encoding: chunked"], b"GET", (204, 0, False)),
        (b"HTTP/1.1 100 Continue", [], b"GET", (100, 0, True)),
        (b"HTTP/1.0 200 OK", [b"Content-Length: 5"], b"GET", (200, 5, False)),
        (b"HTTP/1.0 200 OK", [b"Content-Length: 5", b"Connection: keep-alive"], b"GET", (200, 5, True)),
        (OK, [b"Content-Length: 5", b"Connection: close"], b"GET", (200, 5, False)),
    ],
)
def test_where_an_answer_ends(
    builds: Builds, line: bytes, lines: list[bytes], verb: bytes, expected: tuple[int, int, bool]
) -> None:
    data = head(*lines, line=line, host=None)
    assert values_of(data, verb) == expected
    assert builds.verdict("response", data, verb)[0] == "accepted"


def test_what_a_client_gets_of_an_answer_s_head() -> None:
    data = head(
        *(
            b"Content-Type: text/plain",
            b"content-length: 5",
            b"Connection: X-Hop, keep-alive",
            b"X-Hop: 1",
            b"Keep-Alive: timeout=5",
        ),
        *(b"Set-Cookie: a", b"Set-Cookie: b", b"X-Request-Id: theirs", b"X-Zhiyun-App: forged", b"Proxy-Authenticate: Basic"),
        line=b"HTTP/1.0 200 Very\tWell",
        host=None,
    )
    answer = parse_response(data, b"GET")
    assert answer.status_line == b"HTTP/1.1 200 Very\tWell\r\n"
    assert answer.forward == b"Content-Type: text/plain\r\ncontent-length: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
    assert parse_response(b"HTTP/1.1 200\r\n\r\n", b"GET").status_line == b"HTTP/1.1 200 \r\n"
    assert parse_response(b"HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n", b"GET").forward == b""


def test_an_interim_answer_and_a_change_of_protocol() -> None:
    early = parse_response(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"GET")
    assert (early.is_interim, early.forward) == (True, b"Link: </a>\r\n")
    switched = parse_response(b"HTTP/1.1 101 Ok\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n", b"GET")
    assert (switched.is_interim, switched.upgrade, switched.forward) == (False, b"websocket", b"")


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.2 200 OK\r\n\r\n",
            b"ICY 200 OK\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1  200 OK\r\n\r\n",
        ),
        *(
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 099 A\r\n\r\n",
            b"HTTP/1.1 600 A\r\n\r\n",
            b"HTTP/1.1 -20 A\r\n\r\n",
            b"\r\n\r\n",
            b"",
        ),
        *(b"HTTP/1.1 200 OK\n\n", b"HTTP/1.1 200 O\rK\r\n\r\n", b"HTTP/1.1 200 O\0K\r\n\r\n", b"HTTP/1.1 200OK\r\n\r\n", b"hello"),
        *(b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n"),
        *(b"HTTP/1.1 200 OK\r\nX\r\n\r\n", b"HTTP/1.1 200 OK\r\n: a\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n"),
        head(b"Content-Length: 5", b"Transfer-Encoding: chunked", line=OK, host=None),
        head(b"Content-Length: 5", b"Content-Length: 6", line=OK, host=None),
        head(b"Content-Length: 5", b"Content-Length: 5", line=OK, host=None),
        *(head(b"Content-Length: " + value, line=OK, host=None) for value in (b"", b"-1", b"+1", b"5, 5", b"9" * 19, b"0x5")),
        *(head(b"Transfer-Encoding: " + value, line=OK, host=None) for value in (b"", b"gzip", b"gzip, chunked", b"identity")),
        head(b"Transfer-Encoding: chunked", line=b"HTTP/1.0 200 OK", host=None),
        head(b"Connection: Content-Length", b"Content-Length: 5", line=OK, host=None),
        head(b"Connection: a b", line=OK, host=None),
        head(line=b"HTTP/1.1 101 Switching", host=None),
        head(*[b"X: a"] * 101, line=OK, host=None),
    ],
)
def test_an_answer_that_breaks_the_rules_is_not_passed_on(builds: Builds, data: bytes) -> None:
    assert answer_refusal(data) == (502, "upstream_malformed")
    found: Verdict = builds.verdict("response", data, b"GET")
    assert found[:3] == ("refused", 502, "upstream_malformed")
