"""JSON over HTTP: reads lists page by page, looks up and writes single records by path, and calls declared operations.

Wire, errors and redirects are `http_client`'s, positions are `paging`'s.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta, Struct

from adapters.http_client import Answer, Bounds, Busy, HTTPClient, basic
from adapters.http_tokens import OAuth2Auth, Tokens
from adapters.paging import Order, Page, Progress, marker, read_pages, records_at, value_at
from core.adapter import Adapter, Backend, Lookup, Source, Writer
from core.clock import epoch_ms
from core.errors import InvalidInput, NotFound, Unavailable
from core.records import Cursor, Rows, Transaction
from core.schema import Dataset, Record, Value
from core.secret import Secret

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
UrlPath = Annotated[str, Meta(pattern=r"^/", description="path under `url`, with {placeholders}")]

MAX_WAITS = 3
"""How often one page may be put off by Retry-After before the read fails."""
MAX_DEPTH = 100
"""How deep a field's lists and objects may be nested."""
MAX_RACES = 16
"""How often a merged write is tried when others change the record between our GET and PUT."""


class NoAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="none"):
    """The service asks for no credential."""


class HeaderAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="header"):
    """A key in a header, such as X-Api-Key."""

    name: str
    value: Secret


class BasicAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="basic"):
    """User and password (RFC 7617)."""

    user: str
    password: Secret


class BearerAuth(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="bearer"):
    """A fixed bearer token (RFC 6750)."""

    token: Secret


class Operation(Struct, frozen=True, forbid_unknown_fields=True):
    """One live call. `path` and the values of `query` hold {argument} placeholders; a query parameter whose argument is not given
    is left out. Arguments used in neither become the JSON body of POST, PUT and PATCH."""

    path: UrlPath
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    query: dict[str, str] = {}


class HttpJsonSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One service. `check_path` is what a connection check gets; the URL itself by default, where 404 is good enough."""

    url: str
    auth: NoAuth | HeaderAuth | BasicAuth | BearerAuth | OAuth2Auth = NoAuth()
    check_path: UrlPath | None = None
    connect_timeout_s: Positive = 5.0
    timeout_s: Positive = 30.0
    max_body_bytes: Count = 16 * 1024 * 1024
    operations: dict[str, Operation] = {}


class HttpJsonOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """How a list is paged and where a single record stands.

    `paging` says what `parameter` takes: a page number, the number of records so far, the token of the last answer (at `next`),
    or the last record's `after_field` (its key by default). Where `next` is given, its absence in an answer ends the list.
    `items`, `next`, `record` and a field's `from` are dotted paths of names, or JSONPath (RFC 9535) where they begin with `$`.
    `order` is that of the list under `after`, see `paging.Order`. `upsert`: `put_merged` gets the record, lays the changes over it
    and puts it back under its ETag; `put` and `patch` send the changes alone.
    """

    items: str = ""
    query: dict[str, str] = {}
    paging: Literal["none", "page", "offset", "cursor", "after"] = "none"
    parameter: str | None = None
    first_page: int = 1
    next: str | None = None
    after_field: str | None = None
    order: Literal["cursor", "key"] = "cursor"
    size_parameter: str | None = None
    size: Count = 500
    since_parameter: str | None = None
    since_start: str | None = None
    record_path: UrlPath | None = None
    record: str = ""
    upsert: Literal["put_merged", "put", "patch"] = "put_merged"


class HttpJsonConnection:
    """A connection is an HTTP session; nothing is sent before the first call. Calls may overlap."""

    def __init__(self, settings: HttpJsonSettings) -> None:
        self._settings = settings
        bounds = Bounds(settings.connect_timeout_s, settings.timeout_s, settings.max_body_bytes)
        self._client = HTTPClient(settings.url, _credentials(settings.auth), bounds)
        self._tokens: Tokens | None = None
        if isinstance(settings.auth, OAuth2Auth):
            self._token_client = HTTPClient(settings.auth.token_url, {}, bounds)
            self._tokens = Tokens(settings.auth, self._token_client.send)

    async def check(self) -> None:
        path = self._settings.check_path
        answer = await self._send("GET", path or "")
        # Without a check_path any answer but a refused credential or a failure shows that the service is there.
        if answer.status >= 400 and (path or answer.status in (401, 403) or answer.status >= 500):
            raise self._client.refusal(answer, f"check of {path or 'its URL'}")

    async def close(self) -> None:
        await self._client.close()
        if self._tokens is not None:
            await self._token_client.close()

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        """Unknown: asking would cost as much as reading."""
        return None

    async def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncIterator[Transaction]:
        """Rows in pages of at most `size`. Values are the JSON's own, numbers with decimals as exact Decimals."""
        options = options_of(dataset)
        order: Order = options.order if options.paging == "after" else "none"
        size = min(options.size, batch_rows)
        progress = Progress(cursor, order, asked=size, is_keyed=options.paging == "after")
        ask = partial(self._page, dataset, options, size)
        rows = partial(_rows, dataset)
        async with aclosing(read_pages(ask, progress, marker(dataset, options.after_field), rows, batch_rows)) as transactions:
            async for transaction in transactions:
                yield transaction

    async def fetch(self, dataset: Dataset, key: Mapping[str, Value]) -> Rows | None:
        record, _ = await self._record(dataset, key)
        return None if record is None else _rows(dataset, [record])

    async def upsert(self, dataset: Dataset, key: Mapping[str, Value], changes: Record) -> None:
        options = options_of(dataset)
        given = {dataset.source_name(name): _outgoing(dataset, name, value) for name, value in changes.items()}
        if options.upsert == "put_merged":
            await self._put_merged(dataset, key, given)
            return
        method = "PATCH" if options.upsert == "patch" else "PUT"
        self._accept(await self._write(method, dataset, key, given), f"{method} {dataset.object}")

    async def delete(self, dataset: Dataset, key: Mapping[str, Value]) -> None:
        answer = await self._write("DELETE", dataset, key, None)
        if answer.status not in (404, 410):
            self._accept(answer, f"DELETE {dataset.object}")

    async def call(self, operation: str, arguments: Mapping[str, Value]) -> Any:
        """The answer's JSON; None where it has no body. NotFound for an operation that the settings do not declare."""
        declared = self._settings.operations.get(operation)
        if declared is None:
            known = ", ".join(sorted(self._settings.operations)) or "none"
            raise NotFound(f"there is no operation {operation[:60]!r}; declared are: {known}")
        used = {name for text in (declared.path, *declared.query.values()) for name in _PLACEHOLDER.findall(text)}
        rest = {name: value for name, value in arguments.items() if name not in used}
        if rest and declared.method in ("GET", "DELETE"):
            raise InvalidInput(f"operation {operation} takes no argument {', '.join(sorted(rest))[:200]}")
        body = rest if declared.method in ("POST", "PUT", "PATCH") else None
        path = with_query(filled(declared.path, arguments), _query(declared.query, arguments))
        answer = self._accept(await self._send(declared.method, path, body), f"operation {operation}")
        return _decoded(answer, _PLAIN, f"operation {operation}")

    async def _page(self, dataset: Dataset, options: HttpJsonOptions, size: int, progress: Progress) -> Page:
        query: dict[str, Any] = dict(options.query)
        if options.size_parameter:
            query[options.size_parameter] = size
        since = progress.since if progress.since is not None else options.since_start
        if options.since_parameter and since is not None:
            query[options.since_parameter] = since
        position = _position(options, progress)
        if options.paging != "none" and position is not None:
            if options.parameter is None:
                raise InvalidInput(f"{dataset.object}: paging {options.paging!r} needs the option `parameter`")
            query[options.parameter] = position
        observed_ms = epoch_ms()
        document = await self._list(with_query(filled(dataset.object, {}), query))
        token = value_at(document, options.next) if options.next and isinstance(document, Mapping) else None
        is_last = options.paging == "none" or (_ends_by_token(options) and token in (None, "", False))
        if options.paging == "cursor" and token is not None and token == progress.token:
            raise Unavailable(f"{dataset.object}: the service gives the same next token twice")
        return Page(records_at(document, options.items, dataset.object), observed_ms, is_last, token)

    async def _list(self, path: str) -> Any:
        """One GET; put off as long as the service asks for (Retry-After), where that fits the time limit."""
        for waits in range(MAX_WAITS + 1):
            answer = await self._send("GET", path)
            if answer.status < 300:
                break
            refusal = self._client.refusal(answer, f"GET {path.partition('?')[0]}")
            if not isinstance(refusal, Busy) or refusal.retry_after_s > self._settings.timeout_s or waits == MAX_WAITS:
                raise refusal
            await asyncio.sleep(refusal.retry_after_s)
        return _decoded(answer, _EXACT, f"GET {path.partition('?')[0]}")

    async def _record(self, dataset: Dataset, key: Mapping[str, Value]) -> tuple[Mapping[str, Any] | None, str | None]:
        """The record and its ETag, or None twice."""
        answer = await self._send("GET", _record_path(dataset, key))
        if answer.status in (404, 410):
            return None, None
        what = f"GET {dataset.object}"
        found = records_at(_decoded(self._accept(answer, what), _EXACT, what), options_of(dataset).record, what)
        return (found[0], answer.headers.get("etag")) if found else (None, None)

    async def _put_merged(self, dataset: Dataset, key: Mapping[str, Value], given: dict[str, Any]) -> None:
        for _ in range(MAX_RACES):
            record, tag = await self._record(dataset, key)
            headers = {"If-Match": tag} if tag else {"If-None-Match": "*"} if record is None else {}
            answer = await self._write("PUT", dataset, key, {**(record or {}), **given}, headers)
            if answer.status != 412:  # somebody else was faster: lay the changes over what he wrote
                self._accept(answer, f"PUT {dataset.object}")
                return
        raise Unavailable(
            f"PUT {dataset.object}: the record was changed by others {MAX_RACES} times between reading and writing it"
        )

    async def _write(
        self, method: str, dataset: Dataset, key: Mapping[str, Value], body: Any, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return await self._send(method, _record_path(dataset, key), body, headers)

    async def _send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        sent = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        content, url = None if body is None else _ENCODER.encode(body), self._settings.url.rstrip("/") + path
        if self._tokens is None:
            return await self._client.send(method, url, content, sent)
        for _ in range(2):
            token = self._client.hidden = await self._tokens.current()
            answer = await self._client.send(method, url, content, {**sent, "Authorization": f"Bearer {token.reveal()}"})
            if answer.status != 401:
                break
            self._tokens.forget(token)  # revoked before its time: one more try with a new one
        return answer

    def _accept(self, answer: Answer, what: str) -> Answer:
        if answer.status >= 300:
            raise self._client.refusal(answer, what)
        return answer


_ENCODER = msgspec.json.Encoder(decimal_format="number")
_EXACT: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)
_PLAIN: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def options_of(dataset: Dataset) -> HttpJsonOptions:
    """The dataset's options; InvalidInput names what is wrong with them."""
    try:
        return msgspec.convert(dataset.options, HttpJsonOptions)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{dataset.object}: options: {error}") from error


