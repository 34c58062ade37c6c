"""Every pipe of a snapshot: which path runs through which stages to which service or upstream. Composed once when it is loaded."""

import gc
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from config.model import Platform, Service
from config.policies import Policies
from config.upstreams import Match, Route, Split
from core.cache import Limiter
from core.errors import PlatformError, Unavailable
from core.schema import Dataset
from core.service import DataService, TransactionService
from core.stores import Usage
from gateway.access.assembly import AccessParts, Authentication
from gateway.data_front import DataFront
from gateway.http1.fetch import Fetch
from gateway.http1.forward import Forward
from gateway.http1.shadow import ShadowCopies
from gateway.kept import Kept
from gateway.oauth.client import MAX_FORM_BYTES
from gateway.oauth.endpoints import oauth_endpoints
from gateway.pipe import Pipe
from gateway.quota import Quotas
from gateway.response_cache import ResponseStore
from gateway.router import Router
from gateway.sessions import SessionParts
from gateway.shaping import route_fields, route_shaping, service_fields, service_shaping
from gateway.soap.contract import contract_of, why_untyped
from gateway.soap.front import faceless_entries, soap_entries
from gateway.stage import Handler, Request, Response, Stage
from gateway.stages.authenticate import Authenticate
from gateway.stages.authorise import Admission, Authorise
from gateway.stages.cache import Cache
from gateway.stages.fields import Operation
from gateway.stages.identify import Identify
from gateway.stages.limit import limit_stage
from gateway.tokens import Tokens
from gateway.transaction_front import TransactionFront
from gateway.upstream.shadow import Shadowing
from gateway.upstream.upstream import Upstreams
from gateway.usage import UsageEndpoint
from gateway.views import views_of
from registry.snapshot import Snapshot

Entry = tuple[Match, Pipe]
MAX_RECORD_BYTES = 1 << 20
_CHECKED = frozenset(("identify", "authorise"))


@dataclass(frozen=True, slots=True)
class Lasting:
    """What a worker keeps from one snapshot to the next. `limiter` counts as the node is set to, `local` in this process alone."""

    limiter: Limiter
    local: Limiter
    access: AccessParts
    sessions: SessionParts
    usage: Usage
    spawn: Callable[..., Any]
    upstreams: Upstreams = field(default_factory=Upstreams)
    responses: ResponseStore = field(default_factory=ResponseStore)


class Shared:
    """The stages of one snapshot that many pipes share. They serve the next one too where nothing they are made of has changed."""

    def __init__(self, snapshot: Snapshot, lasting: Lasting) -> None:
        platform = snapshot.platform
        self.basis = _basis(snapshot)
        self.admission = Admission(platform)
        self.tokens = Tokens(snapshot, issuer=lasting.sessions.public_url)
        self.authentication = Authentication(snapshot, self.tokens, lasting.access)
        identify = Identify(platform.lists)
        self.first: tuple[Stage, ...] = (identify,) if identify.is_needed else ()
        self.views = views_of(platform)
        self.plan = limit_stage(platform, "", (), lasting.limiter)


def _basis(snapshot: Snapshot) -> tuple[object, ...]:
    platform = snapshot.platform
    callers = (platform.plans, platform.apps, platform.proxies, platform.devices, platform.issuers, platform.lists)
    return (*callers, dict(snapshot.credentials), dict(snapshot.verification_keys), snapshot.signing_keys)


class Composer:
    """Makes the pipes of one snapshot after another; what did not change is kept, so that a reload of ten thousand routes costs
    what has changed. One for each worker."""

    def __init__(self, lasting: Lasting) -> None:
        self._lasting = lasting
        self._kept: Kept[Pipe] = Kept()
        self._shared: Shared | None = None

    def compose(
        self, snapshot: Snapshot, services: Mapping[str, DataService], transactions: TransactionService | None = None
    ) -> list[Entry]:
        """Every pipe of the snapshot with what it matches. In the event loop. Raises ConfigError, naming the route or service, for
        what can't be made; then the snapshot before stays."""
        if self._shared is None or self._shared.basis != _basis(snapshot):
            self._shared = Shared(snapshot, self._lasting)
        self._kept.turn()
        pipes = _Pipes(snapshot, self._shared, self._lasting)
        entries = pipes.own_endpoints()
        if transactions is not None:
            entries += pipes.transactions(transactions)
        for name, service in services.items():
            entries += pipes.service(name, service, snapshot.platform.services[name])
        for name, route in snapshot.platform.routes.items():
            if route.enabled:
                parts = (route, self._lasting.upstreams.get(route.upstream), self._shared)
                entries.append((route.match, self._kept.get(name, parts, partial(pipes.route, name, route))))
        self._lasting.responses.follow(snapshot.platform)
        return entries


