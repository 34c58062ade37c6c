"""The fields stage on services, streams and routes: what each app sees, may ask and may write."""

import asyncio
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.policies import Grant
from core.errors import Forbidden, InvalidInput, PlatformError, Unavailable
from gateway.changed_body import LARGE_BYTES
from gateway.http1.message import made_request
from gateway.pipe import Pipe, run
from gateway.problems import status_of
from gateway.stage import Request, Response, Stage, Stream
from gateway.stages.fields import Fields, MaskedEvents, Operation
from gateway.views import View
from tests.conformance.stage_suite import StageSuite
from tests.gateway.desk import Desk
from tests.gateway.passing import asked, of_app, passed, upstream_headers

JSON = ("Content-Type", "application/json")
RECORD = {"id": "K1", "name": "李小明", "mobile": "13812348000", "note": "x"}
SEEN = {"id": "K1", "name": "李**", "mobile": "138****8000"}
GRANT: dict[str, Any] = {"fields": ["id", "name", "mobile"], "masks": {"name": {"keep_first": 1}, "mobile": {"middle": 4}}}


def fields(operation: Operation, grant: dict[str, Any] = GRANT, **options: Any) -> Fields:
    return Fields({"clerk": View(msgspec.convert(grant, Grant))}, operation, **options)


async def answered(stage: Stage, request: Request, response: Response) -> Response:
    async def behind(_: Request) -> Response:
        return response

    return await run(Pipe("customers", [stage], handler=behind), request)


def json_response(value: object, *headers: tuple[str, str]) -> Response:
    return Response(200, [JSON, *headers], msgspec.json.encode(value))


@pytest.mark.req("2.24")
@pytest.mark.parametrize(
    ("operation", "answer", "expected"),
    [
        ("get", RECORD, SEEN),
        ("update", RECORD, SEEN),
        ("query", {"data": [RECORD, RECORD], "next_cursor": "abc"}, {"data": [SEEN, SEEN], "next_cursor": "abc"}),
        (
            "changes",
            {"data": [{"version": 7, "deleted": False, "record": RECORD}], "last_version": 7},
            {"data": [{"version": 7, "deleted": False, "record": SEEN}], "last_version": 7},
        ),
        ("route", [{"a": 1, **RECORD}], [SEEN]),
    ],
)
async def test_answers_show_what_the_grant_gives(operation: Operation, answer: object, expected: object) -> None:
    stage = fields(operation)
    seen = await answered(stage, of_app("clerk", "GET", "/v1/customers"), json_response(answer, ("ETag", '"7"')))
    assert msgspec.json.decode(seen.body) == expected
    everything = await answered(stage, of_app("other", "GET", "/v1/customers"), json_response(answer, ("ETag", '"7"')))
    assert msgspec.json.decode(everything.body) == answer
    if operation != "route":
        assert seen.header("ETag") == '"7"'  # the record's version, for If-Match


async def test_an_anonymous_caller_has_no_grant() -> None:
    answer = await answered(fields("route"), made_request("GET", "/"), json_response(RECORD))
    assert msgspec.json.decode(answer.body) == RECORD


async def test_a_large_answer_and_numbers_keep_what_they_were() -> None:
    body = b'{"id": 1.10, "name": 12345678901234567890123, "note": "%b"}' % (b"x" * LARGE_BYTES)
    answer = await answered(fields("get", {"fields": ["id", "name"]}), of_app("clerk", "GET", "/"), Response(200, [JSON], body))
    assert answer.body == b'{"id":1.10,"name":12345678901234567890123}'


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b'{"data": 1, "x": {}}', b"null", b"[" * 100_000])
async def test_an_answer_that_can_not_be_read_is_refused(body: bytes) -> None:
    operation: Operation = "query" if body != b'{"data": 1, "x": {}}' else "changes"
    with pytest.raises(Unavailable) as caught:
        await answered(fields(operation), of_app("clerk", "GET", "/"), Response(200, [JSON], body))
    assert status_of(caught.value) == 502