def filled(template: str, arguments: Mapping[str, Value]) -> str:
    """The path with its placeholders filled, each value quoted as one segment (RFC 3986 §2). InvalidInput for a missing one."""

    def segment(match: re.Match[str]) -> str:
        value = arguments.get(match[1])
        text = "" if value is None else _text(value)
        if text in ("", ".", ".."):  # these would name another resource
            raise InvalidInput(f"argument {match[1]} is missing or can't stand in a path")
        return quote(text, safe="")

    return _PLACEHOLDER.sub(segment, template)


def with_query(path: str, query: Mapping[str, Any]) -> str:
    """The path with these parameters; None is left out, a list is repeated."""
    pairs = [
        (name, _text(value))
        for name, values in query.items()
        for value in (values if isinstance(values, list) else [values])
        if value is not None
    ]
    return path if not pairs else f"{path}{'&' if '?' in path else '?'}{urlencode(pairs)}"


def _query(templates: Mapping[str, str], arguments: Mapping[str, Value]) -> dict[str, Any]:
    query: dict[str, Any] = {}
    for name, template in templates.items():
        needed = _PLACEHOLDER.findall(template)
        if len(needed) == 1 and template == f"{{{needed[0]}}}":
            query[name] = arguments.get(needed[0])
        elif all(arguments.get(argument) is not None for argument in needed):
            query[name] = _PLACEHOLDER.sub(lambda match: _text(arguments[match[1]]), template)
    return query


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _position(options: HttpJsonOptions, progress: Progress) -> Any:
    positions: dict[str, Callable[[], Any]] = {
        "none": lambda: None,
        "page": lambda: options.first_page + progress.pages,
        "offset": lambda: progress.records,
        "cursor": lambda: progress.token,
        "after": lambda: progress.after,
    }
    return positions[options.paging]()