class _Pipes:
    """Of one snapshot."""

    def __init__(self, snapshot: Snapshot, shared: Shared, lasting: Lasting) -> None:
        self._snapshot = snapshot
        self._platform: Platform = snapshot.platform
        self._shared = shared
        self._lasting = lasting
        self._admission = shared.admission
        self._first = shared.first

    def own_endpoints(self) -> list[Entry]:
        lasting, access = self._lasting, self._lasting.access
        oauth = oauth_endpoints(
            self._snapshot, self._shared.tokens, self._admission, lasting.local, lasting.sessions, proofs=access.proofs,
            replays=access.replays,
        )  # fmt: skip
        entries = [
            _entry(method, path, Pipe("oauth2", self._first, kind="platform", handler=handler, max_body_bytes=MAX_FORM_BYTES))
            for method, path, handler in oauth
        ]
        known = self._shared.authentication.stage(Policies().authenticate)
        usage = (*self._first, known, Authorise(self._admission, None, "usage"))
        told = UsageEndpoint(lasting.usage, quota=Quotas(self._platform, lasting.limiter).of, pace=lasting.local)
        entries.append(_entry("GET", "/usage", Pipe("usage", usage, kind="platform", handler=told)))
        entries.append(_entry("GET", "/healthz", Pipe("healthz", (), kind="platform", handler=_alive)))
        return entries

    def transactions(self, transactions: TransactionService) -> list[Entry]:
        """Who may write what is judged for each step as the service's own pipe judges it; the plan is charged once."""
        front = TransactionFront(transactions, self._platform, self._admission, self._shared.views)
        access = (
            *self._known(Policies()),
            Authorise(self._admission, None, "transactions"),
            *self._limit(Policies(), "transactions"),
        )
        begin = Pipe("transactions", access, kind="platform", handler=front.begin, max_body_bytes=MAX_RECORD_BYTES)
        look = Pipe("transactions", access, kind="platform", handler=front.look)
        return [_entry("POST", "/v1/transactions", begin), _entry("GET", "/v1/transactions/{id}", look)]

    def service(self, name: str, service: DataService, declared: Service) -> list[Entry]:
        dataset = _dataset(self._platform, declared)
        front = DataFront(service, dataset, declared)
        shaping, views = service_shaping(name, declared), self._shared.views.get(name)
        policies = declared.policies
        known, limit = self._known(policies), self._limit(policies, name)
        entries: list[Entry] = []
        by_operation: dict[str, Pipe] = {}
        for method, path, operation, handler in _operations(name, front, is_writable=declared.kind == "synchronous"):
            scope = f"{name}:{'read' if method == 'GET' else 'write'}"
            access = [*known, Authorise(self._admission, scope, name, operation), *limit]
            fields, cache = service_fields(views, declared, dataset, operation), self._cache(policies, name, handler)
            stages = shaping.stages(access, fields, cache)
            limits: dict[str, Any] = {
                "timeout_s": policies.timeout_s,
                "max_body_bytes": min(policies.max_body_bytes, MAX_RECORD_BYTES),
            }
            by_operation[operation] = pipe = Pipe(name, stages, handler=handler, **limits)
            entries.append(_entry(method, path, pipe))
        reason = why_untyped(declared, dataset)
        if dataset is None or reason is not None:
            return entries + faceless_entries(name, by_operation["get"], reason or "")
        charge, read = [Authorise(self._admission, None, ""), *limit], Authorise(self._admission, f"{name}:read", "")
        contract = contract_of(name, declared, dataset)
        return entries + soap_entries(contract, by_operation, views, charge, read, self._lasting.sessions.public_url)

    def route(self, name: str, route: Route) -> Pipe:
        policies, lasting = route.policies, self._lasting
        limit = self._limit(policies, name, is_anonymous=route.anonymous)
        if route.anonymous:
            access, fields = [*self._first, *limit], []
        else:
            access = [*self._known(policies), Authorise(self._admission, f"{name}:call", name), *limit]
            fields = route_fields(self._shared.views.get(name))
        shadow = ShadowCopies(Shadowing(route.shadow), lasting.upstreams) if route.shadow is not None else None
        proxy = Forward(name, route, lasting.upstreams, shadow)
        fetch = Fetch(proxy, policies.cache.max_bytes if policies.cache is not None else 0)
        stages = route_shaping(name, route).stages(access, fields, self._cache(policies, name, fetch, route.splits))
        limits: dict[str, Any] = {"timeout_s": policies.timeout_s, "max_body_bytes": policies.max_body_bytes}
        return Pipe(name, stages, kind="route", proxy=proxy, **limits)

    def _known(self, policies: Policies) -> tuple[Stage, ...]:
        return (*self._first, self._shared.authentication.stage(policies.authenticate))

    def _limit(self, policies: Policies, name: str, *, is_anonymous: bool = False) -> list[Stage]:
        """The plan's limits, and those of the route or service where it has some. Who is not known has no plan."""
        if not policies.limits:
            return [] if is_anonymous else [self._shared.plan]
        return [limit_stage(self._platform, name, policies.limits, self._lasting.limiter, anonymous=is_anonymous)]

    def _cache(
        self, policies: Policies, name: str, fetch: Callable[[Request], Awaitable[Response]], splits: Sequence[Split] = ()
    ) -> list[Stage]:
        if policies.cache is None:
            return []
        lasting = self._lasting
        return [Cache(policies.cache, lasting.responses, name, splits=splits, fetch=fetch, spawn=lasting.spawn)]


