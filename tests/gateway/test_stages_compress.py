"""Compression as a client sees it."""

import gzip
import zlib

import msgspec
import pytest

from config import policies
from gateway.changed_body import LARGE_BYTES
from gateway.http1.message import made_request
from gateway.pipe import Pipe, run
from gateway.stage import Request, Response, Stage, Stream
from gateway.stages.compress import Compress, GzipFilter, acceptance
from tests.conformance.stage_suite import StageSuite
from tests.gateway.passing import passed

TEXT = b'{"name": "value"}' * 200
JSON = ("Content-Type", "application/json")


def compress(**fields: object) -> Compress:
    return Compress(msgspec.convert(fields, policies.Compress))


def asking(accepted: str | None = "gzip", method: str = "GET") -> Request:
    return made_request(method, "/v1/a", headers={} if accepted is None else {"Accept-Encoding": accepted})


async def answered(request: Request, response: Response, stage: Stage | None = None) -> Response:
    async def behind(_: Request) -> Response:
        return response

    return await run(Pipe("test", [stage or compress()], handler=behind), request)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("gzip", "yes"),
        ("GZIP", "yes"),
        ("x-gzip", "yes"),
        ("br, gzip;q=0.5", "yes"),
        ("*", "yes"),
        ("deflate, *;q=0.1", "yes"),
        ("gzip;q=1.0, identity;q=0.5", "yes"),
        ("gzip, identity;q=0", "must"),
        ("gzip;q=0.2, *;q=0", "must"),
        ("", "no"),
        ("br", "no"),
        ("gzip;q=0", "no"),
        ("gzip; q=0.000", "no"),
        ("*;q=0", "no"),
        ("*, gzip;q=0", "no"),
        ("identity, gzip;q=0.5", "no"),
        ("gzip;q=nan", "no"),
        ("gzip;q=2", "no"),
        ("gzip;q=high", "no"),
        ("gzip" + ", x" * 300, "yes"),
    ],
)
def test_what_accept_encoding_says_of_gzip(field: str, expected: str) -> None:
    assert acceptance(field) == expected


async def test_a_whole_answer() -> None:
    headers = [JSON, ("ETag", '"5"'), ("Content-Length", "3400"), ("Content-Digest", "sha-256=:x:"), ("Age", "1")]
    answer = await answered(asking(), Response(200, headers, TEXT))
    assert gzip.decompress(answer.body) == TEXT
    assert len(answer.body) < len(TEXT) / 10
    assert answer.headers == [JSON, ("ETag", 'W/"5"'), ("Age", "1"), ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]


async def test_a_large_answer_is_compressed_too() -> None:
    body = bytes(range(256)) * (LARGE_BYTES // 128)
    answer = await answered(asking(), Response(200, [JSON], body))
    assert gzip.decompress(answer.body) == body


async def test_a_passing_answer_is_compressed_piece_by_piece() -> None:
    response = Response(200, [("content-type", "text/csv"), ("content-length", "9000"), ("etag", 'W/"1"')])
    answer, body = await passed(compress(), asking(), response, b"a;b\n" * 1000, b"", b"c;d\n" * 1250)
    assert gzip.decompress(body) == b"a;b\n" * 1000 + b"c;d\n" * 1250
    assert (answer.header("Content-Length"), answer.header("ETag"), answer.keeps_length) == ("", 'W/"1"', False)


def test_a_client_can_read_each_piece_when_it_comes() -> None:
    packer, reader = GzipFilter(5), zlib.decompressobj(31)
    for piece in (b"first", b"second" * 5000):
        assert reader.decompress(packer.feed(piece)) == piece
    reader.decompress(packer.finish())
    assert reader.eof


@pytest.mark.parametrize(
    "response",
    [
        Response(200, [("Content-Type", "image/png")], TEXT),
        Response(200, [("Content-Type", "text/event-stream")], TEXT),
        Response(200, [], TEXT),
        Response(200, [JSON, ("Content-Encoding", "br")], TEXT),
        Response(200, [JSON, ("Cache-Control", "public, No-Transform")], TEXT),
        Response(206, [JSON, ("Content-Range", "bytes 0-3399/9000")], TEXT),
        Response(304, [JSON]),
        Response(204, [JSON]),
        Response(200, [JSON], b"small"),
    ],
)
async def test_an_answer_that_is_left_as_it_is(response: Response) -> None:
    headers, body = list(response.headers), response.body
    answer = await answered(asking(), response)
    assert (answer.headers, answer.body) == (headers, body)


async def test_an_answer_to_head_and_an_event_stream_stay() -> None:
    assert (await answered(asking(method="HEAD"), Response(200, [JSON], TEXT))).headers == [JSON]

    async def events(_: Stream) -> None:
        return

    assert (await answered(asking(), Response(200, [JSON], stream=events))).headers == [JSON]


async def test_caches_are_told_where_another_client_would_have_got_gzip() -> None:
    for accepted in (None, "br", "gzip;q=0"):
        answer = await answered(asking(accepted), Response(200, [JSON], TEXT))
        assert (answer.body, answer.header("Vary"), answer.header("Content-Encoding")) == (TEXT, "Accept-Encoding", "")


async def test_a_client_that_refuses_the_plain_form_gets_small_answers_in_gzip() -> None:
    answer = await answered(asking("gzip, identity;q=0"), Response(200, [JSON], b"{}"))
    assert gzip.decompress(answer.body) == b"{}"


async def test_accept_encoding_in_two_fields() -> None:
    request = asking("br")
    request.head = request.head[:-2] + b"ACCEPT-ENCODING: gzip\r\n\r\n"
    assert (await answered(request, Response(200, [JSON], TEXT))).header("Content-Encoding") == "gzip"


async def test_types_are_the_policys() -> None:
    stage = compress(types=["application/x-ndjson"], min_bytes=1)
    assert (await answered(asking(), Response(200, [JSON], TEXT), stage)).body == TEXT
    lines = Response(200, [("Content-Type", "application/X-NDJSON; charset=utf-8")], b"{}\n")
    assert gzip.decompress((await answered(asking(), lines, stage)).body) == b"{}\n"


class TestCompressKeepsTheContract(StageSuite):
    def stage(self) -> Stage:
        return compress()

    def admitted(self) -> Request:
        return asking()

    def refused(self) -> Request:
        return asking("nonsense;q=x")

    async def test_a_refusal_is_a_platform_error_and_nothing_behind_is_asked(self) -> None:
        """Compression refuses nobody: what it does not understand gets the plain form."""
        assert (await answered(self.refused(), Response(200, [JSON], TEXT), self.stage())).body == TEXT
