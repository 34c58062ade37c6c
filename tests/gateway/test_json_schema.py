"""JSON Schema: the failing places named, no document fetched, and fast enough for the data plane."""

import socket
import threading
from typing import Any
from urllib.parse import unquote

import pytest

from core.errors import ConfigError
from gateway.json_schema import MAX_PROBLEMS, Schema, escaped, part, registry_of
from gateway.json_text import decoded

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "items"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Z][0-9]+$"},
        "day": {"type": "string", "format": "date"},
        "items": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "properties": {"price": {"type": "number", "minimum": 0}, "a b": {"type": "null"}}},
        },
    },
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"id": "A1", "items": [{"price": 1}]}, []),
        ({"id": "A1", "items": [{}, {}, {"price": "x"}]}, ['body.items[2].price: "x" is not of type "number"']),
        ({"id": "A1"}, ['body: "items" is a required property']),
        ({"id": "A1", "items": [{"a b": 1}]}, ["body.items[0]['a b']: 1 is not of type \"null\""]),
        ({"id": "A1", "items": []}, ["body.items: [] has less than 1 item"]),
        ({"id": "A1", "items": [{}], "day": "2026-13-01"}, ['body.day: "2026-13-01" is not a "date"']),
        ([], ['body: [] is not of type "object"']),
    ],
)
def test_a_problem_is_named_with_its_place(value: Any, expected: list[str]) -> None:
    assert Schema(ORDER, "x").problems(value, "body") == expected


def test_several_problems_but_not_all() -> None:
    many = Schema(ORDER, "x").problems({"id": 1, "items": [{"price": -1}] * 20, "more": 1}, "body")
    assert len(many) == MAX_PROBLEMS
    assert len(set(many)) == MAX_PROBLEMS


def test_a_long_value_is_cut_in_the_message() -> None:
    (problem,) = Schema({"type": "number"}, "x").problems("secret" * 10_000, "body")
    assert len(problem) < 200
    assert problem.endswith('is not of type "number"')


def test_exact_numbers_are_numbers() -> None:
    schema = Schema({"type": "object", "additionalProperties": {"type": "number", "maximum": 5}}, "x")
    assert schema.problems(decoded(b'{"a": 1.10, "b": 5e0, "c": -12345678901234567890123}'), "body") == []
    assert len(schema.problems(decoded(b'{"a": 5.0000001}'), "body")) == 1


@pytest.mark.parametrize(
    "schema",
    [{"type": "nonsense"}, {"pattern": "("}, {"$ref": "#/$defs/none"}, {"$ref": "other.json"}, {"minimum": "1"}, {"properties": 1}],
)
def test_a_schema_that_is_none_is_refused_with_its_place(schema: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^route shop\.check\.schema: the schema can't be used: \S"):
        Schema(schema, "route shop.check.schema")


@pytest.fixture
def visits() -> Any:
    """A web server's port and how often anybody has come."""
    seen: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                seen.append("visit")
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_nothing_is_ever_fetched(visits: tuple[int, list[str]]) -> None:
    port, seen = visits
    url = f"http://127.0.0.1:{port}/schema.json"
    for reference in (url, f"{url}#/a", "file:///etc/passwd"):
        for schema in ({"$ref": reference}, {"items": {"$dynamicRef": reference}}):
            with pytest.raises(ConfigError):
                Schema(schema, "x")
        document = {"components": {"schemas": {"A": {"$ref": reference}}}}
        with pytest.raises(ConfigError):
            Schema(part("/components/schemas/A"), "x", registry=registry_of(document, "x"))
    Schema({"$schema": f"http://127.0.0.1:{port}/dialect"}, "x")  # an unknown dialect is taken for 2020-12
    assert seen == []


def test_a_pattern_that_explodes_does_not_hold_up_the_loop() -> None:
    Schema({"pattern": "^(a+)+$"}, "x").problems("a" * 5000 + "!", "body")
    Schema({"pattern": r"^(?=a)(a+)+\1$"}, "x").problems("a" * 5000 + "!", "body")


def test_parts_of_a_document_refer_to_each_other() -> None:
    document = {"paths": {"/a/{id}~x": {"$ref": "#/defs/客 户"}}, "defs": {"客 户": {"type": "integer"}}}
    for name in ("~", "a/b", "客 户", "%41"):
        assert unquote(escaped(name)).replace("~1", "/").replace("~0", "~") == name
    schema = Schema(part(f"/paths/{escaped('/a/{id}~x')}"), "x", registry=registry_of(document, "x"))
    assert schema.problems("a", "path.id") == ['path.id: "a" is not of type "integer"']