@pytest.mark.parametrize(
    "response",
    [
        Response(200, [("Content-Type", "text/html")]),
        Response(200, []),
        Response(200, [JSON, ("Content-Encoding", "gzip")]),
        Response(200, [("Content-Type", "text/event-stream")]),
        Response(206, [("Content-Type", "multipart/byteranges")]),
    ],
)
async def test_a_passing_answer_that_is_no_json_is_refused_and_never_passed(response: Response) -> None:
    with pytest.raises(Unavailable):
        await passed(fields("route"), of_app("clerk", "GET", "/"), response, b"13812348000")
    other, body = await passed(fields("route"), of_app("other", "GET", "/"), Response(200, []), b"13812348000")
    assert (other.status, body) == (200, b"13812348000")


async def test_an_errors_page_is_told_by_its_status_only() -> None:
    html = Response(500, [("Content-Type", "text/html"), ("X-A", "1")])
    answer, body = await passed(fields("route"), of_app("clerk", "GET", "/"), html, b"no 13812348000")
    assert (answer.status, body, answer.header("Content-Type"), answer.header("X-A")) == (500, b"", "", "1")
    problem = Response(404, [("Content-Type", "application/problem+json")])
    answer, body = await passed(fields("route"), of_app("clerk", "GET", "/"), problem, b'{"detail":"no 138","id":1}')
    assert (answer.status, body) == (404, b'{"id":1}')


async def test_a_passing_answer_is_bounded_private_and_of_its_own_length() -> None:
    stage, request = fields("route", {**GRANT, "max_bytes": 100}), of_app("clerk", "GET", "/")
    headers = [JSON, ("Content-Length", "90"), ("ETag", '"1"'), ("Cache-Control", "public, max-age=60")]
    assert stage.collects(request, Response(200, headers)) == 100
    answer, body = await passed(stage, request, Response(200, headers), msgspec.json.encode(RECORD))
    assert msgspec.json.decode(body) == SEEN
    assert answer.headers == [JSON, ("ETag", 'W/"1"'), ("Cache-Control", "private, no-cache")]


async def test_answers_without_a_body() -> None:
    for status in (204, 304):
        answer, _ = await passed(fields("route"), of_app("clerk", "GET", "/"), Response(status, [("ETag", '"1"')]))
        assert answer.headers == [("ETag", '"1"')]
    head, body = await passed(fields("route"), of_app("clerk", "HEAD", "/"), Response(200, [JSON, ("Content-Length", "90")]))
    assert (head.header("Content-Length"), body) == ("", b"")


async def test_the_upstream_is_asked_for_the_whole_plain_document() -> None:
    request = of_app("clerk", "GET", "/", accept_encoding="gzip", range="bytes=0-5", if_range='"1"')
    await asked(fields("route"), request)
    assert upstream_headers(request) == [b"host: gateway\r\n", b"Accept-Encoding: identity\r\n"]


@pytest.mark.parametrize(
    ("operation", "target", "named"),
    [
        ("query", "/v1/customers?mobile=13812348000", "mobile"),
        ("query", "/v1/customers?note=x", "note"),
        ("query", "/v1/customers?id=1&name=a", "name"),
        ("get", "/v1/customers/K1?mobile=1", "mobile"),
        ("changes", "/v1/customers/changes?limit=1", "limit"),
        ("route", "/crm?mobile=1", "mobile"),
        ("route", "/crm?Mobile_gt=1", "Mobile_gt"),
        ("route", "/crm?filter%5Bm%6Fbile%5D=1", "filter[mobile]"),
        ("route", "/crm?sort=-mobile", "sort"),
        ("route", "/crm?a=1;mobile=2", "a"),
    ],
)
async def test_what_is_masked_can_not_be_asked_by(operation: Operation, target: str, named: str) -> None:
    stage = fields(operation)
    if operation == "changes":
        await asked(stage, of_app("clerk", "GET", target))
        return
    with pytest.raises(Forbidden, match=r"field .* masked or not granted") as caught:
        await asked(stage, of_app("clerk", "GET", target))
    assert (caught.value.specific_code, status_of(caught.value)) == ("field_forbidden", 403)
    assert f"field {named} " in caught.value.detail
    await asked(stage, of_app("other", "GET", target))


async def test_plain_fields_can_be_asked_by() -> None:
    await asked(fields("query", key=("id",)), of_app("clerk", "GET", "/v1/customers?id=K1&limit=5&cursor=abc"))
    await asked(fields("route"), of_app("clerk", "GET", "/crm?page=2&id=3"))


async def test_a_query_that_can_not_be_read_is_refused() -> None:
    with pytest.raises(InvalidInput, match="malformed"):
        await asked(fields("route"), of_app("clerk", "GET", "/crm?" + "a=1&" * 200 + "mobile=1"))


