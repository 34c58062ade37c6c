"""The cache stage in a pipe, with an origin that a test makes answer as it likes and a clock that it moves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from config.model import App
from config.policies import Cache as Policy
from gateway.identity import Identity
from gateway.pipe import Pipe, run
from gateway.response_cache import ResponseStore
from gateway.stage import Request, Response
from gateway.stages.cache import Cache
from tests.gateway.desk import request_of

Answer = Callable[[Request], Response | Awaitable[Response]]


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class CacheDesk:
    """The stage before an origin: `answer` makes each of the origin's answers, `seen` has every request that came through to it."""

    def __init__(self, policy: Policy, *, store: ResponseStore | None = None, **more: Any) -> None:
        self.time = Time()
        self.store = ResponseStore(clock=self.time) if store is None else store
        self.stage = Cache(policy, self.store, "goods", wall=self.time, **more)
        self.seen: list[Request] = []
        self.answer: Answer = lambda request: Response(200, [("Cache-Control", "max-age=60")], b"goods")
        self.pipe = Pipe("goods", [self.stage], handler=self.handle)

    async def handle(self, request: Request) -> Response:
        self.seen.append(request)
        answer = self.answer(request)
        return answer if isinstance(answer, Response) else await answer

    async def ask(
        self,
        target: str = "/goods",
        *,
        method: str = "GET",
        app: str | None = "shop",
        headers: Mapping[str, str] | None = None,
        declared: App | None = None,
    ) -> Response:
        request = request_of(method, target, headers=headers)
        request.identity = Identity(app, "ak_1") if app else None
        request.app = declared or (App(plan="p") if app else None)
        request.authorization = (headers or {}).get("authorization", "").encode()
        return await run(self.pipe, request)

    def begun(self, target: str = "/goods") -> Request:
        """A request of the app that the stage has let through to the origin."""
        request = of_shop(target)
        assert self.stage.on_request(request) is None
        return request

    def hold(self, status: int = 200, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> asyncio.Event:
        """The origin answers so, once the event is set."""
        gate = asyncio.Event()

        async def late(request: Request) -> Response:
            await gate.wait()
            return Response(status, list(headers), body)

        self.answer = late
        return gate


def of_shop(target: str = "/goods") -> Request:
    request = request_of("GET", target)
    request.identity, request.app = Identity("shop", "ak_1"), App(plan="p")
    return request


def cached(answer: Response) -> str:
    return answer.header("x-cache")


def shared(**more: Any) -> Policy:
    return Policy(**{"private": False, "ttl_s": 60.0, **more})
