"""The contract of a stage: one step of a request's way, in one file under `gateway/stages/` (or a user's own file).

Stages are made once when a snapshot is loaded; a stage that is switched off is absent from the pipe. They serve many requests at a
time in one event loop: a hook that has to wait returns an awaitable, and must never block.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias, runtime_checkable

from core.errors import PlatformError
from gateway.http1.message import Filter, Request, Response, Stream

__all__ = [
    "AnswerStage",
    "BodyStage",
    "EndStage",
    "Filter",
    "Handler",
    "Outcome",
    "Request",
    "RescueStage",
    "Response",
    "Stage",
    "Stream",
]

Handler = Callable[[Request], Awaitable[Response]]
"""An endpoint inside the platform: a data service, the token endpoint."""

Outcome: TypeAlias = Response | Awaitable[Response | None] | None
"""None: go on. A response: answer with it, nothing behind is asked. An awaitable (best a Future: no task is made for it): wait for
one of the two."""


@runtime_checkable
class Stage(Protocol):
    """Sees each request before what follows is asked. `name` is shown in traces and metrics."""

    name: str

    def on_request(self, request: Request) -> Outcome:
        """Refuse by raising a PlatformError (`gateway/problems` alone makes it an answer), or see `Outcome`. May set
        `request.identity`, `app`, `attributes`, tell header fields, and change what goes upstream. Called once for each request."""
        ...


@runtime_checkable
class BodyStage(Stage, Protocol):
    """A stage that needs the whole request body: `request.content` is set before `on_request` is called. A body that is longer than
    `wants_body` gave is refused with payload_too_large."""

    def wants_body(self, request: Request) -> int:
        """The most bytes it will take; 0: not this request's."""
        ...


@runtime_checkable
class AnswerStage(Stage, Protocol):
    """A stage that sees answers too, in reverse order of the stages. Problems pass it by: they carry what was told."""

    def collects(self, request: Request, response: Response) -> int:
        """How many bytes of the body it needs before `on_response`; 0: the head is enough. Called with the head alone. A passing
        answer whose body is longer becomes a 502 (answer_too_large). Answers of the platform's own endpoints always have their
        body."""
        ...

    def on_response(self, request: Request, response: Response) -> Outcome:
        """Change the response in place (None), or give another one. A passing answer (`response.is_passing`) has no body unless
        `collects` asked for it; add to `response.filters` to work on it piece by piece."""
        ...


@runtime_checkable
class EndStage(Stage, Protocol):
    """A stage that is told when all is over, once for each request whose `on_request` it was called with: also after refusals by
    later stages, lost clients and failures. Gives back what was taken (concurrency), counts, logs."""

    def on_end(self, request: Request) -> None:
        """`request.status`, `ended`, `sent_bytes` are set. Must not raise."""
        ...


@runtime_checkable
class RescueStage(Stage, Protocol):
    """A stage that may have an answer where what is behind it has failed: a stale copy, say."""

    def on_failure(self, request: Request, error: PlatformError) -> Response | None:
        """Called with the error that would be told, for stages that were reached, innermost first. None: tell it."""
        ...
