"""The example of docs/adding-a-stage.md in a pipe: each hook does what its comment says."""

from typing import Any

import msgspec
import pytest

from config.policies import OwnStage
from core.errors import ConfigError, Forbidden, InvalidInput
from examples.stage_example import STAGE, OrderDesk
from gateway.http1.message import made_request
from gateway.own_stages import load_own_stages
from gateway.pipe import Pipe, run
from gateway.stage import Request, Response, Stage
from tests.conformance.stage_suite import StageSuite
from tests.gateway.passing import passed, upstream_headers


def desk(**settings: Any) -> OrderDesk:
    """As the gateway makes it."""
    (placed,) = load_own_stages([OwnStage("examples.stage_example", settings)], "route orders")
    assert placed.after == STAGE.after == "limit"
    assert isinstance(placed.stage, OrderDesk)
    return placed.stage


def order(items: int = 1, customer: str = "7", method: str = "POST") -> Request:
    headers = {"X-Customer": customer, "X-Checked-By": "forged"} if customer else {}
    return made_request(method, "/orders", headers=headers, body=msgspec.json.encode({"items": ["a"] * items}))


async def through(stage: OrderDesk, request: Request, response: Response | None = None) -> Response:
    async def behind(_: Request) -> Response:
        assert stage.under_way == 1
        return response or Response(201, [("Content-Type", "application/json")], b"{}")

    return await run(Pipe("orders", [stage], handler=behind), request)


async def test_an_order_goes_on_with_what_the_stage_sets_and_tells() -> None:
    stage, request = desk(), order()
    answer = await through(stage, request)
    assert (answer.status, answer.header("X-Served"), request.told) == (201, "7", [b"X-Order-Desk: open\r\n"])
    checked = [line for line in upstream_headers(request) if line.lower().startswith(b"x-checked-by")]
    assert checked == [b"X-Checked-By: order-desk\r\n"]
    assert stage.under_way == 0


async def test_it_answers_by_itself() -> None:
    answer = await through(desk(), made_request("GET", "/orders/hours"))
    assert answer.body == b"9-17\n"


async def test_it_refuses_and_gives_back_what_it_took() -> None:
    stage = desk(max_items=2, blocked=["13"])
    for request, error in ((order(customer=""), InvalidInput), (order(items=3), InvalidInput), (order(customer="13"), Forbidden)):
        with pytest.raises(error):
            await through(stage, request)
    broken = order()
    broken.content = b"{"
    with pytest.raises(InvalidInput, match="body: "):
        await through(stage, broken)
    assert stage.under_way == 0
    assert (await through(stage, order())).status == 201  # looked up, and not blocked


async def test_texts_are_taken_whole_and_others_counted_while_they_pass() -> None:
    stage = desk()
    text, body = await passed(
        stage, order(), Response(200, [("Content-Type", "text/plain"), ("Content-Length", "5")]), b"so", b"ld\n"
    )
    assert (body, text.header("Content-Length")) == (b"sold\n-- thank you\n", "")
    _, body = await passed(stage, order(), Response(200, [("Content-Type", "image/png")]), b"abc", b"de")
    assert (body, stage.sent_bytes) == (b"abcde", 5)


def test_the_body_is_bounded() -> None:
    assert desk().wants_body(order()) == 65_536
    assert desk().wants_body(order(method="GET")) == 0


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"route orders: stage examples\.stage_example: settings: .*max_itms"):
        desk(max_itms=3)


class TestExampleKeepsTheContract(StageSuite):
    def stage(self) -> Stage:
        return desk(blocked=["13"])

    def admitted(self) -> Request:
        return order()

    def refused(self) -> Request:
        return order(customer="13")
