"""Templates: what they say, and that no variable can say more than a value."""

from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError, InvalidInput
from gateway.http1.message import made_request
from gateway.identity import Identity
from gateway.stage import Request
from gateway.templates import header_value, json_body, path, query_value

HOSTILE = st.text(
    alphabet=st.one_of(st.sampled_from("\r\n\0/\\.&=#?%{} \t\x85\u2028;"), st.characters(exclude_categories=["Cs"])), max_size=30
)


def request(**parameters: str) -> Request:
    made = made_request("GET", "/a?page=2&page=3&q=a%26b", headers={"X-Tenant": "东区"}, remote="10.0.0.1", request_id="req_1")
    made.parameters = parameters
    made.identity = Identity("shop", "ak_1")
    return made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{path.id}", "7"),
        ("v={query.page};{query.q}", "v=2;a&b"),
        ("{header.X-Tenant}", "东区"),
        ("{app} at {address} in {request_id}", "shop at 10.0.0.1 in req_1"),
        ("{{{path.id}}}", "{7}"),
        ("{{}}", "{}"),
        ("[{path.none}{query.none}{header.none}]", "[]"),
    ],
)
def test_a_header_value(text: str, expected: str) -> None:
    assert header_value(text, "x")(request(id="7")) == expected


def test_nobody_is_known_on_an_anonymous_route() -> None:
    assert header_value("<{app}>", "x")(made_request("GET", "/")) == "<>"


@pytest.mark.parametrize(
    "text", ["{", "}", "a{b", "{path}", "{path.}", "{nobody}", "{app.name}", "{query.a b}", "{{app}", "{body.a}"]
)
def test_a_text_that_can_not_be_meant_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^routes\.shop"):
        header_value(text, "routes.shop")


def test_a_line_break_of_the_operator_is_refused() -> None:
    with pytest.raises(ConfigError, match="line break"):
        header_value("a\r\nEvil: 1", "x")


@settings(deadline=None)
@given(HOSTILE, HOSTILE)
def test_no_variable_can_end_a_header_line(one: str, two: str) -> None:
    value = header_value("a {path.one} b {path.two}", "x")(request(one=one, two=two))
    assert not any(ord(each) < 32 or ord(each) == 127 or each in "\x85\u2028\u2029" for each in value)
    made = request()
    made.set_header("X-Value", value)
    assert made.added is not None
    assert made.added[0].count(b"\n") == 1


@settings(deadline=None)
@given(HOSTILE)
def test_no_variable_can_add_a_query_parameter(value: str) -> None:
    packed = query_value("<{path.value}>", "x")(request(value=value))
    assert packed.isascii()
    assert parse_qsl(f"a={packed}&b=1", keep_blank_values=True) == [("a", f"<{value}>"), ("b", "1")]
    assert not set(packed) & set("&=#?;/ \r\n")


@settings(deadline=None)
@given(HOSTILE)
def test_no_variable_can_add_or_climb_a_path_segment(value: str) -> None:
    fill = path("/api/{path.value}/x", "x")
    if value in ("", ".", "..") or "/" in value or "\\" in value:
        with pytest.raises(InvalidInput, match="not one segment"):
            fill(request(value=value))
        return
    made = fill(request(value=value))
    assert made.isascii()
    segments = made.split("/")
    assert len(segments) == 4
    assert unquote(segments[2]) == value
    assert not set(segments[2]) & set("?#;\\ \r\n")


@settings(deadline=None)
@given(st.lists(HOSTILE.filter(lambda text: text not in ("", ".", "..") and "/" not in text and "\\" not in text), max_size=4))
def test_the_rest_of_a_path_keeps_its_segments(rest: list[str]) -> None:
    made = path("/api/{path.rest...}", "x")(request(rest="/".join(rest)))
    assert [unquote(each) for each in made.split("/")] == ["", "api", *rest]


@pytest.mark.parametrize("rest", ["a/../b", "..", "a//b", "./a", "a\\b"])
def test_the_rest_of_a_path_may_not_climb(rest: str) -> None:
    with pytest.raises(InvalidInput):
        path("/api/{path.rest...}", "x")(request(rest=rest))


def test_a_path_of_fixed_and_variable_pieces() -> None:
    fill = path("/客户/v{query.page}-{path.id}.json", "x")
    assert fill(request(id="K 1")) == "/%E5%AE%A2%E6%88%B7/v2-K%201.json"
    assert path("/", "x")(request()) == "/"
    assert path("/a%20b/", "x")(request()) == "/a%20b/"


@pytest.mark.parametrize("text", ["/a/../b", "/a/./b", "/a\\b", "/{query.rest...}", "/{path.id"])
def test_a_path_that_can_not_be_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        path(text, "x")


BODY: dict[str, Any] = {"name": "Li", "age": 30, "vip": True, "none": None, "tags": ["a", "b"], "deep": {"list": [{"price": 1.5}]}}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{body.age}", 30),
        ("{body.vip}", True),
        ("{body.none}", None),
        ("{body.missing.at.all}", None),
        ("{body.tags}", ["a", "b"]),
        ("{body.tags.1}", "b"),
        ("{body.tags.9}", None),
        ("{body.tags.-1}", None),
        ("{body.deep.list.0.price}", 1.5),
        ("{body}", BODY),
        ("{body.name} is {body.age}, {body.vip}, {body.tags}, <{body.none}>", 'Li is 30, true, ["a","b"], <>'),
        ("{query.page}", "2"),
        ("no variable", "no variable"),
        (7, 7),
        (None, None),
        ({"a": ["{app}", {"b": "{body.name}"}], "{{": 1}, {"a": ["shop", {"b": "Li"}], "{{": 1}),
    ],
)
def test_a_json_template(template: Any, expected: Any) -> None:
    assert json_body(template, "x")(request(), BODY) == expected


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | HOSTILE, lambda inner: st.lists(inner) | st.dictionaries(HOSTILE, inner)
    )
)
def test_a_body_variable_brings_its_value_and_nothing_else(value: Any) -> None:
    assert json_body({"x": "{body.v}", "y": 1}, "x")(request(), {"v": value}) == {"x": value, "y": 1}


def test_an_unknown_variable_of_a_body_is_named_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"route shop\.a\[1\]: unknown variable \{bod\.x\}"):
        json_body({"a": [1, "{bod.x}"]}, "route shop")
