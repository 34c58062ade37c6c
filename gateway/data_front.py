"""The JSON front of the data services: `/v1/<service>…` ↔ core.service.DataService. Translates; holds no data logic."""

import time
from collections.abc import Iterator
from functools import partial
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from config.model import Service
from core.errors import InvalidInput, PlatformError
from core.schema import Dataset, Record, Value
from core.service import Answer, Caller, DataService, Write
from gateway.stage import Request, Response, Stream

T = TypeVar("T")
_DEFAULT_LIMIT = 100
_MAX_CHANGES = 1000
_MAX_WAIT_S = 25.0
_STREAM_S = 3600.0
_HEARTBEAT_S = 10.0
_JSON = ("Content-Type", "application/json")


def caller_of(request: Request) -> Caller:
    return Caller(request.identity.app, request.request_id, request.deadline)


def _integer(value: str, name: str, low: int, high: int) -> int:
    try:
        number = int(value)
    except ValueError:
        raise InvalidInput(f"{name}: expected a whole number, got {value!r}") from None
    if not low <= number <= high:
        raise InvalidInput(f"{name}: from {low} to {high}, got {number}")
    return number


def _taken(pairs: list[tuple[str, str]], *names: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The reserved parameters by name, and the rest. InvalidInput where one is given twice or the query was malformed."""
    known: dict[str, str] = {}
    rest = []
    for name, value in pairs:
        if not name:
            raise InvalidInput("the query is malformed: pairs of name=value, UTF-8, at most 100")
        if name not in names:
            rest.append((name, value))
        elif name in known:
            raise InvalidInput(f"{name} is given twice")
        else:
            known[name] = value
    return known, rest


def _headers(answer: Answer) -> Iterator[tuple[str, str]]:
    yield "X-Zhiyun-Tier", answer.tier
    yield "Age", str(int(answer.age_s))
    yield "Cache-Control", "private, no-cache"
    if answer.etag:
        yield "ETag", answer.etag


def _is_known(etag: str, given: str) -> bool:
    """If-None-Match: `*`, or a list of entity tags, compared weakly (RFC 9110 §13.1.2)."""
    return given.strip() == "*" or etag in (each.strip().removeprefix("W/") for each in given.split(","))


def _response(answer: Answer, request: Request) -> Response:
    headers = list(_headers(answer))
    if answer.etag and _is_known(answer.etag, request.headers.get("if-none-match", "")):
        return Response(304, headers)
    if answer.status == 204:
        return Response(204, headers)
    return Response(answer.status, [_JSON, *headers], answer.body)


class DataFront:
    """The handlers of one service."""

    def __init__(self, service: DataService, dataset: Dataset | None, declared: Service) -> None:
        self._service = service
        self._dataset = dataset
        self._writable = declared.writable
        self._limit = str(min(_DEFAULT_LIMIT, declared.max_limit))

    async def get(self, request: Request) -> Response:
        """GET /v1/<service>/{key}"""
        _, rest = _taken(request.query)
        if rest:
            raise InvalidInput(f"unknown parameter {rest[0][0]!r}")
        return _response(await self._service.get(request.parameters["key"], caller_of(request)), request)

    async def query(self, request: Request) -> Response:
        """GET /v1/<service>?<field>=…&limit=&cursor="""
        known, filters = _taken(request.query, "limit", "cursor")
        limit = _integer(known.get("limit", self._limit), "limit", 1, 10_000)
        answer = await self._service.query(filters, limit=limit, cursor=known.get("cursor"), caller=caller_of(request))
        response = _response(answer, request)
        if answer.next_cursor:
            following = urlencode([*filters, ("limit", limit), ("cursor", answer.next_cursor)])
            response.headers.append(("Link", f'<{request.path}?{following}>; rel="next"'))  # RFC 8288
        return response

    async def changes(self, request: Request) -> Response:
        """GET /v1/<service>/changes?since=&limit=&wait= — long poll, or server-sent events where the client accepts them."""
        known, rest = _taken(request.query, "since", "limit", "wait")
        if rest:
            raise InvalidInput(f"unknown parameter {rest[0][0]!r}")
        since = _integer(known.get("since") or request.headers.get("last-event-id") or "0", "since", 0, 2**62)
        limit = _integer(known.get("limit", str(_DEFAULT_LIMIT)), "limit", 1, _MAX_CHANGES)
        caller = caller_of(request)
        if "text/event-stream" in request.headers.get("accept", ""):
            headers = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")]
            return Response(200, headers, stream=partial(self._events, since, limit, caller))
        wait_s = float(_integer(known.get("wait", "0"), "wait", 0, int(_MAX_WAIT_S)))
        answer = await self._service.changes(since=since, limit=limit, wait_s=wait_s, caller=caller)
        return _response(answer, request)

    async def _events(self, since: int, limit: int, caller: Caller, stream: Stream) -> None:
        """Server-sent events (WHATWG HTML §9.2): `id` is the version, so a reconnect goes on where it stood."""
        until = time.monotonic() + _STREAM_S
        while time.monotonic() < until:
            fresh = msgspec.structs.replace(caller, deadline=time.monotonic() + _HEARTBEAT_S + 5)
            try:
                answer = await self._service.changes(since=since, limit=limit, wait_s=_HEARTBEAT_S, caller=fresh)
            except PlatformError as error:
                await stream.write(f"event: error\ndata: {error.specific_code}\n\n".encode())
                return
            items = msgspec.json.decode(answer.body, type=_Feed).data
            pieces = [b"id: %d\nevent: change\ndata: %s\n\n" % (msgspec.json.decode(i, type=_Item).version, i) for i in items]
            await stream.write(b"".join(pieces) or b": waiting\n\n")
            since = answer.last_version

    async def patch(self, request: Request) -> Response:
        """PATCH /v1/<service>/{key}: sets the given fields."""
        return await self._write(request, request.parameters["key"], await _record(request))

    async def put(self, request: Request) -> Response:
        """PUT /v1/<service>/{key}: sets every writable field; one not given becomes null."""
        given = await _record(request)
        return await self._write(request, request.parameters["key"], {**dict.fromkeys(self._writable), **given})

    async def post(self, request: Request) -> Response:
        """POST /v1/<service>: the key stands in the body. Refused where the record exists."""
        record = await _record(request)
        assert self._dataset is not None
        key = "~".join(_key_part(name, record.pop(name, None)) for name in self._dataset.key)
        return await self._write(request, key, record, is_new=True)

    async def delete(self, request: Request) -> Response:
        """DELETE /v1/<service>/{key}"""
        return await self._write(request, request.parameters["key"], None)

    async def _write(self, request: Request, key: str, changes: Record | None, *, is_new: bool = False) -> Response:
        write = Write(key, changes, once_of(request), request.headers.get("if-match"), is_new=is_new)
        return _response(await self._service.write(write, caller_of(request)), request)


def once_of(request: Request) -> str:
    """The Idempotency-Key. InvalidInput where it is missing or too long."""
    once = request.headers.get("idempotency-key", "").strip().strip('"')
    if not 1 <= len(once) <= 128:
        text = "a write needs an Idempotency-Key header of 1 to 128 characters, the same one when it is repeated"
        raise InvalidInput(text, code="idempotency_key_required")
    return once


def _key_part(name: str, value: Value) -> str:
    """A part of the key as it would stand in the path. A list or a number with a fraction is no key, whatever its text."""
    if value is None or value == "":
        raise InvalidInput(f"{name}: the key is missing from the body")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidInput(f"{name}: a key is a text or a whole number")
    return str(value)


class _Feed(msgspec.Struct):
    data: list[msgspec.Raw]


class _Item(msgspec.Struct):
    version: int


async def _record(request: Request) -> Record:
    return await json_body(request, Record)


async def json_body(request: Request, kind: type[T]) -> T:
    """The request's body as this type. InvalidInput for anything else."""
    coding = request.headers.get("content-encoding", "identity")
    if coding.strip().lower() != "identity":
        request.tell("Accept-Encoding", "identity")  # RFC 9110 §12.5.3
        raise InvalidInput(
            f"a body in the content coding {coding[:80]!r} is not unpacked: send it plain", code="unsupported_media_type"
        )
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise InvalidInput("the body must be JSON: send Content-Type: application/json")
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the body is no JSON object as expected: {error}") from None
