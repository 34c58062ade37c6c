"""Fields: selects and masks the fields of answers by the caller's grant, and refuses to filter by or write what it can't see
plainly (requirements 2.14 and 2.24). What can't be read is refused, never passed as it is.

Stands before the cache, which keeps answers as they are for all; `gateway/views.py` does the work on documents.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Literal, NoReturn

from core.errors import Forbidden, InvalidInput, Unavailable
from gateway.changed_body import changed_headers, send_understood, worked
from gateway.json_text import decoded, encoded, is_json
from gateway.stage import AnswerStage, BodyStage, Outcome, Request, Response, Stream
from gateway.views import View

Operation = Literal["get", "query", "changes", "create", "update", "replace", "delete", "route"]
_RESERVED = {"query": frozenset({"limit", "cursor"}), "changes": frozenset({"since", "limit", "wait"})}
_BODILESS = frozenset({204, 205, 304})
_ERROR_CODE = re.compile(rb"[a-z_]{1,64}")
_WEIGHT = 4  # a byte that is selected and masked costs as much as so many that are only parsed
_MAX_LINE_BYTES = 4 << 20


class Fields:
    """`views` by app name, of one service or route; an app that is not there sees everything. `key` and `writable` are the fields
    of a service's key and those that PUT sets."""

    name = "fields"

    def __init__(
        self, views: Mapping[str, View], operation: Operation, *, key: tuple[str, ...] = (), writable: tuple[str, ...] = ()
    ) -> None:
        self._views = views
        self._operation = operation
        self._key = key
        self._writable = writable
        self._reserved = _RESERVED.get(operation, frozenset())
        self._show = {"query": _page, "changes": _feed}.get(operation, _document)

    def _view(self, request: Request) -> View | None:
        return None if request.identity is None else self._views.get(request.identity.app)

    def wants_body(self, request: Request) -> int:
        view = self._view(request)
        return view.max_bytes if view is not None and request.body_length != 0 else 0

    def on_request(self, request: Request) -> Outcome:
        view = self._view(request)
        if view is None:
            return None
        self._check_query(view, request)
        if self._operation == "route":
            if request.upgrade == b"websocket":
                raise Forbidden("this app sees the route's fields masked, which a tunnel can't be", code="field_forbidden")
            request.upgrade = b""  # any other may be ignored (RFC 9110 §7.8)
            request.set_header("Accept-Encoding", "identity")
            request.remove_header("Range")  # a part of a document can't be masked
            request.remove_header("If-Range")
        elif self._operation == "query":
            self._check_plain(view, self._key, "lists are paged by the key")
        elif self._operation == "replace":
            self._check_plain(view, self._writable, "PUT sets every field; use PATCH")
        body = request.content
        return worked(len(body), partial(_checked, view, request, body), partial(send_understood, request, body)) if body else None

    def _check_query(self, view: View, request: Request) -> None:
        """A filter or an order would tell, answer by answer, what a field holds. What parameters of a route mean is not known:
        there the name of a masked field may stand nowhere in the query."""
        for name, value in request.query:
            if not name:
                raise InvalidInput("the query is malformed: pairs of name=value, UTF-8, at most 100")
            if self._operation == "route":
                if view.names_masked(f"{name} {value}"):
                    _refuse(name, "asked by")
            elif name not in self._reserved and not view.is_plain(name):
                _refuse(name, "filtered by")

    def _check_plain(self, view: View, names: tuple[str, ...], reason: str) -> None:
        for name in names:
            if not view.is_plain(name):
                raise Forbidden(f"field {name} is masked or not granted to this app, and {reason}", code="field_forbidden")

    def collects(self, request: Request, response: Response) -> int:
        view = self._view(request)
        return view.max_bytes if view is not None and self._has_document(request, response) else 0

    def on_response(self, request: Request, response: Response) -> Outcome:
        view = self._view(request)
        if view is None or response.status in _BODILESS:
            return None
        if response.stream is not None:
            response.stream = partial(_masked, view, response.stream)
            return None
        if self._operation == "route":
            _make_private(response)
        if self._has_document(request, response):
            body = response.body
            return worked(len(body) * _WEIGHT, partial(self._shown, view, body), partial(_fill, response))
        if request.verb == b"HEAD":
            return None
        if response.status < 300:
            raise Unavailable("the answer is no JSON, so its fields can't be masked for this app", code="upstream_malformed")
        headers = [pair for pair in response.headers if pair[0].lower() not in ("content-type", "content-encoding")]
        return Response(response.status, headers)  # an error's page may hold anything: its status is told

    def _has_document(self, request: Request, response: Response) -> bool:
        """Whether there is a body that can be masked. A coded one can't: the plain form was asked for."""
        if response.status in _BODILESS or response.stream is not None or (self._operation == "route" and request.verb == b"HEAD"):
            return False
        return is_json(response.header("Content-Type")) and response.header("Content-Encoding").lower() in ("", "identity")

    def _shown(self, view: View, body: bytes) -> bytes:
        try:
            return encoded(self._show(view, decoded(body))) if body else b""
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Unavailable(
                "the answer can't be read, so its fields can't be masked for this app", code="upstream_malformed"
            ) from None