async def test_lists_are_not_paged_by_a_key_that_is_hidden() -> None:
    with pytest.raises(Forbidden, match="paged by the key"):
        await asked(fields("query", key=("mobile",)), of_app("clerk", "GET", "/v1/customers"))


def write(body: object, app: str = "clerk", method: str = "PATCH", content_type: str = "application/json") -> Request:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return of_app(app, method, "/v1/customers/K1", body=content, content_type=content_type)


@pytest.mark.parametrize("operation", ["create", "update", "route"])
async def test_what_is_not_seen_plainly_can_not_be_written(operation: Operation) -> None:
    stage = fields(operation)
    for body in ({"mobile": "138****8000"}, {"id": 1, "note": "y"}, [{"note": 1}], b'{"id":1,"note":2,"id":3}'):
        with pytest.raises(Forbidden) as caught:
            await asked(stage, write(body))
        assert caught.value.specific_code == "field_forbidden"
        await asked(stage, write(body, app="other"))
    await asked(stage, write({"id": "K2"}))


async def test_put_would_empty_what_the_app_does_not_see() -> None:
    with pytest.raises(Forbidden, match="use PATCH"):
        await asked(fields("replace", writable=("id", "note")), write({"id": "K2"}, method="PUT"))
    await asked(fields("replace", writable=("id",)), write({"id": "K2"}, method="PUT"))


async def test_a_body_goes_on_as_it_was_understood() -> None:
    stage = fields("route", {"fields": ["a", "b"]})
    request = write(b'{"a": {"x": 1}, "a": {"y": 1.0}}')
    assert stage.wants_body(request) == 4 << 20
    await asked(stage, request)
    assert request.content == b'{"a":{"y":1.0}}'
    assert b"Content-Type: application/json\r\n" in upstream_headers(request)


async def test_a_body_that_is_no_json_is_refused() -> None:
    with pytest.raises(Forbidden, match="must be JSON"):
        await asked(fields("route"), write(b"mobile=138", content_type="application/x-www-form-urlencoded"))
    with pytest.raises(InvalidInput) as caught:
        await asked(fields("route"), write(b"{"))
    assert caught.value.specific_code == "body_invalid"


async def test_a_tunnel_is_refused() -> None:
    request = of_app("clerk", "GET", "/crm")
    request.upgrade = b"websocket"
    with pytest.raises(Forbidden, match="tunnel"):
        await asked(fields("route"), request)
    request.upgrade = b"h2c"
    await asked(fields("route"), request)
    assert request.upgrade == b""


async def test_a_real_service_behind_the_stage(desk: Desk) -> None:
    """Every operation of a data service, with an app that sees the channel masked and no score."""
    grant = {"fields": ["customer_id", "name", "channel"], "masks": {"channel": {}}}

    async def ask(operation: Operation, method: str, target: str, *, body: bytes = b"", **more: str) -> Any:
        request = of_app("clerk", method, target, body=body, content_type="application/json", idempotency_key=target, **more)
        handler = desk.router.find(request).handler
        stage = fields(operation, grant, key=("customer_id",), writable=("name", "channel", "score", "tags"))
        return await run(Pipe("customers", [stage], handler=handler), request)

    seen = {"customer_id": "K1", "name": "客户1", "channel": "***"}
    one = await ask("get", "GET", "/v1/customers/K1")
    assert msgspec.json.decode(one.body) == seen
    page = msgspec.json.decode((await ask("query", "GET", "/v1/customers?name=%E5%AE%A2%E6%88%B71")).body)
    assert (page["data"], page["next_cursor"]) == ([seen], None)
    feed = msgspec.json.decode((await ask("changes", "GET", "/v1/customers/changes?limit=1")).body)
    assert feed["data"][0]["record"] == seen
    written = await ask("update", "PATCH", "/v1/customers/K1", body=b'{"name": "B"}', if_match=one.header("ETag"))
    assert (written.status, msgspec.json.decode(written.body)) == (200, {**seen, "name": "B"})
    for operation, method, target, body in (
        ("query", "GET", "/v1/customers?channel=web", b""),
        ("update", "PATCH", "/v1/customers/K1", b'{"score": 1}'),
        ("replace", "PUT", "/v1/customers/K1", b'{"name": "C"}'),
        ("create", "POST", "/v1/customers", b'{"customer_id": "K9", "channel": "web"}'),
    ):
        with pytest.raises(Forbidden):
            await ask(operation, method, target, body=body)  # type: ignore[arg-type]
    stream = (await ask("changes", "GET", "/v1/customers/changes", accept="text/event-stream")).stream
    sent = Pieces()
    reading = asyncio.ensure_future(stream(sent))
    try:
        async with asyncio.timeout(60):
            while sent.sent.count(b"event: change") < 7:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        reading.cancel()
    assert b'"record":{"customer_id":"K2","name":"\xe5\xae\xa2\xe6\x88\xb72","channel":"***"}' in sent.sent
    assert b"score" not in sent.sent
    assert b"web" not in sent.sent


