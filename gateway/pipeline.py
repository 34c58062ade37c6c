"""Every pipe of a snapshot: which path runs through which stages to which service or upstream. Composed once when it is loaded."""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from config.model import Platform
from config.upstreams import Match, Route
from core.cache import Limiter
from core.errors import Unavailable
from core.schema import Dataset
from core.service import DataService
from gateway.data_front import DataFront
from gateway.http1.shadow import ShadowCopies
from gateway.pipe import Pipe
from gateway.router import Router
from gateway.stage import Handler, Request, Response, Stage
from gateway.stages.authenticate import Authenticate
from gateway.stages.authorise import Admission, Authorise
from gateway.stages.limit import Limit
from gateway.token_endpoint import TokenEndpoint
from gateway.tokens import Tokens
from gateway.http1.forward import Forward
from gateway.upstream.shadow import Shadowing
from gateway.upstream.upstream import Upstreams
from registry.snapshot import Snapshot


class Limiters(Protocol):
    """The limiter that counts for all nodes, and the one of this node for when it can't be asked."""

    @property
    def shared(self) -> Limiter: ...

    @property
    def local(self) -> Limiter: ...


Entry = tuple[Match, Pipe]


def compose(snapshot: Snapshot, services: Mapping[str, DataService], limiters: Limiters, upstreams: Upstreams) -> Router:
    """Every route of the snapshot, each with its pipe identify → authenticate → authorise → limit → service."""
    platform = snapshot.platform
    tokens, admission = Tokens(snapshot), Admission(platform)
    authenticate = Authenticate(tokens.verify, time.time)
    plans = {name: (app.plan, platform.plans[app.plan]) for name, app in platform.apps.items()}
    limit = Limit(plans, limiters.shared, limiters.local)
    token = TokenEndpoint(snapshot, tokens, admission, limiters.local)
    entries = [_entry("POST", "/oauth2/token", Pipe("oauth2-token", (), kind="platform", handler=token))]
    for name, service in services.items():
        front = DataFront(service, _dataset(platform, name), platform.services[name])

        def pipe(handler: Handler, scope: str, name: str = name) -> Pipe:
            return Pipe(name, (authenticate, Authorise(admission, scope), limit), handler=handler)

        entries += [_entry(method, path, pipe(h, f"{name}:read")) for method, path, h in _reads(name, front)]
        if platform.services[name].kind == "synchronous":
            entries += [_entry(method, path, pipe(h, f"{name}:write")) for method, path, h in _writes(name, front)]
    for name, route in platform.routes.items():
        if route.enabled:
            stages = () if route.anonymous else (authenticate, Authorise(admission, f"{name}:call"), limit)
            entries.append((route.match, _forwarding(name, route, stages, upstreams)))
    return Router([*entries, _entry("GET", "/healthz", Pipe("healthz", (), kind="platform", handler=_alive))])


def _entry(method: str, path: str, pipe: Pipe) -> Entry:
    return Match(path=path, methods=(method,)), pipe


def _forwarding(name: str, route: Route, stages: Sequence[Stage], upstreams: Upstreams) -> Pipe:
    policies = route.policies
    shadow = ShadowCopies(Shadowing(route.shadow), upstreams) if route.shadow is not None else None
    proxy = Forward(name, route, upstreams, shadow)
    return Pipe(name, stages, kind="route", proxy=proxy, timeout_s=policies.timeout_s, max_body_bytes=policies.max_body_bytes)


def _reads(name: str, front: DataFront) -> list[tuple[str, str, Handler]]:
    one, many = f"/v1/{name}/{{key}}", f"/v1/{name}"
    return [("GET", one, front.get), ("GET", many, front.query), ("GET", f"{many}/changes", front.changes)]


def _writes(name: str, front: DataFront) -> list[tuple[str, str, Handler]]:
    one, many = f"/v1/{name}/{{key}}", f"/v1/{name}"
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
    """The router of the moment. A request that has begun stays on the pipe it began with."""

    def __init__(self) -> None:
        self._router: Router | None = None

    def swap(self, router: Router) -> None:
        self._router = router

    def find(self, request: Request) -> Pipe:
        """Raises NotFound, InvalidInput (method_not_allowed), or Unavailable before the first snapshot."""
        if self._router is None:
            raise Unavailable("this node is starting")
        return self._router.find(request)
