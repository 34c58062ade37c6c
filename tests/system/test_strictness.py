"""The corpus of odd requests over real sockets, to us and to nginx, each before the same upstream that records raw bytes.

Nothing ambiguous is ever forwarded, and every case in which we accept what nginx refuses is explained in WHY_WE_ACCEPT.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.http1.chunked import ChunkScanner
from gateway.http1.engine import Patience
from gateway.http1.message import Request
from gateway.http1.refused import Refused
from gateway.pipe import Pipe
from tests.gateway.odd_requests import ACCEPTED, ODD_REQUESTS, Odd
from tests.gateway.rig import Rig, rigged
from tests.servers.nginx import NginxProxy

pytestmark = pytest.mark.servers

WHY_WE_ACCEPT = {
    "Content-Length: Content-Length:\\t5 ": "a tab is white space around a value (RFC 9110 §5.6.3); nginx knows only the space",
    "Transfer-Encoding: TRANSFER-ENCODING:CHUNKED\\t": "the same",
    "limit: line of 16 KiB": "tickets of Kerberos are longer than nginx's 8 KiB; the head as a whole is bounded",
    "target: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": "8 KiB of target; nginx counts the whole line",
    "absolute-form: a_b.example:81": "nginx takes an underscore in the Host field and not in the target; here one rule is for both",
    "target: OPTIONS *": "a form of its own (RFC 9112 §3.2.4); routes decide, nginx has no route for it",
}
"""By the case's name: why we accept what nginx 1.22 refuses."""

BEFORE_A_ROUTE = {
    "request line: empty line first": (ACCEPTED, "the listener skips one empty line (RFC 9112 §2.2)"),
    "target: /a%2Fb": (400, "an encoded slash is for data services; it is never sent on"),
    "target: /a%5cb": (400, "an encoded backslash, the same"),
    "deadline: 0": (504, "its time is over: nobody waits for an answer of the upstream's"),
}
"""What a connection and a pass-through route make of a case, where it differs from the corpus, and why."""

_REQUEST_LINE = re.compile(rb"[A-Z]{1,20} (?:/[\x21-\x7e]*|\*) HTTP/1\.1")
_FIELD_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_FORGED = re.compile(rb"(?i)^(?:x-zhiyun-(?!timeout-ms: \d+$)|te:|keep-alive:|proxy-|http2-settings:|expect:)", re.MULTILINE)


class Recorder:
    """The upstream: answers each whole request; keeps each, and what came of one that did not become whole."""

    def __init__(self) -> None:
        self._whole: list[bytes] = []
        self._begun: list[bytearray] = []  # one a connection

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun = bytearray()
        self._begun.append(begun)
        try:
            while data := await reader.read(65_536):
                begun += data
                while end := _request_end(bytes(begun)):
                    self._whole.append(bytes(begun[:end]))
                    del begun[:end]
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except OSError:
            pass
        finally:
            writer.close()

    def taken(self) -> tuple[list[bytes], list[bytes]]:
        """Whole and cut requests since it was last asked."""
        found = self._whole, [bytes(begun) for begun in self._begun if begun]
        self._whole = []
        for begun in self._begun:
            begun.clear()
        return found


def _request_end(data: bytes) -> int:
    """Where the first request ends; 0 while it goes on or is none."""
    head_end = data.find(b"\r\n\r\n") + 4
    if head_end < 4:
        return 0
    head = data[:head_end].lower()
    if b"\r\ntransfer-encoding: chunked\r\n" in head:
        try:
            return max(ChunkScanner().feed(data, head_end), 0)
        except Refused:
            return 0
    length = re.search(rb"\r\ncontent-length: (\d+)\r\n", head)
    end = head_end + (int(length[1]) if length else 0)
    return end if len(data) >= end else 0


