"""An upstream's answer on its way through one stage, as the connections take it."""

from collections.abc import Sequence
from inspect import isawaitable

from gateway.http1.message import made_request
from gateway.identity import Identity
from gateway.stage import AnswerStage, BodyStage, Request, Response, Stage


def of_app(app: str, method: str, target: str, *, body: bytes = b"", **headers: str) -> Request:
    """A request of an authenticated app; `content_type="…"` becomes content-type."""
    request = made_request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body)
    request.identity = Identity(app, "ak_1")
    return request


async def asked(stage: Stage, request: Request) -> Response | None:
    """`on_request`, its body read as far as the stage wants it."""
    if not isinstance(stage, BodyStage) or not stage.wants_body(request):
        request.content, content = None, request.content
        try:
            outcome = stage.on_request(request)
        finally:
            request.content = content if request.content is None else request.content
    else:
        outcome = stage.on_request(request)
    return await outcome if isawaitable(outcome) else outcome


async def passed(stage: AnswerStage, request: Request, response: Response, *pieces: bytes) -> tuple[Response, bytes]:
    """The answer behind the stage, and its body as the client gets it."""
    response.is_passing = True
    if stage.collects(request, response):
        response.body = b"".join(pieces)
    outcome = stage.on_response(request, response)
    other = await outcome if isawaitable(outcome) else outcome
    response = other or response
    return response, body_of(response, pieces)


def body_of(response: Response, pieces: Sequence[bytes]) -> bytes:
    if response.body or not response.is_passing:
        return response.body
    passing = list(pieces)
    for each in response.filters or ():
        passing = [*map(each.feed, passing), each.finish()]
    return b"".join(passing)


def upstream_headers(request: Request) -> list[bytes]:
    """The header lines that go upstream: what came, without what was taken away, and what was added."""
    removed = request.removed or set()
    kept = [line for line in request.forward.splitlines(keepends=True) if line.partition(b":")[0].lower() not in removed]
    return [*kept, *(request.added or ())]
