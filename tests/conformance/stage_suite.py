"""What every stage keeps to (gateway.stage.Stage), whatever it decides. A stage's test subclasses it and gives one to try."""

import asyncio
from abc import abstractmethod

import pytest

from core.errors import PlatformError
from gateway.pipe import Pipe, run
from gateway.stage import Request, Response, Stage


class StageSuite:
    """`stage` makes a fresh one; `admitted` is a request that it lets pass, `refused` one that it does not."""

    @abstractmethod
    def stage(self) -> Stage: ...

    @abstractmethod
    def admitted(self) -> Request: ...

    @abstractmethod
    def refused(self) -> Request: ...

    async def test_what_follows_is_asked_once_and_its_answer_comes_back(self) -> None:
        seen: list[Request] = []

        async def following(request: Request) -> Response:
            seen.append(request)
            return Response(201, [("X-From", "behind")], b"body")

        request = self.admitted()
        answer = await run(Pipe("test", [self.stage()], handler=following), request)
        assert (answer.status, answer.body, ("X-From", "behind") in answer.headers) == (201, b"body", True)
        assert seen == [request]

    async def test_a_refusal_is_a_platform_error_and_nothing_behind_is_asked(self) -> None:
        async def following(_: Request) -> Response:
            raise AssertionError("asked although it was refused")

        with pytest.raises(PlatformError):
            await run(Pipe("test", [self.stage()], handler=following), self.refused())

    async def test_an_error_from_behind_passes_unchanged(self) -> None:
        error = PlatformError("from behind")

        async def following(_: Request) -> Response:
            raise error

        with pytest.raises(PlatformError) as caught:
            await run(Pipe("test", [self.stage()], handler=following), self.admitted())
        assert caught.value is error

    async def test_one_stage_serves_many_routes_and_overlapping_requests(self) -> None:
        stage = self.stage()

        async def first(_: Request) -> Response:
            await asyncio.sleep(0.01)
            return Response(200, body=b"first")

        async def second(_: Request) -> Response:
            return Response(200, body=b"second")

        pipes = [Pipe("first", [stage], handler=first), Pipe("second", [stage], handler=second)] * 5
        answers = await asyncio.gather(*(run(pipe, self.admitted()) for pipe in pipes))
        assert [answer.body for answer in answers] == [b"first", b"second"] * 5
