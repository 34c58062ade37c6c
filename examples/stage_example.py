"""A stage of your own: every hook of the contract (gateway/stage.py) in one file. docs/adding-a-stage.md walks through it.

A shop takes orders at one route. This stage asks for a customer number, refuses orders that are too large, looks blocked customers
up in a register that has to be waited for, adds a line to answers, counts their bytes and knows how many orders are under way.
"""

import asyncio
from collections.abc import Awaitable

import msgspec

from core.errors import Forbidden, InvalidInput
from gateway.own_stages import StagePlugin
from gateway.stage import AnswerStage, BodyStage, EndStage, Filter, Outcome, Request, Response


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`settings:` of the stage in platform.yaml, checked when they are loaded."""

    max_items: int = 100
    blocked: tuple[str, ...] = ()


class Order(msgspec.Struct):
    items: list[str]


class OrderDesk:
    """One for each route that names it; serves many requests at a time, so what belongs to one is kept with that request."""

    name = "order-desk"  # shown in traces and metrics

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.under_way = 0
        self.sent_bytes = 0

    # 1. Before anything else: how much of the body is needed (BodyStage). 0 lets it stream past.
    def wants_body(self, request: Request) -> int:
        return 65_536 if request.method == "POST" else 0

    # 2. The request. None: go on. A Response: answer with it. An error: refuse. An awaitable: wait for one of these.
    def on_request(self, request: Request) -> Outcome:
        self.under_way += 1  # `on_end` is called for every request that comes here, also when it is refused now
        if request.path.endswith("/hours"):
            return Response(200, [("Content-Type", "text/plain")], b"9-17\n")  # what is behind is not asked
        customer = request.headers.get("x-customer", "")
        if not customer:
            raise InvalidInput("send the customer's number in X-Customer")
        request.tell("X-Order-Desk", "open")  # every answer to this request carries it, problems too
        request.set_header("X-Checked-By", self.name)  # goes upstream; what the client sent under that name does not
        request.attributes["customer"] = customer  # for the later hooks, and for later stages
        if request.method == "POST":
            self._check_order(request.content or b"")
        return self._admitted(customer) if self._settings.blocked else None

    def _check_order(self, body: bytes) -> None:
        try:
            order = msgspec.json.decode(body, type=Order)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"body: {error}", code="body_invalid") from None
        if len(order.items) > self._settings.max_items:
            raise InvalidInput(f"an order has at most {self._settings.max_items} items", code="body_invalid")

    # 3. Waiting: return a coroutine or, cheaper, a Future; never block. Common cases should not come here.
    def _admitted(self, customer: str) -> Awaitable[Response | None]:
        async def look_up() -> None:
            await asyncio.sleep(0)  # a register in the network
            if customer in self._settings.blocked:
                raise Forbidden(f"customer {customer[:20]} is blocked")

        return look_up()

    # 4. The head of the answer (AnswerStage): how much of its body is needed. 0 lets it stream past.
    def collects(self, request: Request, response: Response) -> int:
        return 65_536 if response.header("Content-Type") == "text/plain" else 0

    # 5. The answer, on its way back: change it, or return another one. Problems pass by.
    def on_response(self, request: Request, response: Response) -> Outcome:
        response.set_header("X-Served", request.attributes.get("customer", "somebody"))
        if self.collects(request, response):
            response.body += b"-- thank you\n"
            response.remove_header("Content-Length")
        else:
            response.filters = [*(response.filters or ()), Counted(self)]  # 6. works on a body while it streams
        return None

    # 7. All is over, well or badly (EndStage): give back what was taken. Must not raise.
    def on_end(self, request: Request) -> None:
        self.under_way -= 1


class Counted:
    """A Filter: fed each piece, then finished once. This one changes nothing; one that changes the length says so by
    `response.keeps_length = False`."""

    def __init__(self, desk: OrderDesk) -> None:
        self._desk = desk

    def feed(self, data: bytes) -> bytes:
        self._desk.sent_bytes += len(data)
        return data

    def finish(self) -> bytes:
        return b""


def make(settings: Settings, route: str) -> OrderDesk:
    """Raise core.errors.ConfigError where the settings make no sense together: the snapshot is then refused."""
    return OrderDesk(settings)


STAGE = StagePlugin(name="order-desk", settings=Settings, make=make, after="limit")


def _conforms(stage: OrderDesk, counted: Counted) -> tuple[BodyStage, AnswerStage, EndStage, Filter]:
    return stage, stage, stage, counted
