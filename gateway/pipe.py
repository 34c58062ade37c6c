"""A pipe: the stages of one route and the endpoint behind them, composed once when a snapshot is loaded.

`run` is the whole way of a request to an endpoint inside the platform; the connections of `gateway/http1` walk the same pipe
without a task while nothing has to wait.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from core.errors import PlatformError
from gateway.http1.message import Request, Response
from gateway.stage import AnswerStage, BodyStage, EndStage, Handler, RescueStage, Stage


class Pipe:
    """`name` is the service's or route's; `kind` tells them apart (`platform`: endpoints of the gateway's own). Either `handler` or
    `proxy` answers. `checks`, `bodies`, `answers`, `ends` and `rescues` have a place for each stage in order, None where it has no
    such hook."""

    __slots__ = (
        *("answers", "bodies", "checks", "ends", "handler", "hears_ends", "kind", "max_body_bytes", "name", "proxy", "rescues"),
        *("sees_answers", "stages", "timeout_s"),
    )

    def __init__(
        self,
        name: str,
        stages: Sequence[Stage],
        *,
        kind: str = "service",
        handler: Handler | None = None,
        proxy: Any = None,
        timeout_s: float = 30.0,
        max_body_bytes: int = 1 << 20,
    ) -> None:
        self.name = name
        self.kind = kind
        self.stages = tuple(stages)
        self.handler = handler
        self.proxy = proxy
        self.timeout_s = timeout_s
        self.max_body_bytes = max_body_bytes
        self.checks = tuple(stage.on_request for stage in self.stages)
        self.bodies = tuple(stage.wants_body if isinstance(stage, BodyStage) else None for stage in self.stages)
        self.answers = tuple(stage if isinstance(stage, AnswerStage) else None for stage in self.stages)
        self.ends = tuple(stage.on_end if isinstance(stage, EndStage) else None for stage in self.stages)
        self.rescues = tuple(stage.on_failure if isinstance(stage, RescueStage) else None for stage in self.stages)
        self.sees_answers = any(self.answers)
        self.hears_ends = any(self.ends)


async def run(pipe: Pipe, request: Request) -> Response:
    """The request through all stages to the pipe's handler, and its answer back. Raises what they raise, unless a stage has an
    answer for it. `on_end` is called for the stages that were reached once the answer stands; a streamed answer is written after
    that."""
    reached = 0
    response: Response | None = None
    try:
        for check, wants in zip(pipe.checks, pipe.bodies, strict=True):
            if wants is not None and wants(request):
                await request.body()
            reached += 1
            outcome = check(request)
            response = outcome if outcome is None or isinstance(outcome, Response) else await outcome
            if response is not None:
                break
        else:
            assert pipe.handler is not None
            response = await pipe.handler(request)
            reached += 1  # no stage answered: all of them see the answer
        return await answered(pipe, request, response, reached - 1)
    except PlatformError as error:
        return await _rescued(pipe, request, error, min(reached, len(pipe.rescues)))
    finally:
        request.ended = request.ended or asyncio.get_running_loop().time()
        for end in pipe.ends[:reached]:
            if end is not None:
                end(request)


async def _rescued(pipe: Pipe, request: Request, error: PlatformError, below: int) -> Response:
    """The answer that a stage below this number has for a failure behind it; as `gateway.http1.exchange` does it."""
    while below:
        below -= 1
        rescue = pipe.rescues[below]
        response = None if rescue is None else rescue(request, error)
        if response is not None:
            try:
                return await answered(pipe, request, response, below)
            except PlatformError as failed:
                error = failed
    raise error


async def answered(pipe: Pipe, request: Request, response: Response, below: int) -> Response:
    """The answer as the stages before number `below` leave it, innermost first."""
    for stage in reversed(pipe.answers[:below]):
        if stage is not None:
            changed = stage.on_response(request, response)
            if changed is not None and not isinstance(changed, Response):
                changed = await changed
            response = changed or response
    return response