def _make_private(response: Response) -> None:
    """An upstream does not know that its answer is now for one app."""
    response.headers = changed_headers(response.headers)
    if "no-store" not in response.header("Cache-Control").lower():
        response.set_header("Cache-Control", "private, no-cache")


def _checked(view: View, request: Request, body: bytes) -> bytes:
    """The body as it was understood: a field that stands twice in an object goes on once."""
    if not is_json(request.headers.get("content-type", "")):
        raise Forbidden("this app may write some fields only, so its bodies must be JSON", code="field_forbidden")
    try:
        value = decoded(body)
        known = encoded(value)
    except ValueError as error:
        raise InvalidInput(f"body: it is no JSON: {error}", code="body_invalid") from None
    name = view.unwritable(value)
    if name is not None:
        _refuse(name, "written")
    return known


def _refuse(name: str, what: str) -> NoReturn:
    raise Forbidden(f"field {name[:64]} is masked or not granted to this app; it can't be {what}", code="field_forbidden")


def _fill(response: Response, body: bytes) -> None:
    response.body = body


def _document(view: View, value: Any) -> Any:
    return view.shown(value)


def _page(view: View, value: Any) -> Any:
    return {**value, "data": view.shown(value["data"])}


def _feed(view: View, value: Any) -> Any:
    return {**value, "data": [_change(view, item) for item in value["data"]]}


def _change(view: View, value: Any) -> Any:
    return {**value, "record": view.shown(value["record"])}


async def _masked(view: View, inner: Callable[[Stream], Awaitable[None]], stream: Stream) -> None:
    await inner(MaskedEvents(view, stream))


class MaskedEvents:
    """Server-sent events of a changes feed (WHATWG HTML §9.2), each change masked; whatever is none is dropped."""

    def __init__(self, view: View, stream: Stream) -> None:
        self._view = view
        self._stream = stream
        self._rest = b""
        self._event = b""

    async def write(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            raise Unavailable("an event is too large to be masked for this app", code="answer_too_large")
        shown = b"".join([self._line(line.rstrip(b"\r")) for line in lines])
        if shown:
            await self._stream.write(shown)

    def _line(self, line: bytes) -> bytes:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match field:
            case b"" | b"id" | b"retry":
                self._event = self._event if line else b""
            case b"event":
                self._event = value
            case b"data":
                line = b"data: " + self._data(value)
            case _:
                return b""
        return line + b"\n"

    def _data(self, value: bytes) -> bytes:
        if self._event == b"error":
            return value if _ERROR_CODE.fullmatch(value) else b"internal"
        try:
            return encoded(_change(self._view, decoded(value)))
        except (ValueError, TypeError, KeyError):
            raise Unavailable("an event can't be read, so it can't be masked for this app", code="upstream_malformed") from None


def _conforms(stage: Fields) -> tuple[BodyStage, AnswerStage]:
    return stage, stage


def _stream_conforms(events: MaskedEvents) -> Stream:
    return events
