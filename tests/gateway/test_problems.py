"""Each error as a problem: status, shape, language, and what may not be told."""

import msgspec
import pytest

from core.errors import (
    ConfigError,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    Limited,
    NotConnected,
    NotFound,
    PlatformError,
    Unauthenticated,
    Unavailable,
)
from gateway.problems import problem, status_of
from tests.gateway.desk import header, json_of, request_of

CASES = [
    (InvalidInput("x"), 400),
    (Unauthenticated("x"), 401),
    (Forbidden("x"), 403),
    (NotFound("x"), 404),
    (Conflict("x"), 409),
    (Limited("x", retry_after_s=3), 429),
    (NotConnected("x"), 503),
    (Unavailable("x"), 503),
    (DeadlineExceeded("x"), 504),
    (ConfigError("x"), 500),
    (PlatformError("x"), 500),
    (InvalidInput("x", code="payload_too_large"), 413),
    (InvalidInput("x", code="method_not_allowed"), 405),
    (InvalidInput("x", code="read_only"), 405),
    (Conflict("x", code="etag_mismatch"), 412),
    (Conflict("x", code="idempotency_key_reused"), 422),
]


@pytest.mark.parametrize(("error", "status"), CASES, ids=lambda value: getattr(value, "specific_code", value))
def test_each_error_has_its_status_and_the_same_shape(error: PlatformError, status: int) -> None:
    request = request_of("GET", "/v1/x")
    response = problem(error, request)
    body = json_of(response)
    assert (response.status, body["status"], status_of(error)) == (status, status, status)
    assert list(body) == ["type", "title", "status", "code", "detail", "request_id"]
    assert body["type"] == f"urn:zhiyun:problem:{error.specific_code}"
    assert body["request_id"] == request.request_id
    assert header(response, "Content-Type") == "application/problem+json"


def test_a_class_made_of_another_keeps_its_status() -> None:
    class TooLong(InvalidInput):
        """As a package may refine a class that callers know."""

    assert status_of(TooLong("x")) == 400


@pytest.mark.parametrize(
    ("wish", "language", "title"),
    [
        ("", "en", "There is no such thing here"),
        ("en-GB,en;q=0.9", "en", "There is no such thing here"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh", "资源不存在"),
        ("ZH", "zh", "资源不存在"),
    ],
)
def test_the_title_follows_accept_language(wish: str, language: str, title: str) -> None:
    response = problem(NotFound("no record K1"), request_of("GET", "/", headers={"accept-language": wish}))
    assert (header(response, "Content-Language"), json_of(response)["title"]) == (language, title)
    assert json_of(response)["detail"] == "no record K1"


@pytest.mark.parametrize("error", [PlatformError("/srv/data/platform.db is gone"), ConfigError("password=hunter2")])
def test_an_internal_error_tells_nothing_of_the_inside(error: PlatformError) -> None:
    response = problem(error, request_of("GET", "/"))
    assert error.detail.encode() not in response.body
    assert b"request id" in response.body


@pytest.mark.parametrize(("wait_s", "told"), [(0.001, "1"), (1.0, "1"), (1.2, "2"), (59.9, "60")])
def test_retry_after_is_never_too_early(wait_s: float, told: str) -> None:
    assert header(problem(Limited("x", retry_after_s=wait_s), request_of("GET", "/")), "Retry-After") == told


def test_what_is_down_says_when_to_come_back_and_401_how_to_come_in() -> None:
    request = request_of("GET", "/")
    assert header(problem(Unavailable("x"), request), "Retry-After") == "2"
    assert (header(problem(Unauthenticated("x"), request), "WWW-Authenticate") or "").startswith("Bearer ")
    assert header(problem(NotFound("x"), request), "Retry-After") is None


def test_text_that_is_no_unicode_is_still_a_problem() -> None:
    response = problem(InvalidInput("limit: got '\udcff'"), request_of("GET", "/"))
    assert msgspec.json.decode(response.body)["code"] == "invalid_input"
