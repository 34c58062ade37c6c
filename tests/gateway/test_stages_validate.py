"""The validate stage: what is refused, how it is named, and what goes on."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import policies
from core.errors import InvalidInput, NotFound, PlatformError
from gateway.changed_body import LARGE_BYTES
from gateway.http1.message import made_request
from gateway.openapi import Operations
from gateway.problems import status_of
from gateway.stage import Request, Stage
from gateway.stages import validate
from tests.conformance.stage_suite import StageSuite
from tests.gateway.passing import asked, upstream_headers

ITEMS = {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number"}}}}
SCHEMA = {"type": "object", "required": ["items"], "properties": {"items": ITEMS}}
OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/orders/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "get": {
                "parameters": [
                    {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1}},
                    {"name": "X-Tenant", "in": "header", "required": True, "schema": {"type": "string", "maxLength": 3}},
                ]
            },
            "put": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}, "text/csv": {}},
                }
            },
        }
    },
    "components": {"schemas": {"Order": SCHEMA}},
}


def schema_stage(**fields: Any) -> Stage:
    return validate.make(msgspec.convert({"schema": SCHEMA, **fields}, policies.Validate), "route shop.check")


def openapi_stage(strip: int = 0) -> Stage:
    return validate.make(msgspec.convert({"openapi": OPENAPI}, policies.Validate), "route shop.check", strip=strip)


def sent(
    body: object, method: str = "PUT", target: str = "/orders/7", content_type: str = "application/json", **more: str
) -> Request:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    return made_request(method, target, headers={"content-type": content_type, **headers}, body=content)


async def refusal(stage: Stage, request: Request) -> tuple[int, str, str]:
    with pytest.raises(PlatformError) as caught:
        await asked(stage, request)
    return status_of(caught.value), caught.value.specific_code, caught.value.detail


@pytest.mark.parametrize("stage", [schema_stage(), openapi_stage()])
async def test_the_failing_path_of_a_body_is_named(stage: Stage) -> None:
    body = {"items": [{"price": 1}, {}, {"price": "x"}]}
    assert await refusal(stage, sent(body)) == (422, "body_invalid", 'body.items[2].price: "x" is not of type "number"')
    several = await refusal(stage, sent({"items": [{"price": "x"}] * 9}))
    assert several[2].count("; ") == 4
    await asked(stage, sent({"items": [{"price": 1.5}]}))


@pytest.mark.parametrize("stage", [schema_stage(), openapi_stage()])
@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}', b'{"a": "\\ud800"}'])
async def test_a_body_that_is_no_json(stage: Stage, body: bytes) -> None:
    status, code, detail = await refusal(stage, sent(body))
    assert (status, code) == (422, "body_invalid")
    assert detail.startswith("body: ")


async def test_a_large_body_is_checked_too() -> None:
    body: dict[str, Any] = {"items": [{"price": 1}], "note": "x" * LARGE_BYTES}
    await asked(schema_stage(), sent(body))
    body["items"] = 1
    assert (await refusal(schema_stage(), sent(body)))[1] == "body_invalid"


async def test_other_kinds_of_bodies() -> None:
    assert (await refusal(schema_stage(), sent(b"a=1", content_type="application/x-www-form-urlencoded")))[:2] == (
        415, "unsupported_media_type",
    )  # fmt: skip
    status, _, detail = await refusal(openapi_stage(), sent(b"<a/>", content_type="text/xml"))
    assert (status, detail) == (415, "a body of type text/xml is not taken; application/json, text/csv is")
    csv = sent(b"a;b", content_type="text/csv")
    stage = openapi_stage()
    assert getattr(stage, "wants_body")(csv) == 0  # noqa: B009
    await asked(stage, csv)


async def test_a_body_where_none_is_or_none_should_be() -> None:
    assert (await refusal(openapi_stage(), sent(b"")))[2] == "body: it is required"
    assert (await refusal(openapi_stage(), sent({}, "GET", x_tenant="a")))[2] == "body: this operation takes none"
    assert (await refusal(schema_stage(), sent(b"", "POST")))[1] == "body_invalid"
    await asked(schema_stage(), made_request("GET", "/"))
    assert (await refusal(schema_stage(), sent({}, "DELETE")))[1] == "body_invalid"


async def test_parameters_are_named_and_answered_with_400() -> None:
    request = sent(b"", "GET", "/orders/abc?page=0&other=1", x_tenant="long")
    status, code, detail = await refusal(openapi_stage(), request)
    assert (status, code) == (400, "invalid_input")
    assert detail.split("; ") == [
        'path.id: "abc" is not of type "integer"',
        "query.page: 0 is less than the minimum of 1",
        'header.X-Tenant: "long" is longer than 3 characters',
    ]
    assert (await refusal(openapi_stage(), made_request("GET", "/orders/7")))[2] == "header.X-Tenant: it is required"
    await asked(openapi_stage(), made_request("HEAD", "/orders/7?page=1&other=x", headers={"x-tenant": "a"}))
    malformed = made_request("GET", "/orders/7?" + "a=1&" * 200, headers={"x-tenant": "a"})
    assert "malformed" in (await refusal(openapi_stage(), malformed))[2]


async def test_what_the_description_does_not_have() -> None:
    with pytest.raises(NotFound) as caught:
        await asked(openapi_stage(), made_request("GET", "/order"))
    assert caught.value.specific_code == "no_route"
    request = made_request("DELETE", "/orders/7")
    assert (await refusal(openapi_stage(), request))[:2] == (405, "method_not_allowed")
    assert request.told == [b"Allow: GET, PUT\r\n"]
    with pytest.raises(InvalidInput, match="UTF-8"):
        await asked(openapi_stage(), made_request("GET", "/orders/%ff"))


async def test_the_segments_that_the_route_strips_are_not_in_the_description() -> None:
    request = made_request("GET", "/crm/v1/orders/7", headers={"x-tenant": "a"})
    await asked(openapi_stage(strip=2), request)
    with pytest.raises(NotFound):
        await asked(openapi_stage(), made_request("GET", "/crm/v1/orders/7"))


async def test_what_was_checked_is_what_goes_on() -> None:
    twice = sent(b'{"items": 5, "items": [{"price": 1.0}]}', content_digest="sha-256=:x:")
    await asked(schema_stage(), twice)
    assert twice.content == b'{"items":[{"price":1.0}]}'
    assert not any(b"digest" in line for line in upstream_headers(twice))
    same = sent(b'{"items":[{"price":1.0}]}', content_digest="sha-256=:x:")
    await asked(schema_stage(), same)
    assert b"content-digest: sha-256=:x:\r\n" in upstream_headers(same)


@pytest.mark.parametrize("fields", [{}, {"schema": {}, "openapi": {}}, {"schema": [], "max_body_bytes": 1}])
def test_a_policy_has_one_of_the_two(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, policies.Validate)


def test_a_reload_compiles_only_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = {f"S{n}": {"type": "object", "properties": {"next": {"$ref": f"#/components/schemas/S{n + 1}"}}} for n in range(80)}
    bodies = {f"/{name}": {"application/json": {"schema": each}} for name, each in schemas.items()}
    paths = {path: {"post": {"requestBody": {"content": content}}} for path, content in bodies.items()}
    document = {"openapi": "3.1.0", "paths": paths, "components": {"schemas": {**schemas, "S80": {"type": "string"}}}}
    made: list[str] = []
    whole = Operations.__init__

    def counted(self: Operations, given: Any, where: str) -> None:
        made.append(where)
        whole(self, given, where)

    monkeypatch.setattr(Operations, "__init__", counted)
    for title in ("one", "one", "two", "two"):
        validate.make(policies.Validate(openapi={**document, "info": {"title": title}}), "route slow.check")
    assert len(made) == 2


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3), lambda each: st.lists(each) | st.dictionaries(st.text(max_size=5), each)
    )
)
async def test_any_json_is_judged(value: Any) -> None:
    try:
        await asked(schema_stage(), sent(value))
        judged = True
    except InvalidInput:
        judged = False
    is_fit = isinstance(value, dict) and isinstance(value.get("items"), list)
    assert judged == (is_fit and all(isinstance(item, dict) for item in value["items"]))


class TestValidateBodyKeepsTheContract(StageSuite):
    def stage(self) -> Stage:
        return schema_stage()

    def admitted(self) -> Request:
        return sent({"items": []})

    def refused(self) -> Request:
        return sent({"items": 1})


class TestValidateOperationsKeepsTheContract(StageSuite):
    def stage(self) -> Stage:
        return openapi_stage()

    def admitted(self) -> Request:
        return sent({"items": []})

    def refused(self) -> Request:
        return sent({"items": 1})
