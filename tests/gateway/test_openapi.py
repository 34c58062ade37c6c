"""OpenAPI documents: which operation a request is, what parameters mean, and what is refused when a document is loaded."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError
from gateway.openapi import Operations, typed


def document(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths, **more}


def get(*parameters: dict[str, Any]) -> dict[str, Any]:
    return {"get": {"parameters": list(parameters)}}


def operations(paths: dict[str, Any], **more: Any) -> Operations:
    return Operations(document(paths, **more), "route shop.check.openapi")


PATHS = {
    "/orders": get(),
    "/orders/{id}": get(),
    "/orders/mine": get(),
    "/orders/{id}/lines/{line}": get(),
    "/orders/mine/x": get(),
    "/files/{name}.{kind}": get(),
    "/files/{name}": get(),
    "/客户/{id}": get(),
    "/": get(),
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/orders", {}),
        ("/orders/7", {"id": "7"}),
        ("/orders/mine", {}),
        ("/orders/mine/lines/2", {"id": "mine", "line": "2"}),
        ("/orders/a%2Fb", {"id": "a/b"}),
        ("/files/a.b.txt", {"name": "a", "kind": "b.txt"}),
        ("/files/plain", {"name": "plain"}),
        ("/%E5%AE%A2%E6%88%B7/7", {"id": "7"}),
        ("/", {}),
    ],
)
def test_a_path_is_found(path: str, expected: dict[str, str]) -> None:
    found = operations(PATHS).find(path)
    assert found is not None
    assert found[1] == expected


@pytest.mark.parametrize("path", ["/order", "/orders/", "/orders/7/lines", "/orders/7/lines/1/2", "/files", "/ORDERS"])
def test_a_path_that_is_not_described(path: str) -> None:
    assert operations(PATHS).find(path) is None


def test_a_path_that_is_no_text() -> None:
    with pytest.raises(ValueError):
        operations(PATHS).find("/orders/%ff")


def test_the_servers_path_may_stand_in_front() -> None:
    found = operations(PATHS, servers=[{"url": "https://api.example/v2/"}])
    assert found.find("/v2/orders/7") is not None
    assert found.find("/orders/7") is not None
    assert found.find("/v2orders") is None


NUMBER = {"type": "integer", "minimum": 1}


@pytest.mark.parametrize(
    ("parameter", "given", "expected"),
    [
        ({"in": "query", "schema": NUMBER}, ["7"], []),
        ({"in": "query", "schema": NUMBER}, [], []),
        ({"in": "query", "schema": NUMBER, "required": True}, [], ["query.p: it is required"]),
        ({"in": "query", "schema": NUMBER}, ["0"], ["query.p: 0 is less than the minimum of 1"]),
        ({"in": "query", "schema": NUMBER}, ["x"], ['query.p: "x" is not of type "integer"']),
        ({"in": "query", "schema": NUMBER}, ["7", "8"], ["query.p: it is given 2 times"]),
        ({"in": "query", "schema": NUMBER}, [""], ['query.p: "" is not of type "integer"']),
        ({"in": "query", "schema": {"type": "array", "items": NUMBER}}, ["1", "2"], []),
        ({"in": "query", "schema": {"type": "array", "items": NUMBER}}, ["1,2"], ['query.p[0]: "1,2" is not of type "integer"']),
        ({"in": "query", "explode": False, "schema": {"type": "array", "items": NUMBER}}, ["1,2"], []),
        ({"in": "header", "schema": {"type": "array", "items": NUMBER}}, ["1,x"], ['header.p[1]: "x" is not of type "integer"']),
        ({"in": "header", "schema": {"type": "boolean"}}, ["true"], []),
        ({"in": "header", "schema": {"type": "boolean"}}, ["True"], ['header.p: "True" is not of type "boolean"']),
        ({"in": "path", "schema": {"type": "string", "pattern": "^[0-9]+$"}}, ["7"], []),
        ({"in": "path", "schema": {"$ref": "#/components/schemas/N"}}, ["0"], ["path.p: 0 is less than the minimum of 1"]),
        ({"in": "query", "schema": {"anyOf": [NUMBER, {"type": "null"}]}}, [""], []),
        ({"in": "query", "schema": {"type": ["number", "string"]}}, ["abc"], []),
        ({"in": "query", "schema": {"enum": ["a", "b"]}}, ["c"], ['query.p: "c" is not one of "a" or "b"']),
    ],
)
def test_parameters(parameter: dict[str, Any], given: list[str], expected: list[str]) -> None:
    found = operations({"/a": get({"name": "p", **parameter})}, components={"schemas": {"N": NUMBER}}).find("/a")
    assert found is not None
    assert found[0]["get"].parameters[0].problems(given) == expected


def test_parameters_are_shared_and_referred_to() -> None:
    shared = {"name": "p", "in": "query", "required": True, "schema": NUMBER}
    item = {
        "parameters": [{"$ref": "#/components/parameters/P"}],
        "get": {},
        "post": {"parameters": [{**shared, "required": False}]},
    }
    found = operations(
        {"/a": {"$ref": "#/components/pathItems/A"}}, components={"parameters": {"P": shared}, "pathItems": {"A": item}}
    ).find("/a")
    assert found is not None
    assert [found[0][method].parameters[0].is_required for method in ("get", "post")] == [True, False]


def test_bodies_by_media_type() -> None:
    content = {
        "application/json": {"schema": NUMBER},
        "text/*": {},
        "application/merge-patch+json; charset=utf-8": {"schema": NUMBER},
    }
    found = operations({"/a": {"post": {"requestBody": {"required": True, "content": content}}}}).find("/a")
    assert found is not None
    body = found[0]["post"].body
    assert body is not None
    assert body.is_required
    for kind, taken, checked in (
        ("application/json; charset=utf-8", True, True),
        ("Application/Merge-Patch+JSON", True, True),
        ("text/csv", True, False),
        ("image/png", False, False),
        ("", False, False),
    ):
        is_taken, schema = body.find(kind)
        assert (is_taken, schema is not None) == (taken, checked)


QUERY = {"name": "p", "in": "query"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"openapi": "3.0.3", "paths": {"/a": {}}}, "OpenAPI 3.1"),
        ({"swagger": "2.0"}, "OpenAPI 3.1"),
        (document({}), "no `paths`"),
        (document({"a": {}}), "does not begin with /"),
        (
            document({"/a": get({**QUERY, "schema": {"type": "object"}})}),
            "/paths/~1a/get/parameters/0: a parameter that is an object",
        ),
        (document({"/a": get({**QUERY, "style": "deepObject", "schema": {}})}), "style form"),
        (document({"/a": get({**QUERY, "content": {}})}), "`schema`"),
        (document({"/a": get({"name": "p", "in": "body", "schema": {}})}), "`in`: path"),
        (document({"/a": get({**QUERY, "schema": {"$ref": "http://127.0.0.1:9/x"}})}), "127.0.0.1"),
        (document({"/a": {"$ref": "other.json"}}), "only references within"),
        (document({"/a": {"$ref": "#/nothing"}}), "nothing at this place"),
        (document({"/a": {"$ref": "#/x"}}, x={"$ref": "#/x"}), "refers to itself"),
        (document({"/a": get({**QUERY, "schema": {"type": "nonsense"}})}), "/paths/~1a/get/parameters/0/schema: the schema"),
        (
            document({"/a": {"post": {"requestBody": {"content": {"application/json": {"schema": {"pattern": "("}}}}}}}),
            "the schema",
        ),
    ],
)
def test_a_document_that_can_not_be_used_is_refused_with_the_place(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Operations(given, "route shop.check.openapi")
    assert caught.value.detail.startswith("route shop.check.openapi: ")
    assert message in caught.value.detail


def test_a_schema_that_refers_to_itself_is_fine() -> None:
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}}}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Tree"}}}
    found = operations({"/a": {"post": {"requestBody": {"content": content}}}}, components={"schemas": {"Tree": tree}}).find("/a")
    assert found is not None
    body = found[0]["post"].body
    assert body is not None
    _, schema = body.find("application/json")
    assert schema is not None
    assert schema.problems({"children": [{"children": [{"children": 1}]}]}, "body") == [
        'body.children[0].children[0].children: 1 is not of type "array"'
    ]


def test_a_description_of_cookies_and_of_known_headers_is_passed_over() -> None:
    found = operations({"/a": get({"name": "c", "in": "cookie"}, {"name": "Accept", "in": "header"})}).find("/a")
    assert found is not None
    assert found[0]["get"].parameters == ()


@pytest.mark.parametrize("text", ["9" * 5000, "1e999999999", "1" * 41, "١", "1_0", "0x1", "NaN", "01"])
def test_what_is_no_number_of_a_sensible_size_stays_a_text(text: str) -> None:
    assert typed(text, frozenset({"integer", "number"})) == text


@settings(deadline=None)
@given(st.text(max_size=30) | st.from_regex(r"-?[0-9]{1,45}(\.[0-9]{1,3})?([eE][0-9]{1,4})?", fullmatch=True))
def test_any_text_has_a_type(text: str) -> None:
    value = typed(text, frozenset({"integer", "boolean", "string"}))
    assert value == text or str(value).lower() == text or Decimal(value) == Decimal(text)


@settings(deadline=None)
@given(st.lists(st.text(max_size=5), max_size=5))
def test_any_path_is_found_or_not(segments: list[str]) -> None:
    found = operations(PATHS).find("/" + "/".join(segments).replace("%", "%25"))
    assert found is None or "get" in found[0]
