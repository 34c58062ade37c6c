"""Which path and method lead where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput, NotFound
from core.http import Handler, Request, Response
from gateway.problems import problem
from gateway.router import Route, Router
from tests.gateway.desk import header, request_of


def _named(name: str) -> Handler:
    async def handle(request: Request) -> Response:
        return Response(200, [], "|".join([name, *request.attributes["path"]]).encode())

    return handle


ROUTER = Router(
    [
        Route("GET", "/v1/customers", _named("query")),
        Route("POST", "/v1/customers", _named("post")),
        Route("GET", "/v1/customers/{}", _named("get")),
        Route("DELETE", "/v1/customers/{}", _named("delete")),
        Route("GET", "/v1/customers/changes", _named("changes")),
        Route("POST", "/oauth2/token", _named("token")),
    ]
)


async def _asked(method: str, path: str) -> str:
    return (await ROUTER(request_of(method, path))).body.decode()


@pytest.mark.parametrize(
    ("method", "path", "reached"),
    [
        ("GET", "/v1/customers", "query"),
        ("GET", "/v1/customers/", "query"),
        ("HEAD", "/v1/customers", "query"),
        ("POST", "/v1/customers", "post"),
        ("GET", "/v1/customers/K1", "get|K1"),
        ("DELETE", "/v1/customers/K1", "delete|K1"),
        ("GET", "/v1/customers/changes", "changes"),
        ("GET", "/v1/customers/%E5%BC%A0%2F%E4%B8%89", "get|张/三"),
        ("GET", "/v1/customers/{}", "get|{}"),
        ("GET", "/v1/customers/%7B%7D", "get|{}"),
        ("GET", "/v1/customers/.", "get|."),
    ],
)
async def test_the_exact_path_comes_before_the_free_end(method: str, path: str, reached: str) -> None:
    assert await _asked(method, path) == reached


@pytest.mark.parametrize(
    "path", ["/", "", "*", "/v1", "/v1/", "/v1/nobody", "/v1/customers/K1/x", "/v2/customers", "/V1/customers", "/v1//customers"]
)
async def test_another_path_is_not_found(path: str) -> None:
    with pytest.raises(NotFound) as caught:
        await _asked("GET", path)
    assert caught.value.specific_code == "no_route"


@pytest.mark.parametrize(
    ("method", "path", "offered"),
    [
        ("PUT", "/v1/customers", "GET, HEAD, POST"),
        ("DELETE", "/v1/customers/changes", "GET, HEAD"),
        ("GET", "/oauth2/token", "POST"),
        ("HEAD", "/oauth2/token", "POST"),
        ("OPTIONS", "/v1/customers/K1", "DELETE, GET, HEAD"),
        ("BREW", "/v1/customers", "GET, HEAD, POST"),
    ],
)
async def test_another_method_is_told_what_is_offered(method: str, path: str, offered: str) -> None:
    request = request_of(method, path)
    with pytest.raises(InvalidInput) as caught:
        await ROUTER(request)
    response = problem(caught.value, request)
    assert (response.status, header(response, "Allow")) == (405, offered)  # RFC 9110 §15.5.6


@pytest.mark.parametrize("segment", ["%FF", "%E5%BC", "%C0%AF", "%ED%A0%80"])
async def test_bytes_that_are_no_utf_8_are_refused(segment: str) -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        await _asked("GET", f"/v1/customers/{segment}")


@given(st.text(), st.sampled_from(["GET", "HEAD", "POST", "DELETE", "PATCH", "X"]))
async def test_no_path_breaks_it(path: str, method: str) -> None:
    for asked in (path, f"/v1/customers/{path}"):
        try:
            assert (await ROUTER(request_of(method, asked))).status == 200
        except (NotFound, InvalidInput):
            continue