def _dataset(platform: Platform, service: Service) -> Dataset | None:
    source, _, name = (service.dataset or "").partition(".")
    return platform.sources[source].datasets[name] if name else None


def _operations(name: str, front: DataFront, *, is_writable: bool) -> list[tuple[str, str, Operation, Handler]]:
    one, many = f"/v1/{name}/{{key}}", f"/v1/{name}"
    found: list[tuple[str, str, Operation, Handler]] = [
        ("GET", one, "get", front.get),
        ("GET", many, "query", front.query),
        ("GET", f"{many}/changes", "changes", front.changes),
    ]
    if is_writable:
        found += [("PATCH", one, "update", front.patch), ("PUT", one, "replace", front.put)]
        found += [("DELETE", one, "delete", front.delete), ("POST", many, "create", front.post)]
    return found


def _entry(method: str, path: str, pipe: Pipe) -> Entry:
    return Match(path=path, methods=(method,)), pipe


async def _alive(request: Request) -> Response:
    return Response(200, [("Content-Type", "text/plain")], b"ok\n")


def _starting(request: Request) -> Pipe:
    raise Unavailable("this node is starting")


@contextmanager
def resting_collector() -> Iterator[None]:
    """While a snapshot is made everything new stays: going over it again and again, as the collector would, took two thirds of
    the time of 10,000 routes. Not to be held across an await."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Gateway:
    """The router of the moment. A request that has begun stays on the pipe it began with. `find` gives the pipe of a request; it
    raises NotFound, InvalidInput (method_not_allowed), or Unavailable before the first snapshot."""

    def __init__(self) -> None:
        self._router: Router | None = None
        self.find: Callable[[Request], Pipe] = _starting

    def swap(self, entries: Iterable[Entry]) -> None:
        """Take these pipes in place of those before, between two requests. Raises ConfigError, and changes nothing."""
        if self._router is None:
            self._router = Router(entries)
            self.find = self._router.find  # no step between: it is asked for each request
        else:
            self._router.update(entries)

    def allowed_until(self, request: Request) -> float:
        """Until when (epoch seconds) nobody has to ask again about the request of an open tunnel; 0 where it would not be let in
        now: its route is another, its credential does not hold any more, or its app may not use it."""
        until = math.inf
        try:
            pipe = self.find(request)
            for stage in pipe.stages:
                if isinstance(stage, Authenticate):
                    until = stage.holds_until(request)
                elif stage.name in _CHECKED:
                    stage.on_request(request)
        except PlatformError:
            return 0.0
        return until if pipe.name == request.pipe.name else 0.0
