"""The two builds of gateway/http1, each in a process of its own, asked for verdicts over a pipe: so both see the same bytes.

Run as a program it is such a process: requests and answers are pickles.
"""

import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from tools.source_tree import ROOT

Verdict = tuple[Any, ...]

REQUEST_VALUES = (
    *("verb", "target", "head", "forward", "line", "host", "authorization", "minor", "body_length", "keep_alive"),
    *("expects_continue", "upgrade", "forwarded_for", "forwarded_proto", "has_encoded_slash", "trace", "request_id"),
    "timeout_ms",
)
RESPONSE_VALUES = ("status", "minor", "status_line", "forward", "body_length", "keep_alive", "is_interim", "upgrade")


class Build:
    """A process that runs one build. Ends with the `with`."""

    def __init__(self, name: str) -> None:
        self.name = name
        environment = {"PYTHONPATH": str(ROOT), "ZHIYUN_PURE": "1" if name == "pure Python" else "0"}
        command = [sys.executable, "-m", "tests.gateway.wire_builds"]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, kind: str, *arguments: Any) -> Verdict:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump((kind, arguments), self._process.stdin)
        self._process.stdin.flush()
        answer: Verdict = pickle.load(self._process.stdout)
        return answer

    def __enter__(self) -> Self:
        assert self.ask("build") == (self.name,)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


class Builds:
    """Both, asked the same."""

    def __init__(self) -> None:
        self._builds = [Build("pure Python"), Build("compiled")]

    def verdict(self, kind: str, *arguments: Any) -> Verdict:
        """What both say. Fails where they differ."""
        pure, compiled = (build.ask(kind, *arguments) for build in self._builds)
        assert pure == compiled, f"the builds differ: {kind} {arguments!r}"
        return pure

    def __enter__(self) -> Self:
        for build in self._builds:
            build.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for build in self._builds:
            build.__exit__(kind, error, trace)


def _values(thing: object, names: Sequence[str]) -> Verdict:
    return tuple((name, getattr(thing, name)) for name in names)


def request(head: bytes) -> Verdict:
    from gateway.http1.head import parse_request

    return "accepted", *_values(parse_request(head), REQUEST_VALUES)


def response(head: bytes, verb: bytes) -> Verdict:
    from gateway.http1.head import parse_response

    return "accepted", *_values(parse_response(head, verb), RESPONSE_VALUES)


def scan(head: bytes) -> Verdict:
    from gateway.http1 import scanner

    return scanner.scan_request(head) or ()


def scan_response(head: bytes) -> Verdict:
    from gateway.http1 import scanner

    return scanner.scan_response(head) or ()


def body(pieces: Sequence[bytes]) -> Verdict:
    """A chunked body in pieces: index of the end in the last one needed (-1: it goes on), payload, both ways of scanning."""
    from gateway.http1.chunked import ChunkScanner

    feeding, decoding = ChunkScanner(), ChunkScanner()
    payload, end = b"", -1
    for count, piece in enumerate(pieces):
        end = feeding.feed(piece)
        decoded_end, decoded = decoding.decode(piece)
        assert (decoded_end, decoding.payload) == (end, feeding.payload)
        payload += decoded
        if end >= 0:
            return "ended", count, end, payload
    return "goes on", feeding.payload, end, payload


def message(data: bytes) -> Verdict:
    """A whole request: its head, then its body if that is chunked."""
    end = data.find(b"\r\n\r\n")
    head, rest = (data[: end + 4], data[end + 4 :]) if end >= 0 else (data, b"")
    found = request(head)
    if dict(found[1:])["body_length"] == -1:
        assert body([rest])[0] == "ended", "the corpus holds whole bodies"
    return found


def build() -> Verdict:
    from gateway.http1 import BUILD

    return (BUILD,)


KINDS: dict[str, Callable[..., Verdict]] = {
    "request": request,
    "response": response,
    "scan": scan,
    "scan_response": scan_response,
    "body": body,
    "message": message,
    "build": build,
}


def verdict(kind: str, *arguments: Any) -> Verdict:
    from gateway.http1.refused import Refused

    try:
        return KINDS[kind](*arguments)
    except Refused as refused:
        return "refused", refused.status, refused.code, refused.detail


def main() -> None:
    while True:
        try:
            kind, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(verdict(kind, *arguments), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
