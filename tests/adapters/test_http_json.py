"""The http_json adapter against a small JSON service of its own, over real sockets."""

import asyncio
import base64
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from aiohttp import web

from adapters.http_json import (
    ADAPTER,
    BasicAuth,
    BearerAuth,
    HeaderAuth,
    HttpJsonConnection,
    HttpJsonSettings,
    Operation,
    filled,
    with_query,
)
from core.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    NotConnected,
    NotFound,
    PlatformError,
    Unauthenticated,
    Unavailable,
)
from core.records import Cursor, Payload
from core.schema import Dataset
from core.secret import Secret
from examples.estate.marketing import marketing_application
from tests.conformance.adapter_suite import (
    ConnectionSuite,
    LookupSuite,
    Person,
    SourceSuite,
    WriterSuite,
    decode_rows,
    people,
    read_transactions,
)
from tests.servers.ports import free_port

KEY = Secret("a-very-long-api-key")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PeopleService:
    """People by number, with a keyset list, ETags and preconditions, behind an API key."""

    def __init__(self) -> None:
        self.people: dict[int, dict[str, Any]] = {}

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/api/people", self.list)
        application.router.add_route("*", "/api/people/{number}", self.single)
        return application

    async def list(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        mark = (request.query.get("since", ""), int(request.query.get("after", 0)))
        found = sorted((p for p in self.people.values() if self._mark(p) > mark), key=self._mark)
        return self._json({"data": found[: int(request.query["limit"])]})

    async def single(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        number = int(request.match_info["number"])
        known = self.people.get(number)
        if request.method == "DELETE":
            self.people.pop(number, None)
            return web.Response(status=204 if known else 404)
        if request.method == "PUT":
            given = msgspec.json.decode(await request.read(), type=dict[str, Any])
            await asyncio.sleep(0)
            if request.headers.get("If-Match", self._tag(known)) != self._tag(known) or (
                known and "If-None-Match" in request.headers
            ):
                return web.Response(status=412)
            self.people[number] = {"number": number, **given}
        elif known is None:
            raise web.HTTPNotFound(text='{"error": {"message": "nobody has this number"}}')
        return self._json(self.people[number], {"ETag": self._tag(self.people[number])})

    @staticmethod
    def _mark(person: dict[str, Any]) -> tuple[str, int]:
        return person["changed_at"], person["number"]

    @staticmethod
    def _tag(person: dict[str, Any] | None) -> str:
        return f'"{hash(str(person))}"'

    @staticmethod
    def _json(document: Any, headers: dict[str, str] | None = None) -> web.Response:
        encoder = msgspec.json.Encoder(decimal_format="number")
        return web.Response(body=encoder.encode(document), content_type="application/json", headers=headers)

    @staticmethod
    def _authenticate(request: web.Request) -> None:
        if request.headers.get("X-Api-Key") != KEY.reveal():
            raise web.HTTPUnauthorized(text=f"bad key {request.headers.get('X-Api-Key')}")


class PeopleHarness:
    adapter = ADAPTER
    missing: Dataset | None

    def __init__(self, service: PeopleService, url: str) -> None:
        self._service = service
        self._url = url
        options = {
            "items": "data",
            "paging": "after",
            "parameter": "after",
            "since_parameter": "since",
            "size_parameter": "limit",
            "record_path": "/api/people/{number}",
        }
        self.dataset = people("/api/people", options=options)
        self.missing = people("/api/no_such_list", options=options)
        self.settings = self._settings(url, KEY)
        self.wrong_password = self._settings(url, Secret("another-long-key"))
        self.unreachable = self._settings(f"http://127.0.0.1:{free_port()}", KEY)

    @staticmethod
    def _settings(url: str, key: Secret) -> HttpJsonSettings:
        check = "/api/people?limit=1"
        return HttpJsonSettings(url=url, auth=HeaderAuth("X-Api-Key", key), check_path=check, timeout_s=5)

    async def put(self, people: Sequence[Person]) -> None:
        for person in people:
            self._service.people[person.number] = {**asdict(person), "amount": Decimal(person.amount)}

    def decode(self, payloads: Sequence[Payload]) -> list[Person]:
        return decode_rows(self.dataset, payloads)


@asynccontextmanager
async def serving(application: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def harness() -> AsyncIterator[PeopleHarness]:
    service = PeopleService()
    async with serving(service.application()) as url:
        yield PeopleHarness(service, url)


@pytest.mark.req("0.46")
class TestPeople(ConnectionSuite, SourceSuite, LookupSuite, WriterSuite):
    """The whole conformance suite."""


@asynccontextmanager
async def connected(handler: Handler, **settings: Any) -> AsyncIterator[HttpJsonConnection]:
    """A connection to a service whose every path is answered by `handler`."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    async with serving(application) as url, opened_connection(HttpJsonSettings(url=url, **settings)) as connection:
        yield connection


def numbers(**options: Any) -> Dataset:
    return Dataset(object="/numbers", key=("n",), fields={"n": "integer"}, options={"items": "items", **options})


async def read_numbers(
    connection: HttpJsonConnection, dataset: Dataset, cursor: Cursor | None = None, *, batch_rows: int = 10
) -> tuple[list[int], list[Cursor | None]]:
    found = await read_transactions(connection, dataset, cursor, batch_rows=batch_rows)
    rows = [row[0] for transaction in found for row in transaction.payload.rows]  # type: ignore[union-attr]
    return rows, [transaction.cursor for transaction in found]


async def page_of_numbers(request: web.Request) -> web.Response:
    """25 numbers, at most 7 a page whatever is asked: by page, offset or token."""
    query = request.query
    start = (int(query.get("page", 1)) - 1) * 7 + int(query.get("offset", 0)) + int(query.get("token", 0))
    items = [{"n": n} for n in range(25)][start : start + 7]
    return web.json_response({"items": items, "next": str(start + 7) if start + 7 < 25 else None})


@pytest.mark.parametrize(
    "options",
    [
        {"paging": "page", "parameter": "page"},
        {"paging": "page", "parameter": "page", "size_parameter": "size", "size": 9},
        {"paging": "offset", "parameter": "offset", "size_parameter": "limit"},
        {"paging": "offset", "parameter": "offset", "next": "next"},
        {"paging": "cursor", "parameter": "token", "next": "next"},
    ],
)
async def test_every_paging_reads_all_even_where_the_service_caps_the_page_size(options: dict[str, Any]) -> None:
    async with connected(page_of_numbers) as connection:
        rows, cursors = await read_numbers(connection, numbers(**options))
    assert rows == list(range(25))
    assert cursors == [{}, {}, {}, {}]


async def test_a_page_larger_than_the_batch_is_split_and_resumes_before_it() -> None:
    async def all_at_once(request: web.Request) -> web.Response:
        return web.json_response({"items": [{"n": n, "at": f"2024-05-{n + 1:02d}"} for n in range(25)]})

    dataset = Dataset(
        object="/numbers",
        key=("n",),
        fields={"n": "integer", "at": "date"},
        cursor="at",
        options={"items": "items", "since_parameter": "since"},
    )
    async with connected(all_at_once) as connection:
        rows, cursors = await read_numbers(connection, dataset, {"since": "2024-04-30"})
    assert rows == list(range(25))
    assert cursors == [{"since": "2024-04-30"}, {"since": "2024-04-30"}, {"since": "2024-05-25"}]


async def test_a_list_by_key_keeps_its_since_until_it_has_ended() -> None:
    asked: list[dict[str, str]] = []

    async def by_key(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        start = int(request.query.get("after", 0))
        items = [{"n": n, "at": 100 - n} for n in range(start + 1, min(start + 4, 8))]
        return web.json_response({"items": items})

    options = {
        "items": "items",
        "paging": "after",
        "parameter": "after",
        "order": "key",
        "since_parameter": "since",
        "since_start": "0",
        "size_parameter": "limit",
        "size": 3,
        "query": {"kind": "all"},
    }
    dataset = Dataset(object="/numbers", key=("n",), fields={"n": "integer", "at": "integer"}, cursor="at", options=options)
    async with connected(by_key) as connection:
        rows, cursors = await read_numbers(connection, dataset)
        assert rows == [1, 2, 3, 4, 5, 6, 7]
        assert cursors == [{"after": 3, "high": 99}, {"after": 6, "high": 99}, {"since": 99}]
        assert asked[1] == {"kind": "all", "limit": "3", "since": "0", "after": "3"}
        rows, cursors = await read_numbers(connection, dataset, cursors[1])
        assert (rows, cursors) == ([7], [{"since": 99}])


async def test_decimals_are_exact_and_nested_names_are_found() -> None:
    async def answer(request: web.Request) -> web.Response:
        text = '{"items": [{"a": {"price": 12345678901234567.890}, "tags": [1.5, "x"], "big": 12345678901234567890123}]}'
        return web.Response(text=text, content_type="application/json")

    fields = {"price": {"type": "decimal", "from": "a.price"}, "tags": "json", "big": "decimal", "none": "text"}
    dataset = msgspec.convert({"object": "/x", "key": ["price"], "fields": fields, "options": {"items": "items"}}, Dataset)
    async with connected(answer) as connection:
        (transaction,) = await read_transactions(connection, dataset)
    payload: Any = transaction.payload
    assert payload.columns == ["a.price", "tags", "big", "none"]
    assert payload.rows == [[Decimal("12345678901234567.890"), [1.5, "x"], 12345678901234567890123, None]]


async def test_a_value_nested_without_end_is_refused() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text='{"items": [{"n": ' + "[" * 500 + "]" * 500 + "}]}", content_type="application/json")

    async with connected(answer) as connection:
        with pytest.raises(Unavailable, match=r"nested deeper than 100|not valid JSON"):
            await read_numbers(connection, numbers())


async def test_gbk_answers_are_read_by_their_charset() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body='{"items": [{"n": "张三"}]}'.encode("gb18030"), headers={"Content-Type": "text/json; charset=GBK"})

    async with connected(answer) as connection:
        found: list[Any] = (await read_numbers(connection, numbers()))[0]
        assert found == ["张三"]


async def test_a_service_that_ignores_its_position_is_noticed() -> None:
    async def same(request: web.Request) -> web.Response:
        return web.json_response({"items": [{"n": 1}, {"n": 2}], "next": "again"})

    async with connected(same) as connection:
        with pytest.raises(Unavailable, match="again as page"):
            await read_numbers(connection, numbers(paging="after", parameter="after"))
        with pytest.raises(Unavailable, match="same next token twice"):
            await read_numbers(connection, numbers(paging="cursor", parameter="token", next="next"))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInput),
        (401, Unauthenticated),
        (403, Forbidden),
        (404, NotFound),
        (409, InvalidInput),
        (422, InvalidInput),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_a_status_becomes_our_error_with_the_services_own_words(status: int, kind: type[PlatformError]) -> None:
    async def refuse(request: web.Request) -> web.Response:
        key = request.headers["X-Key"]
        return web.json_response({"error": {"message": f"field n\n is wrong; key {key} " + "x" * 999}}, status=status)

    async with connected(refuse, auth=HeaderAuth("X-Key", KEY)) as connection:
        with pytest.raises(PlatformError, match=r"field n  is wrong; key \*\*\* x") as caught:
            await read_numbers(connection, numbers())
    assert type(caught.value) is kind
    assert len(caught.value.detail) < 450
    assert KEY.reveal() not in caught.value.detail


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b'{"items": [', "application/json"), (b"<html>hello</html>", "text/html"), (b"[" * 100_000, "application/json")],
)
async def test_an_answer_that_is_not_json_is_unavailable(body: bytes, content_type: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type)

    async with connected(answer) as connection:
        with pytest.raises(Unavailable, match="not valid JSON"):
            await read_numbers(connection, numbers())


async def test_items_that_are_no_records_are_unavailable() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"items": [1, 2]})

    async with connected(answer) as connection:
        with pytest.raises(Unavailable, match="expected a list of records at 'items'"):
            await read_numbers(connection, numbers())


async def test_retry_after_is_waited_for_where_it_fits() -> None:
    refused = 0

    async def busy_once(request: web.Request) -> web.Response:
        nonlocal refused
        if refused < 2:
            refused += 1
            return web.Response(status=429, headers={"Retry-After": "0"})
        return web.json_response({"items": [{"n": 1}]})

    async def busy_long(request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "3600"})

    async with connected(busy_once) as connection:
        assert (await read_numbers(connection, numbers()))[0] == [1]
    async with connected(busy_long) as connection:
        with pytest.raises(Unavailable, match="asks to wait 3600 s"):
            await read_numbers(connection, numbers())


@pytest.mark.req("0.43")
async def test_call_fills_path_query_and_body() -> None:
    async def echo(request: web.Request) -> web.Response:
        body = await request.text()
        return web.json_response([request.method, request.raw_path, body, request.headers.get("Authorization")])

    operations = {
        "get": Operation("/a/{id}", query={"f": "{field}", "fixed": "1", "range": "{low}-{high}"}),
        "post": Operation("/b", method="POST"),
        "remove": Operation("/c/{id}", method="DELETE"),
    }
    async with connected(echo, operations=operations, auth=BasicAuth("u", Secret("p"))) as connection:
        login = "Basic " + base64.b64encode(b"u:p").decode()
        answer = await connection.call("get", {"id": "x/../ü?", "field": "名"})
        assert answer == ["GET", "/a/x%2F..%2F%C3%BC%3F?f=%E5%90%8D&fixed=1", "", login]
        answer = await connection.call("get", {"id": 1, "low": 2, "high": 3, "field": True})
        assert answer[1] == "/a/1?f=true&fixed=1&range=2-3"
        answer = await connection.call("post", {"n": 1.5, "s": "名"})
        assert answer[2] == '{"n":1.5,"s":"名"}'
        with pytest.raises(NotFound, match="'nothing'; declared are: get, post, remove"):
            await connection.call("nothing", {})
        with pytest.raises(InvalidInput, match="takes no argument other"):
            await connection.call("get", {"id": 1, "other": 2})
        for bad in ("..", "", None):
            with pytest.raises(InvalidInput, match="argument id"):
                await connection.call("remove", {"id": bad})


async def test_an_empty_answer_of_a_call_is_none() -> None:
    async def nothing(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer token-of-ours"
        return web.Response(status=204)

    auth = BearerAuth(Secret("token-of-ours"))
    async with connected(nothing, operations={"go": Operation("/go", method="POST")}, auth=auth) as connection:
        assert await connection.call("go", {}) is None


@pytest.mark.parametrize(("upsert", "method"), [("put", "PUT"), ("patch", "PATCH")])
async def test_plain_writes_send_the_changes_alone_with_exact_decimals(upsert: str, method: str) -> None:
    seen: list[tuple[str, str, str]] = []

    async def take(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, await request.text()))
        return web.Response(status=204)

    dataset = Dataset(
        object="/list",
        key=("n",),
        fields={"n": "integer", "price": "decimal", "name": "text"},
        options={"record_path": "/one/{n}", "upsert": upsert},
    )
    async with connected(take) as connection:
        await connection.upsert(dataset, {"n": 5}, {"price": "10.10", "name": "甲"})
    assert seen == [(method, "/one/5", '{"price":10.10,"name":"甲"}')]


async def test_a_record_that_others_change_all_the_time_is_unavailable() -> None:
    async def racing(request: web.Request) -> web.Response:
        return web.Response(status=412) if request.method == "PUT" else web.json_response({"n": 1})

    dataset = numbers(record_path="/one/{n}")
    async with connected(racing) as connection:
        with pytest.raises(Unavailable, match="changed by others"):
            await connection.upsert(dataset, {"n": 1}, {"n": 1})


@pytest.mark.parametrize("options", [{"itmes": "data"}, {"paging": "after"}])
async def test_wrong_options_are_named(options: dict[str, Any]) -> None:
    async def empty(request: web.Request) -> web.Response:
        return web.json_response({"items": [{"n": 1}]})

    async with connected(empty) as connection:
        with pytest.raises(InvalidInput, match=r"itmes|parameter"):
            await read_numbers(connection, numbers(**options))
        with pytest.raises(InvalidInput, match=r"itmes|record_path"):
            await connection.fetch(numbers(**options), {"n": 1})


async def test_a_slow_service_is_a_deadline_and_a_broken_one_unavailable() -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(0.5)
        return web.json_response({})

    async def breaks_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"items": [')
        assert request.transport is not None
        request.transport.close()
        return response

    async with connected(slow, timeout_s=0.1) as connection:
        with pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"):
            await read_numbers(connection, numbers())
    async with connected(breaks_off) as connection:
        with pytest.raises(Unavailable, match="broke off"):
            await read_numbers(connection, numbers())


async def test_a_closed_connection_is_not_connected() -> None:
    async with connected(page_of_numbers) as connection:
        await connection.check()
        await connection.close()
        with pytest.raises(NotConnected, match="closed"):
            await connection.check()


async def test_check_without_a_path_takes_any_answer_but_a_refusal() -> None:
    async def not_here(request: web.Request) -> web.Response:
        return web.Response(status=404)

    async def locked(request: web.Request) -> web.Response:
        return web.Response(status=403)

    async with connected(not_here) as connection:
        await connection.check()
    async with connected(not_here, check_path="/health") as connection:
        with pytest.raises(NotFound, match="check of /health"):
            await connection.check()
    async with connected(locked) as connection:
        with pytest.raises(Forbidden):
            await connection.check()


@pytest.mark.parametrize("url", ["ftp://host/", "file:///etc/passwd", "http://user:secret-word@host/", "nonsense"])
async def test_urls_of_another_kind_are_refused_without_repeating_them(url: str) -> None:
    connection = HttpJsonConnection(HttpJsonSettings(url=url))
    with pytest.raises(InvalidInput, match="must begin with http") as caught:
        await connection.check()
    assert "secret-word" not in str(caught.value)
    await connection.close()


def test_templates_and_queries() -> None:
    assert filled("/a/{x}/{y}", {"x": "1 2", "y": True}) == "/a/1%202/true"
    assert with_query("/a?b=1", {"c": [1, None, "x&y"], "d": None}) == "/a?b=1&c=1&c=x%26y"
    assert with_query("/a", {}) == "/a"


@asynccontextmanager
async def opened_connection(settings: HttpJsonSettings) -> AsyncIterator[HttpJsonConnection]:
    connection = HttpJsonConnection(settings)
    try:
        yield connection
    finally:
        await connection.close()


def objects(path: str, key: str, *fields: str, cursor: str | None = None, **options: Any) -> Dataset:
    declared: dict[str, Any] = {field: "json" for field in (key, *fields)}
    return Dataset(object=path, key=(key,), fields=declared, cursor=cursor, options={"items": "data", **options})


async def test_the_estates_marketing_system() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute("CREATE TABLE event (event_id INTEGER PRIMARY KEY, body TEXT)")
        database.execute("CREATE TABLE campaign (campaign_id TEXT PRIMARY KEY, body TEXT)")
        database.execute("CREATE TABLE preference (customer_id TEXT PRIMARY KEY, version INTEGER, body TEXT)")
        database.executemany("INSERT INTO event VALUES (?, ?)", [(n, '{"kind": "view"}') for n in range(1, 31)])
        database.executemany(
            "INSERT INTO campaign VALUES (?, ?)", [(f"C{n:02d}", f'{{"campaign_id": "C{n:02d}"}}') for n in range(7)]
        )
        async with serving(marketing_application(database, key=KEY.reveal())) as url:
            settings = HttpJsonSettings(url=url, auth=HeaderAuth("X-Api-Key", KEY))
            await _use_marketing(settings, database)


async def _use_marketing(settings: HttpJsonSettings, database: sqlite3.Connection) -> None:
    async with opened_connection(settings) as connection:
        await connection.check()
        await _read_marketing(connection, database)
        await _write_preferences(connection)


async def _read_marketing(connection: HttpJsonConnection, database: sqlite3.Connection) -> None:
    paging = {"paging": "after", "parameter": "after", "next": "next", "size_parameter": "limit"}
    events = objects("/api/events", "event_id", "kind", cursor="event_id", **paging)
    rows, cursors = await read_numbers(connection, events, batch_rows=10)
    assert rows == list(range(1, 31))
    database.execute("INSERT INTO event VALUES (31, '{}')")
    assert await read_numbers(connection, events, cursors[-1]) == ([31], [{"since": 31, "after": 31}])
    pages: dict[str, Any] = {"paging": "page", "parameter": "page", "size_parameter": "size", "size": 3}
    rows, _ = await read_numbers(connection, objects("/api/campaigns", "campaign_id", **pages))
    assert len(rows) == 7


async def _write_preferences(connection: HttpJsonConnection) -> None:
    path = "/api/customers/{customer_id}/preferences"
    preferences = objects("/none", "customer_id", "channels", "interests", "do_not_disturb", "consent", record_path=path)
    key: dict[str, Any] = {"customer_id": "客户/1"}
    assert await connection.fetch(preferences, key) is None
    whole: dict[str, Any] = {"channels": ["sms"], "interests": [], "do_not_disturb": "22:00-08:00", "consent": True}
    with pytest.raises(InvalidInput, match="of the wrong type: consent"):
        await connection.upsert(preferences, key, {"consent": "perhaps"})
    await connection.upsert(preferences, key, whole)
    await connection.upsert(preferences, key, {"consent": False})
    found = await connection.fetch(preferences, key)
    assert found is not None
    assert found.rows == [["客户/1", ["sms"], [], "22:00-08:00", False]]