def _ends_by_token(options: HttpJsonOptions) -> bool:
    return options.paging == "cursor" or options.next is not None


def _record_path(dataset: Dataset, key: Mapping[str, Value]) -> str:
    path = options_of(dataset).record_path
    if path is None:
        raise InvalidInput(f"{dataset.object}: single records need the option `record_path`")
    return filled(path, key)


def _rows(dataset: Dataset, records: Sequence[Mapping[str, Any]]) -> Rows:
    columns = [dataset.source_name(name) for name in dataset.given]
    return Rows(columns, [[_cell(value_at(record, column)) for column in columns] for record in records])


def _cell(value: Any, depth: int = 0) -> Any:
    """A list or object goes on as plain JSON; only a field of its own keeps its exact decimals."""
    if depth > MAX_DEPTH:
        raise Unavailable(f"the answer's JSON is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        return [_cell(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {name: _cell(item, depth + 1) for name, item in value.items()}
    return float(value) if depth and isinstance(value, Decimal) else value


def _outgoing(dataset: Dataset, name: str, value: Value) -> Any:
    """Canonical decimals are text; a JSON service expects a number with the same digits."""
    is_decimal = dataset.field(name).type == "decimal" and isinstance(value, str)
    return Decimal(value) if is_decimal else value  # type: ignore[arg-type]


def _decoded(answer: Answer, decoder: "msgspec.json.Decoder[Any]", what: str) -> Any:
    if not answer.body.strip():
        return None
    charset = re.search(r"charset=\"?([\w.:-]+)", answer.headers.get("content-type", ""), re.IGNORECASE)
    try:
        text = answer.body.decode(charset[1] if charset else "utf-8-sig")
        return decoder.decode(text.removeprefix("\ufeff"))
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, RecursionError) as error:
        kind = answer.headers.get("content-type", "no content type")[:80]
        raise Unavailable(f"{what}: the answer is not valid JSON ({kind}): {str(error)[:150]}") from error


def _credentials(auth: NoAuth | HeaderAuth | BasicAuth | BearerAuth | OAuth2Auth) -> Mapping[str, Secret]:
    if isinstance(auth, HeaderAuth):
        return {auth.name: auth.value}
    if isinstance(auth, BasicAuth):
        return basic(auth.user, auth.password)
    if isinstance(auth, BearerAuth):
        return {"Authorization": Secret(f"Bearer {auth.token.reveal()}")}
    return {}


def _open(settings: HttpJsonSettings) -> HttpJsonConnection:
    return HttpJsonConnection(settings)


ADAPTER = Adapter(
    name="http_json",
    title="JSON over HTTP",
    settings=HttpJsonSettings,
    options=HttpJsonOptions,
    abilities=frozenset({"read", "lookup", "write", "call"}),
    open=_open,
)

_reads: type[Source] = HttpJsonConnection
_looks_up: type[Lookup] = HttpJsonConnection
_writes: type[Writer] = HttpJsonConnection
_calls: type[Backend] = HttpJsonConnection
