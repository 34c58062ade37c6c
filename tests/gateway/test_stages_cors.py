"""CORS as a browser sees it (WHATWG Fetch §3.2)."""

import msgspec
import pytest

from config import policies
from core.errors import Forbidden, PlatformError
from gateway.http1.message import made_request
from gateway.pipe import Pipe, run
from gateway.stage import Outcome, Request, Response, Stage
from gateway.stages.cors import Cors
from tests.conformance.stage_suite import StageSuite
from tests.gateway.desk import told_pairs
from tests.gateway.passing import passed

SHOP = "https://shop.example"
ALLOW = "Access-Control-Allow-Origin"


def cors(**fields: object) -> Cors:
    return Cors(msgspec.convert({"origins": [SHOP], **fields}, policies.Cors))


def preflight(origin: str, **headers: str) -> Request:
    return made_request("OPTIONS", "/v1/a", headers={"Origin": origin, "Access-Control-Request-Method": "PUT", **headers})


class Refusing:
    name = "authenticate"

    def on_request(self, request: Request) -> Outcome:
        raise Forbidden("nobody")


async def answered(stage: Stage, request: Request) -> Response:
    async def behind(_: Request) -> Response:
        return Response(200, [("Vary", "Accept")], b"data")

    return await run(Pipe("test", [stage], handler=behind), request)


def told(request: Request, name: str) -> list[str]:
    return [value for each, value in told_pairs(request) if each == name]


async def test_a_preflight_is_answered_before_anybody_is_asked_who_they_are() -> None:
    answer = await run(Pipe("test", [cors(credentials=True), Refusing()]), preflight(SHOP))
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header(ALLOW) == SHOP
    assert answer.header("Access-Control-Allow-Credentials") == "true"
    assert "PUT" in answer.header("Access-Control-Allow-Methods").split(", ")
    assert "Idempotency-Key" in answer.header("Access-Control-Allow-Headers").split(", ")
    assert answer.header("Access-Control-Max-Age") == "600"
    assert answer.header("Vary").startswith("Origin")


@pytest.mark.parametrize("origin", ["https://shop.example.evil", "http://shop.example", "https://SHOP.example", "null", ""])
async def test_a_preflight_from_elsewhere_gets_no_permission(origin: str) -> None:
    answer = await run(Pipe("test", [cors(), Refusing()]), preflight(origin))
    assert (answer.status, [name for name, _ in answer.headers]) == (204, ["Vary"])


@pytest.mark.parametrize("origins", [[SHOP], ["*"]])
async def test_a_preflight_without_an_origin_never_runs_as_the_request_it_asks_for(origins: list[str]) -> None:
    request = made_request("OPTIONS", "/v1/a", headers={"Access-Control-Request-Method": "DELETE"})
    answer = await run(Pipe("test", [cors(origins=origins), Refusing()]), request)
    assert (answer.status, [name for name, _ in answer.headers]) == (204, ["Vary"])


async def test_an_options_request_that_is_no_preflight_goes_on() -> None:
    with pytest.raises(Forbidden):
        await run(Pipe("test", [cors(), Refusing()]), made_request("OPTIONS", "/v1/a", headers={"Origin": SHOP}))


async def test_a_page_may_read_answers_and_problems() -> None:
    request = made_request("GET", "/v1/a", headers={"Origin": SHOP})
    with pytest.raises(PlatformError):
        await run(Pipe("test", [cors(expose=["X-Request-Id"]), Refusing()]), request)
    assert told(request, ALLOW) == [SHOP]
    assert told(request, "Access-Control-Expose-Headers") == ["X-Request-Id"]
    assert told(request, "Vary") == ["Origin"]


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://other.example"}])
async def test_others_are_served_without_permission_and_caches_are_told(headers: dict[str, str]) -> None:
    request = made_request("GET", "/v1/a", headers=headers)
    assert (await answered(cors(), request)).status == 200
    assert told(request, ALLOW) == []
    assert told(request, "Vary") == ["Origin"]


async def test_all_origins_but_a_sandboxed_one() -> None:
    for origin, allowed in (("https://any.example", ["*"]), ("null", [])):
        request = made_request("GET", "/v1/a", headers={"Origin": origin})
        await answered(cors(origins=["*"]), request)
        assert told(request, ALLOW) == allowed
    listed = made_request("GET", "/v1/a", headers={"Origin": "null"})
    await answered(cors(origins=["null"]), listed)
    assert told(listed, ALLOW) == ["null"]


async def test_two_origins_in_one_request_are_none() -> None:
    request = made_request("GET", "/v1/a")
    request.head = request.head[:-2] + f"Origin: {SHOP}\r\nORIGIN: {SHOP}\r\n\r\n".encode()
    await answered(cors(), request)
    assert told(request, ALLOW) == []


async def test_what_an_upstream_says_about_origins_is_dropped() -> None:
    request = made_request("GET", "/v1/a", headers={"Origin": SHOP})
    response, _ = await passed(cors(), request, Response(200, [("access-control-allow-origin", "*"), ("ETag", '"1"')]), b"x")
    assert response.headers == [("ETag", '"1"')]


@pytest.mark.parametrize(
    "fields",
    [
        {"origins": ["*"], "credentials": True},
        {"origins": ["https://shop.example/"]},
        {"origins": ["shop.example"]},
        {"origins": ["https://Shop.example"]},
        {"origins": []},
        {"methods": ["get"]},
        {"headers": ["a b"]},
    ],
)
def test_a_policy_that_no_browser_would_understand_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        cors(**fields)


class TestCorsKeepsTheContract(StageSuite):
    def stage(self) -> Stage:
        return cors()

    def admitted(self) -> Request:
        return made_request("GET", "/v1/a", headers={"Origin": SHOP})

    def refused(self) -> Request:
        return preflight("https://other.example")

    async def test_a_refusal_is_a_platform_error_and_nothing_behind_is_asked(self) -> None:
        """A refusal of CORS is an answer without permission."""
        answer = await run(Pipe("test", [self.stage(), Refusing()]), self.refused())
        assert answer.header(ALLOW) == ""