class _ToUpstream:
    """Every request takes the one route."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def find(self, request: Request) -> Pipe:
        return self._pipe


@asynccontextmanager
async def _before(recorder: Recorder) -> AsyncIterator[Rig]:
    async with rigged(Patience(head_s=2.0, body_s=2.0, linger_s=0.2)) as rig:
        await rig.upstream(recorder.serve)
        rig.route("all")
        rig.engine.finder = _ToUpstream(rig.pipes["all"])
        yield rig


async def _status(port: int, data: bytes) -> int:
    """The final status that answers the first request; 0 where there is none: closed, or no word within 5 s."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            while True:
                line = await reader.readline()
                if not line.startswith(b"HTTP/1.1 1"):
                    return int(line.split()[1]) if line.startswith(b"HTTP/1.") else 0
                while await reader.readline() not in (b"\r\n", b""):
                    pass
    except (ConnectionError, TimeoutError):
        return 0
    finally:
        writer.close()


def _expected(odd: Odd) -> int:
    status = BEFORE_A_ROUTE[odd.name][0] if odd.name in BEFORE_A_ROUTE else odd.status
    return 200 if status == ACCEPTED else status


def _assert_unambiguous(sent: bytes) -> None:
    """A request read by rules of this test's own: it can be understood in one way."""
    head = sent.partition(b"\r\n\r\n")[0]
    line, *lines = head.split(b"\r\n")
    assert _REQUEST_LINE.fullmatch(line), line
    path = line.split(b" ")[1].partition(b"?")[0]
    assert not re.search(rb"(?i)//|/(?:\.|%2e){1,2}(?:[/;]|$)|%2f|%5c|%00", path), path
    assert all(_FIELD_LINE.fullmatch(each) for each in lines), lines
    names = [each.partition(b":")[0].lower() for each in lines]
    assert names.count(b"host") == 1
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    assert not _FORGED.search(b"\n".join(lines)), lines


async def test_each_gets_its_answer_and_nothing_ambiguous_goes_on() -> None:
    recorder = Recorder()
    wrong = {}
    async with _before(recorder) as rig:
        for odd in ODD_REQUESTS:
            earlier = [request.request_id.encode() for request in rig.ended]
            status = await _status(rig.port, odd.data)
            whole, cut = recorder.taken()
            cut = [each for each in cut if not any(one in each for one in earlier)]  # the head of an earlier case may come late
            if status != _expected(odd):
                wrong[odd.name] = (status, _expected(odd), odd.why)
            elif status == 200:
                assert (len(whole), cut) == (1, []), odd.name
                _assert_unambiguous(whole[0])
            else:  # the head before a malformed body was fine and may be on its way: its end never comes
                assert whole == [], odd.name
                assert cut == [] or odd.name.startswith("chunked body"), odd.name
    assert wrong == {}


async def test_where_we_accept_what_nginx_refuses_we_say_why(tmp_path: Path) -> None:
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    nginx = NginxProxy(tmp_path, server.sockets[0].getsockname()[1])
    await asyncio.to_thread(nginx.start)
    try:
        statuses: dict[str, int] = {}
        for start in range(0, len(ODD_REQUESTS), 32):
            some = ODD_REQUESTS[start : start + 32]
            found = await asyncio.gather(*(_status(nginx.port, odd.data) for odd in some))
            statuses |= {odd.name: status for odd, status in zip(some, found, strict=True)}
    finally:
        nginx.kill()
        server.close()
    more_lenient = {odd.name for odd in ODD_REQUESTS if _expected(odd) == 200 and statuses[odd.name] != 200}
    stricter = {odd.name for odd in ODD_REQUESTS if _expected(odd) != 200 and statuses[odd.name] == 200}
    assert more_lenient == set(WHY_WE_ACCEPT)
    assert len(stricter) > 150


def test_each_exception_is_a_case_of_the_corpus() -> None:
    names = {odd.name for odd in ODD_REQUESTS}
    assert set(WHY_WE_ACCEPT) | set(BEFORE_A_ROUTE) <= names
