"""The whole request pipe, composed once for each snapshot: which path runs through which stages to which service."""

import time
from collections.abc import Mapping
from typing import Protocol

from config.model import Platform
from core.cache import Limiter
from core.errors import Unavailable
from core.http import Handler, Request, Response
from core.schema import Dataset
from core.service import DataService
from gateway.data_front import DataFront
from gateway.router import Route, Router
from gateway.stages.authenticate import Authenticate
from gateway.stages.authorise import Admission, Authorise
from gateway.stages.limit import Limit
from gateway.token_endpoint import TokenEndpoint
from gateway.tokens import Tokens
from registry.snapshot import Snapshot


class Limiters(Protocol):
    """The limiter that counts for all nodes, and the one of this node for when it can't be asked."""

    @property
    def shared(self) -> Limiter: ...

    @property
    def local(self) -> Limiter: ...


def compose(snapshot: Snapshot, services: Mapping[str, DataService], limiters: Limiters) -> Router:
    """Every route of the snapshot, each with its chain identify → authenticate → authorise → limit → service."""
    platform = snapshot.platform
    tokens, admission = Tokens(snapshot), Admission(platform)
    authenticate = Authenticate(tokens.verify, time.time)
    plans = {name: (app.plan, platform.plans[app.plan]) for name, app in platform.apps.items()}
    limit = Limit(plans, limiters.shared, limiters.local)
    routes = [Route("POST", "/oauth2/token", TokenEndpoint(snapshot, tokens, admission, limiters.local))]
    for name, service in services.items():
        front = DataFront(service, _dataset(platform, name), platform.services[name])

        def chain(handler: Handler, scope: str) -> Handler:
            return authenticate(Authorise(admission, scope)(limit(handler)))

        routes += [Route(method, path, chain(h, f"{name}:read")) for method, path, h in _reads(name, front)]
        if platform.services[name].kind == "synchronous":
            routes += [Route(method, path, chain(h, f"{name}:write")) for method, path, h in _writes(name, front)]
    return Router([*routes, Route("GET", "/healthz", _alive)])


def _reads(name: str, front: DataFront) -> list[tuple[str, str, Handler]]:
    one, many = f"/v1/{name}/{{}}", f"/v1/{name}"
    return [("GET", one, front.get), ("GET", many, front.query), ("GET", f"{many}/changes", front.changes)]


def _writes(name: str, front: DataFront) -> list[tuple[str, str, Handler]]:
    one, many = f"/v1/{name}/{{}}", f"/v1/{name}"
    return [("PATCH", one, front.patch), ("PUT", one, front.put), ("DELETE", one, front.delete), ("POST", many, front.post)]


def _dataset(platform: Platform, service: str) -> Dataset | None:
    reference = platform.services[service].dataset
    if reference is None:
        return None
    source, _, name = reference.partition(".")
    return platform.sources[source].datasets[name]


async def _alive(request: Request) -> Response:
    return Response(200, [("Content-Type", "text/plain")], b"ok\n")


class Gateway:
    """The handler the listener calls: the router of the moment. A request that has begun stays on the router it began with."""

    def __init__(self) -> None:
        self._router: Router | None = None

    def swap(self, router: Router) -> None:
        self._router = router

    async def __call__(self, request: Request) -> Response:
        if self._router is None:
            raise Unavailable("this node is starting")
        return await self._router(request)
