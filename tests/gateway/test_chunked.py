"""Where a chunked body ends: in any splits, on both builds, with bounded memory."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.http1.chunked import MAX_TRAILERS, ChunkScanner
from gateway.http1.refused import Refused
from tests.gateway.wire_builds import Builds
from tests.gateway.wire_messages import BODIES, split

pytestmark = pytest.mark.timeout(600)  # the first test may have to compile first
_FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def refused(*pieces: bytes) -> str:
    scanner = ChunkScanner()
    with pytest.raises(Refused) as caught:
        list(map(scanner.feed, pieces))
    return caught.value.code


def test_the_end_is_found_and_what_follows_is_left() -> None:
    data = b"skipped5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nGET / HTTP/1.1"
    scanner = ChunkScanner()
    end = scanner.feed(data, 7)
    assert data[end:] == b"GET / HTTP/1.1"
    assert (scanner.payload, scanner.is_done) == (11, True)
    assert ChunkScanner().decode(data, 7) == (end, b"hello world")


def test_a_body_goes_on_until_its_last_byte() -> None:
    data = b"5\r\nhello\r\n0\r\n\r\n"
    scanner = ChunkScanner()
    assert [scanner.feed(data[at : at + 1]) for at in range(len(data))] == [-1] * (len(data) - 1) + [1]


def test_an_ended_body_takes_no_more() -> None:
    scanner = ChunkScanner()
    scanner.feed(b"0\r\n\r\n")
    with pytest.raises(ValueError, match="ended"):
        scanner.feed(b"0\r\n\r\n")


@_FUZZ
@given(payloads=st.lists(st.binary(min_size=1, max_size=50), max_size=6), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_the_payload_comes_out_as_it_went_in(payloads: list[bytes], cuts: list[int]) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(payload), payload) for payload in payloads) + b"0\r\n\r\n"
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    scanner = ChunkScanner()
    decoded = [scanner.decode(data[start:end])[1] for start, end in pairwise(places) if start < end]
    assert b"".join(decoded) == b"".join(payloads)
    assert scanner.is_done


@_FUZZ
@given(pieces=split(BODIES))
def test_splits_and_builds_change_no_verdict(builds: Builds, pieces: list[bytes]) -> None:
    whole = builds.verdict("body", [b"".join(pieces)])
    found = builds.verdict("body", pieces)
    assert found[0] == whole[0]
    if found[0] == "ended":
        before = sum(len(piece) for piece in pieces[: found[1]])
        assert (before + found[2], found[3]) == (whole[2], whole[3])
    elif found[0] == "goes on":
        assert found[1:] == whole[1:]


@pytest.mark.parametrize(
    "beginning", [b"x", b"5 x", b"5;\0", b"5\r\nhelloX", b"5\r\nhello\rX\n", b"11111111111111111", b"\r\n", b"-"]
)
def test_what_can_t_become_right_is_refused_at_once(beginning: bytes) -> None:
    assert refused(beginning) == "malformed_request"


def test_no_line_is_kept_beyond_its_limit() -> None:
    assert refused(*[b"5;" + b"a" * 100, *[b"a" * 100] * 3]) == "malformed_request"
    assert refused(b"0\r\n", *[b"X: aaaaaaaaaa\r\n"] * (MAX_TRAILERS // 15 + 1)) == "headers_too_large"
    assert refused(b"0\r\n", b"X: ", *[b"a" * 1000] * 9) == "headers_too_large"


def test_a_length_beyond_measure_is_refused_before_it_is_counted() -> None:
    for size in (b"f" * 16, b"7fffffffffffffff", b"ffffffffffffffff0"):
        assert refused(size + b"\r\n") == "malformed_request"
    scanner = ChunkScanner()
    assert scanner.feed(b"de0b6b3a7640000\r\n") == -1  # 10^18


@pytest.mark.parametrize("name", [b"Content-Length", b"TRANSFER-ENCODING", b"host", b"Authorization", b"Trailer", b"X-Zhiyun-App"])
def test_a_trailer_may_not_decide_anything(name: bytes) -> None:
    assert refused(b"0\r\n" + name + b": a\r\n\r\n") == "ambiguous_framing"