class Pieces:
    """A stream that keeps what it is given."""

    def __init__(self) -> None:
        self.sent = b""

    async def write(self, data: bytes) -> None:
        self.sent += data


CHANGE = b'id: 7\nevent: change\ndata: {"version":7,"deleted":false,"record":%b}\n\n'


async def streamed(*pieces: bytes, app: str = "clerk") -> bytes:
    async def events(stream: Stream) -> None:
        for piece in pieces:
            await stream.write(piece)

    response = await answered(fields("changes"), of_app(app, "GET", "/v1/customers/changes"), Response(200, stream=events))
    sent, write_all = Pieces(), response.stream
    assert write_all is not None
    await write_all(sent)
    return sent.sent


@pytest.mark.req("2.24")
async def test_masks_hold_in_a_stream_of_events() -> None:
    event = CHANGE % msgspec.json.encode(RECORD)
    gone = CHANGE % b"null"
    seen = await streamed(b": waiting\n\n", event + event, gone, b"event: error\ndata: unavailable\n\n")
    masked = CHANGE % msgspec.json.encode(SEEN)
    assert seen == b": waiting\n\n" + masked + masked + gone + b"event: error\ndata: unavailable\n\n"
    assert await streamed(event, app="other") == event


@settings(deadline=None)
@given(st.lists(st.integers(1, 400), max_size=6))
async def test_masks_hold_wherever_a_stream_is_cut(cuts: list[int]) -> None:
    events = CHANGE % msgspec.json.encode(RECORD) * 3
    places = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    pieces = [events[start:end] for start, end in pairwise(places)]
    assert await streamed(*pieces) == CHANGE % msgspec.json.encode(SEEN) * 3


@pytest.mark.parametrize(
    "piece",
    [b"data: 13812348000\n", b"event: change\ndata: {}\n", b"data: [1]\n", b"x" * (5 << 20), b'data: {"record":{"id":\n'],
)
async def test_an_event_that_can_not_be_masked_ends_the_stream(piece: bytes) -> None:
    sent = Pieces()
    with pytest.raises(Unavailable):
        await MaskedEvents(View(msgspec.convert(GRANT, Grant)), sent).write(piece)
    assert sent.sent == b""


async def test_what_is_no_event_is_dropped() -> None:
    assert await streamed(b"13812348000\nid: 1\r\nother: 13812348000\nevent: error\ndata: 13812348000\n\n") == (
        b"id: 1\nevent: error\ndata: internal\n\n"
    )


DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=4) | st.just("SECRET"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "secret", "data", "record"]), inner, max_size=4)
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(DOCUMENTS, st.sampled_from(["get", "query", "changes", "route"]))
async def test_whatever_an_answer_looks_like_no_ungranted_field_is_in_it(document: Any, operation: Operation) -> None:
    stage = fields(operation, {"fields": ["n"], "masks": {"n": {}}})
    try:
        answer = await answered(
            stage, of_app("clerk", "GET", "/"), json_response({"n": document} if operation == "get" else document)
        )
    except PlatformError:
        return
    rest = msgspec.json.decode(answer.body)
    if operation == "query":
        rest = rest["data"]
    elif operation == "changes":
        rest = [change["record"] for change in rest["data"]]
    assert b"SECRET" not in msgspec.json.encode(rest)


class TestFieldsKeepTheContract(StageSuite):
    def stage(self) -> Stage:
        return fields("query")

    def admitted(self) -> Request:
        return of_app("other", "GET", "/v1/customers?mobile=1")

    def refused(self) -> Request:
        return of_app("clerk", "GET", "/v1/customers?mobile=1")
