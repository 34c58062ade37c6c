"""The transform stage: what the upstream gets and what the client gets."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import policies
from core.errors import ConfigError, InvalidInput, PlatformError, Unavailable
from gateway.changed_body import LARGE_BYTES
from gateway.http1.message import made_request
from gateway.problems import status_of
from gateway.stage import Request, Response, Stage
from gateway.stages.transform import Transform
from tests.conformance.stage_suite import StageSuite
from tests.gateway.passing import asked, passed, upstream_headers

JSON = ("Content-Type", "application/json")
XML = ("Content-Type", "text/xml; charset=utf-8")


def transform(*, strip: int = 0, prefix: str = "", **fields: Any) -> Transform:
    return Transform(msgspec.convert(fields, policies.Transform), "route shop.transform", strip=strip, prefix=prefix)


def post(body: object, **headers: str) -> Request:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return made_request("POST", "/crm/a", headers={"content-type": "application/json", **named}, body=content)


async def target_of(stage: Transform, target: str, **parameters: str) -> str:
    request = made_request("GET", target)
    request.parameters = parameters
    await asked(stage, request)
    assert request.upstream_target is not None
    return request.upstream_target.decode()


@pytest.mark.parametrize(
    ("fields", "target", "expected"),
    [
        ({"path": "/api/{path.id}"}, "/crm/7?x=1", "/api/7?x=1"),
        ({"path": "/api/{query.x}"}, "/crm/7?x=1", "/api/1?x=1"),
        ({"query_set": {"v": "2"}}, "/crm/7", "/crm/7?v=2"),
        ({"query_set": {"v": "{path.id}&x=1"}}, "/crm/7?v=1&v=3&w=4", "/crm/7?w=4&v=7%26x%3D1"),
        ({"query_set": {"名": "{query.none}"}}, "/crm/7", "/crm/7?%E5%90%8D="),
        ({"query_remove": ["key"]}, "/crm/7?k%65y=1&a=2&key", "/crm/7?a=2"),
        ({"query_remove": ["a b"]}, "/crm/7?a+b=1&a%20b=2", "/crm/7"),
        ({"query_remove": ["x"], "strip": 1, "prefix": "/v2"}, "/crm/7?x=1", "/v2/7"),
        ({"query_remove": ["x"], "strip": 2}, "/crm/7?x=1&y", "/?y"),
        ({"query_remove": ["x"], "strip": 5, "prefix": "/v2"}, "/crm/7", "/v2"),
        ({"path": "/api", "strip": 1, "prefix": "/v2"}, "/crm/7", "/api"),
    ],
)
async def test_the_target_upstream(fields: dict[str, Any], target: str, expected: str) -> None:
    assert await target_of(transform(**fields), target, id="7") == expected


@settings(deadline=None)
@given(st.text(max_size=30))
async def test_no_variable_makes_a_second_line_parameter_or_segment(value: str) -> None:
    try:
        made = await target_of(transform(path="/a/{path.id}/b", query_set={"q": "{path.id}"}), "/x", id=value)
    except InvalidInput:
        return
    assert made.isascii()
    assert made.isprintable()
    assert (made.count("/"), made.count("?"), made.count("&"), made.count("="), made.count(" ")) == (3, 1, 0, 1, 0)


async def test_a_request_body_is_made_from_a_template() -> None:
    stage = transform(request_body={"customer": {"name": "{body.name}", "age": "{body.age}"}, "by": "{app}", "path": "{path.none}"})
    request = post({"name": "Li", "age": 30, "secret": 1})
    assert stage.wants_body(request) == 1 << 20
    await asked(stage, request)
    assert msgspec.json.decode(request.content or b"") == {"customer": {"name": "Li", "age": 30}, "by": "", "path": ""}
    assert b"Content-Type: application/json\r\n" in upstream_headers(request)


async def test_a_body_keeps_the_digits_of_its_numbers() -> None:
    request = post(b'{"price": 1.10, "big": 12345678901234567890123, "small": 1E-7}')
    await asked(transform(request_body="{body}"), request)
    assert request.content == b'{"price":1.10,"big":12345678901234567890123,"small":1E-7}'


async def test_a_body_can_be_made_where_none_came() -> None:
    request = made_request("POST", "/a?page=2", body=b"")
    await asked(transform(request_body={"page": "{query.page}", "of": "{body.x}"}), request)
    assert request.content == b'{"page":"2","of":null}'
    bare = made_request("GET", "/a")
    stage = transform(request_body={})
    assert stage.wants_body(bare) == 0
    await asked(stage, bare)
    assert bare.content == b""


async def test_a_large_body_is_worked_on_as_well() -> None:
    request = post({"name": "x" * LARGE_BYTES})
    await asked(transform(request_body=["{body.name}"], request_headers={"set": {"X-A": "1"}}), request)
    assert len(request.content or b"") == LARGE_BYTES + 4
    assert b"X-A: 1\r\n" in upstream_headers(request)


@pytest.mark.parametrize(
    "request_",
    [
        post(b"{"),
        post(b"<a/>"),
        post(b"\xff"),
        post(b"[" * 100_000),
        post({}, content_encoding="gzip"),
    ],
)
async def test_a_body_that_is_no_json_is_refused(request_: Request) -> None:
    with pytest.raises(InvalidInput) as caught:
        await asked(transform(request_body={}), request_)
    assert (caught.value.specific_code, status_of(caught.value)) == ("body_invalid", 422)


async def test_json_for_an_upstream_that_speaks_xml() -> None:
    stage = transform(xml="upstream", xml_root="order", xml_lists=["line"])
    request = post({"id": 7, "line": [{"@sku": "a"}, {"@sku": "b"}]}, accept_encoding="gzip", range="bytes=0-9")
    await asked(stage, request)
    assert (request.content or b"").endswith(b'<order><id>7</id><line sku="a"></line><line sku="b"></line></order>')
    sent = upstream_headers(request)
    assert b"Content-Type: application/xml; charset=utf-8\r\n" in sent
    assert b"Accept-Encoding: identity\r\n" in sent
    assert not any(line.lower().startswith((b"range", b"accept-encoding: gzip")) for line in sent)
    answer, body = await passed(
        stage, request, Response(200, [XML, ("Content-Length", "40"), ("ETag", '"1"')]), b"<r><line>", b"1</line></r>"
    )
    assert body == b'{"line":["1"]}'
    assert sorted(answer.headers) == [("Content-Type", "application/json"), ("ETag", 'W/"1"')]


async def test_xml_for_an_upstream_that_speaks_json() -> None:
    stage = transform(xml="client", xml_answer_root="answer")
    request = post("<o><id>7</id></o>".encode("utf-16"), content_type="text/xml")
    await asked(stage, request)
    assert request.content == b'{"id":"7"}'
    answer, body = await passed(stage, request, Response(200, [JSON]), b'{"ok": true}')
    assert body.endswith(b"<answer><ok>true</ok></answer>")
    assert answer.header("Content-Type").startswith("application/xml")


async def test_a_soap_service_behind_a_json_route() -> None:
    stage = transform(
        xml="upstream",
        xml_root="soap:Envelope",
        xml_prefixes="strip",
        request_headers={"set": {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"urn:points#Get"'}},
        request_body={
            "@xmlns:soap": "http://schemas.xmlsoap.org/soap/envelope/",
            "soap:Body": {"p:Get": {"@xmlns:p": "urn:points", "p:member": "{path.member}"}},
        },
        answer_body={"member": "{path.member}", "points": "{body.Body.GetResponse.points}"},
    )
    request = post(b"")
    request.parameters = {"member": "M<1>"}
    await asked(stage, request)
    assert request.content == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
        b'<soap:Body><p:Get xmlns:p="urn:points"><p:member>M&lt;1&gt;</p:member></p:Get></soap:Body></soap:Envelope>'
    )
    types = [line for line in upstream_headers(request) if line.lower().startswith(b"content-type")]
    assert types == [b"Content-Type: text/xml; charset=utf-8\r\n"]
    envelope = (
        b"<E:Envelope xmlns:E='x'><E:Body><n:GetResponse xmlns:n='y'><n:points>42</n:points></n:GetResponse></E:Body></E:Envelope>"
    )
    _, body = await passed(stage, request, Response(200, [XML]), envelope)
    assert body == b'{"member":"M<1>","points":"42"}'
    fault = b"<E:Envelope xmlns:E='x'><E:Body><E:Fault><faultstring>no</faultstring></E:Fault></E:Body></E:Envelope>"
    answer, body = await passed(stage, request, Response(500, [XML]), fault)
    assert (answer.status, body) == (500, b'{"Body":{"Fault":{"faultstring":"no"}}}')


@pytest.mark.parametrize(
    ("fields", "response", "body"),
    [
        ({"answer_body": {}}, Response(200, [JSON]), b"<html>"),
        ({"answer_body": {}}, Response(200, [JSON, ("Content-Encoding", "gzip")]), b"{}"),
        ({"xml": "upstream"}, Response(200, [XML]), b"<!DOCTYPE a><a/>"),
        ({"xml": "upstream"}, Response(200, [("Content-Type", "text/html")]), b"<p>sorry"),
        ({"xml": "client"}, Response(200, [JSON]), b'{"a b": 1}'),
    ],
)
async def test_an_answer_that_can_not_be_translated_is_the_upstreams_fault(
    fields: dict[str, Any], response: Response, body: bytes
) -> None:
    with pytest.raises(Unavailable) as caught:
        await passed(transform(**fields), made_request("GET", "/"), response, body)
    assert (caught.value.specific_code, status_of(caught.value)) == ("upstream_malformed", 502)


@pytest.mark.parametrize("status", [204, 304, 404, 503])
async def test_answers_without_data_and_errors_keep_their_bodies(status: int) -> None:
    stage = transform(answer_body={"x": "{body.x}"}, answer_headers={"set": {"X-A": "1"}})
    html = ("Content-Type", "text/html")
    answer, body = await passed(stage, made_request("GET", "/"), Response(status, [html]), b"<p>sorry")
    assert (answer.headers, body) == ([html, ("X-A", "1")], b"<p>sorry")


async def test_head_tells_no_length_of_another_body() -> None:
    response = Response(200, [JSON, ("Content-Length", "100")])
    answer, _ = await passed(transform(answer_body={}), made_request("HEAD", "/"), response)
    assert answer.headers == [JSON]


def test_streams_where_nothing_needs_the_body() -> None:
    stage = transform(request_headers={"set": {"X-A": "1"}}, query_set={"a": "1"}, path="/x")
    assert (stage.wants_body(post({})), stage.collects(post({}), Response(200))) == (0, 0)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"path": "/a/{nope}"}, "route shop.transform.path"),
        ({"query_set": {"a": "{"}}, "route shop.transform.query_set.a"),
        ({"request_body": {"a": ["{x}"]}}, "route shop.transform.request_body.a[0]"),
        ({"answer_body": "{x}"}, "route shop.transform.answer_body"),
        ({"answer_headers": {"set": {"X": "{body.a}"}}}, "route shop.transform.answer_headers.X"),
    ],
)
def test_a_mistake_of_the_operator_is_named(fields: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        transform(**fields)
    assert caught.value.detail.startswith(f"{place}: ")


@pytest.mark.parametrize("fields", [{"path": "/a"}, {"xml": "client"}, {"request_headers": {}}, {"query_remove": ["a"]}])
def test_a_data_service_has_no_upstream(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="has no upstream"):
        Transform(msgspec.convert(fields, policies.Transform), "service a.transform", is_service=True)
    Transform(policies.Transform(answer_body={"d": "{body}"}), "service a.transform", is_service=True)


@pytest.mark.parametrize(
    "fields", [{"path": "api"}, {"path": "/a?b"}, {"xml_root": "a b"}, {"request_headers": {"set": {"a b": "x"}}}]
)
def test_a_policy_out_of_shape(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        transform(**fields)


@settings(deadline=None)
@given(st.binary(max_size=80))
async def test_any_body_is_translated_or_refused(body: bytes) -> None:
    for fields in ({"request_body": {"x": "{body.a}"}}, {"xml": "client"}, {"xml": "upstream"}):
        codes = []
        try:
            await asked(transform(**fields), post(body))
        except PlatformError as error:
            codes.append(error.specific_code)
        assert codes in ([], ["body_invalid"])


class TestTransformKeepsTheContract(StageSuite):
    def stage(self) -> Stage:
        return transform(path="/api/{query.id}", request_headers={"set": {"X-A": "{app}"}}, answer_headers={"add": {"X-B": "1"}})

    def admitted(self) -> Request:
        return made_request("GET", "/a?id=7")

    def refused(self) -> Request:
        return made_request("GET", "/a?id=..")
