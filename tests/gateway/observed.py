"""Requests as they look when all is over, for the tests of what observes them."""

from gateway.identity import Identity
from gateway.pipe import Pipe
from gateway.stage import Request
from tests.gateway.desk import request_of


def ended(
    target: str = "/v1/customers",
    *,
    method: str = "GET",
    route: str | None = "customers",
    app: str | None = "shop",
    status: int = 200,
    took_s: float = 0.004,
    code: str = "",
    cache: str = "",
    received: int = 10,
    sent: int = 100,
) -> Request:
    """A request that was answered."""
    request = request_of(method, target)
    request.pipe = Pipe(route, ()) if route is not None else None
    request.identity = Identity(app, "ak_1") if app else None
    request.status, request.error_code = status, code
    request.started, request.ended = 100.0, 100.0 + took_s
    request.received_bytes, request.sent_bytes = received, sent
    if cache:
        request.attributes["cache"] = cache
    return request
