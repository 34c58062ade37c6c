"""Header edits on both ways."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.policies import HeaderEdit
from core.errors import ConfigError
from core.secret import Secret
from gateway.header_edits import AnswerHeaders, RequestHeaders
from gateway.http1.message import made_request
from gateway.stage import Response
from tests.gateway.passing import upstream_headers

EDIT = HeaderEdit(remove=("Cookie",), set={"X-Tenant": "t1"}, add={"X-Via": "{request_id}"})


def test_what_goes_upstream() -> None:
    request = made_request("GET", "/", headers={"cookie": "a", "x-tenant": "forged", "x-via": "first", "accept": "*/*"})
    RequestHeaders(EDIT, "x").apply(request)
    assert upstream_headers(request) == [
        b"host: gateway\r\n", b"x-via: first\r\n", b"accept: */*\r\n", b"X-Tenant: t1\r\n", b"X-Via: test\r\n",
    ]  # fmt: skip


def test_edits_come_on_top_of_what_other_stages_set() -> None:
    request = made_request("GET", "/")
    request.set_header("X-Tenant", "of another stage")
    request.set_header("X-Other", "kept")
    request.remove_header("host")
    edit = RequestHeaders(HeaderEdit(set={"x-tenant": "t1"}), "x")
    edit.apply(request)
    assert upstream_headers(request) == [b"X-Other: kept\r\n", b"x-tenant: t1\r\n"]
    other = made_request("GET", "/")
    edit.apply(other)
    assert upstream_headers(other) == [b"host: gateway\r\n", b"x-tenant: t1\r\n"]


def test_what_the_client_gets() -> None:
    response = Response(200, [("cookie", "a"), ("Server", "x"), ("x-tenant", "y")])
    AnswerHeaders(EDIT, "x").apply(made_request("GET", "/"), response)
    assert response.headers == [("Server", "x"), ("X-Tenant", "t1"), ("X-Via", "test")]


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-For", "x-request-id", "X-Zhiyun-App", "traceparent"])
def test_what_the_gateway_says_itself_is_not_said_twice(name: str) -> None:
    with pytest.raises(ConfigError, match="the gateway's own"):
        RequestHeaders(HeaderEdit(set={name: "x"}), "x")
    AnswerHeaders(HeaderEdit(set={name: "x"}), "x")


def test_an_edit_of_authorization_takes_the_clients_away() -> None:
    for edit in (HeaderEdit(remove=("authorization",)), HeaderEdit(set={"Authorization": "Basic eA=="})):
        request = made_request("GET", "/", headers={"authorization": "Bearer secret"})
        RequestHeaders(edit, "x").apply(request)
        assert request.authorization == b""
        assert not any(b"secret" in line for line in upstream_headers(request))


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "TE", "Upgrade"])
def test_fields_of_the_connection_are_not_edited(name: str) -> None:
    for edit in (HeaderEdit(remove=(name,)), HeaderEdit(set={name: "x"}), HeaderEdit(add={name: "x"})):
        with pytest.raises(ConfigError, match="belongs to the connection"):
            RequestHeaders(edit, "x")
    with pytest.raises(ConfigError):
        AnswerHeaders(HeaderEdit(set={name: "x"}), "x")


@settings(deadline=None)
@given(st.text(max_size=40))
def test_what_comes_in_a_path_can_not_make_a_header_line(value: str) -> None:
    request = made_request("GET", "/")
    request.parameters = {"id": value}
    RequestHeaders(HeaderEdit(set={"X-Id": "{path.id}"}, add={"X-Id": "<{path.id}>"}), "x").apply(request)
    assert request.added is not None
    assert [line.count(b"\r") + line.count(b"\n") for line in request.added] == [2, 2]
    assert all(line.startswith(b"X-Id: ") and line.endswith(b"\r\n") and b"\0" not in line for line in request.added)


def test_a_secret_replaces_what_the_client_sent_and_goes_as_it_stands() -> None:
    value = "Basic {app}==%s"
    edit = HeaderEdit(set={"X-Tenant": "{header.x-tenant}"}, secret={"Authorization": Secret(value), "X-Key": Secret("k")})
    request = made_request("GET", "/", headers={"authorization": "Bearer client", "x-key": "forged", "x-tenant": "t1"})
    RequestHeaders(edit, "x").apply(request)
    assert upstream_headers(request) == [
        b"host: gateway\r\n", b"X-Tenant: t1\r\n", b"Authorization: Basic {app}==%s\r\n", b"X-Key: k\r\n",
    ]  # fmt: skip
    assert value not in repr(edit)


def test_a_secret_of_the_gateways_own_headers_is_refused_without_being_told() -> None:
    with pytest.raises(ConfigError, match="Host is the gateway's own") as refused:
        RequestHeaders(HeaderEdit(secret={"Host": Secret("s3cret")}), "x")
    assert "s3cret" not in str(refused.value)
