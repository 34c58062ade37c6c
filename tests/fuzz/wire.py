"""Fuzzes the wire's parsers by coverage (atheris): any exception but Refused is a find, and so is a difference between the twins.

Run by tools/fuzz.sh in .venv-fuzz as `python -m tests.fuzz.wire TARGET FOLDER [libFuzzer options]`; without arguments it lists the
targets. FOLDER keeps what was found interesting; it begins with the corpus of odd requests.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any

os.environ["ZHIYUN_PURE"] = "1"  # the sources can be instrumented; the twin in C is loaded beside them

from tests.fuzz.begin import begun
from tests.gateway.odd_requests import ODD_REQUESTS
from tools.source_tree import ROOT

Target = Callable[[bytes], None]
_MODULES = ("refused", "fields", "message", "target", "scanner", "diagnosis", "head", "chunked", "proxy_protocol")
TARGETS = ("request", "response", "chunked", "proxy_protocol")


def _compiled_scanner() -> Any:
    """The scanner in C with the types it is made for, beside the sources, which stay what everybody else imports."""
    names = ("gateway.identity", "gateway.http1.message", "gateway.http1._scanner")
    found = {name: ROOT / "build" / "compiled" / f"{name.replace('.', '/')}{EXTENSION_SUFFIXES[0]}" for name in names}
    if not all(path.exists() for path in found.values()):
        print("fuzz: no compiled build here (make compile): the twins are not compared", file=sys.stderr)
        return None
    sources = {name: sys.modules.get(name) for name in names}
    for name, path in found.items():
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    for name, source in sources.items():
        if source is None:
            del sys.modules[name]
        else:
            sys.modules[name] = source
    return module


def _wire() -> dict[str, Any]:
    return {name: importlib.import_module(f"gateway.http1.{name}") for name in _MODULES}


def _tried(wire: dict[str, Any], parse: Callable[..., Any], *arguments: bytes) -> tuple[Any, Any]:
    """What was parsed, or the refusal."""
    try:
        return parse(*arguments), None
    except wire["refused"].Refused as refused:
        return None, refused


def _request(wire: dict[str, Any], twin: Any) -> Target:
    parse = wire["head"].parse_request

    def test(data: bytes) -> None:
        assert twin is None or twin.scan_request(data) == wire["scanner"].scan_request_pure(data)
        request, refused = _tried(wire, parse, data)
        if request is None:
            assert refused.detail != wire["diagnosis"].UNKNOWN
            return
        assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in request.forward.split(b"\r\n"))
        again = parse(b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (request.verb, request.target, request.forward))
        assert (again.target, again.forward) == (request.target, request.forward)

    return test


def _response(wire: dict[str, Any], twin: Any) -> Target:
    def test(data: bytes) -> None:
        assert twin is None or twin.scan_response(data) == wire["scanner"].scan_response_pure(data)
        response, refused = _tried(wire, wire["head"].parse_response, data, b"GET")
        assert response is not None or refused.status == 502

    return test


def _chunked(wire: dict[str, Any], twin: Any) -> Target:
    def outcome(pieces: list[bytes]) -> tuple[str, bytes]:
        scanner, payload = wire["chunked"].ChunkScanner(), b""
        try:
            for piece in pieces:
                end, decoded = scanner.decode(piece)
                payload += decoded
                if end >= 0:
                    return "ended", payload
        except wire["refused"].Refused:
            return "refused", b""
        return "goes on", payload

    def test(data: bytes) -> None:
        cut = data[0] if data else 0
        whole = outcome([data])
        assert whole == outcome([data[:cut], data[cut:]])
        if len(data) < 100:
            assert whole == outcome([data[at : at + 1] for at in range(len(data))])

    return test


def _proxy_protocol(wire: dict[str, Any], twin: Any) -> Target:
    def test(data: bytes) -> None:
        try:
            found = wire["proxy_protocol"].parse(data)
        except wire["refused"].Refused:
            return
        assert len(data) < 536 if found is None else 0 < found[0] <= len(data)

    return test


def _seeds(target: str) -> Iterator[bytes]:
    for odd in ODD_REQUESTS:
        head, _, body = odd.data.partition(b"\r\n\r\n")
        if target == "request" and len(head) < 2000:
            yield odd.data
        elif target == "response" and len(head) < 2000:
            yield b"HTTP/1.1 200 OK\r\n" + head.partition(b"\r\n")[2] + b"\r\n\r\n"
        elif target == "chunked" and body:
            yield body
    if target == "proxy_protocol":
        yield b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
        yield b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f" + bytes(12) + b"\x04\0\0"


def main() -> None:
    asked = begun(TARGETS, _seeds)
    if asked is None:
        return
    target, folder = asked
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["gateway.http1"]):
        wire = _wire()
    makers = {"request": _request, "response": _response, "chunked": _chunked, "proxy_protocol": _proxy_protocol}
    atheris.Setup([sys.argv[0], str(folder), *sys.argv[3:]], makers[target](wire, _compiled_scanner()))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
