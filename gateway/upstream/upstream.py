"""An upstream at work: it chooses an endpoint, learns from the outcome, and says what may be tried again. One each worker.

Ties balancer, health, breaker, bulkhead and retry budget together; opens no connection. Not for several threads.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol

from config.upstreams import Adaptive, Endpoint, Upstream
from core.errors import ConfigError, Unavailable
from core.guard import Breaker
from gateway.stage import Request
from gateway.upstream.adaptive import AdaptiveLimit
from gateway.upstream.balance import make_balancer, measure
from gateway.upstream.endpoints import EndpointState, merged
from gateway.upstream.health import Health, usable
from gateway.upstream.retries import Budget, is_safe

_NEVER = math.inf
Outcome = Literal["ok", "failed", "refused", "abandoned"]
"""`failed`: a status of `retries.statuses`, a reset, a malformed answer, a timeout. `refused`: no connection. `abandoned`: the
client went away, which says nothing."""


class InFlightLimit(Protocol):
    """An adaptive bound of requests under way, as `AdaptiveLimit` is one."""

    def admit(self, in_flight: int) -> bool: ...

    def sample(self, latency_s: float, in_flight: int, ok: bool) -> None: ...


class UpstreamState:
    """Each `choose` that gave an endpoint is followed by one `finished` with that endpoint."""

    def __init__(
        self,
        name: str,
        declared: Upstream,
        *,
        now: Callable[[], float] = time.monotonic,
        make_limit: Callable[[Adaptive], InFlightLimit] = AdaptiveLimit,
    ) -> None:
        self.name = name
        self.endpoints: list[EndpointState] = []
        self.active = 0
        self._now = now
        self._make_limit = make_limit
        self._found: tuple[Endpoint, ...] = ()  # by discovery
        self._pick: Callable[[Request], EndpointState] | None = None  # the balancer's
        self._return_at = _NEVER  # when the next ejection ends
        self._adopt(declared, None)
        self._place()

    def _adopt(self, declared: Upstream, old: Upstream | None) -> None:
        """What did not change goes on with what it has counted."""
        self.declared = declared
        self._concurrent = declared.concurrent
        self.retried = frozenset(declared.retries.statuses)
        self.host_is_client = declared.host == "client"
        self.pool_by = declared.pool_by
        self._measures = declared.balance == "ewma"
        self._health = Health(declared.passive, declared.active)
        if old is None or declared.breaker != old.breaker:
            self._breaker = (
                Breaker(failures=declared.breaker.failures, open_s=declared.breaker.open_s) if declared.breaker else None
            )
            self._trial_at = -1.0  # when the half-open breaker's one trial was admitted; below 0: none
            self._is_failing = False  # the breaker has counted a failure since the last success
            self._is_open = False  # the breaker may refuse
        if old is None or declared.retries != old.retries:
            self._budget = Budget(declared.retries.budget, declared.retries.floor_per_s, self._now())
        if old is None or declared.adaptive != old.adaptive:
            self._limit = self._make_limit(declared.adaptive) if declared.adaptive is not None else None

    def choose(self, request: Request, excluded: EndpointState | None = None) -> EndpointState:
        """The endpoint for one attempt, counted as under way; `excluded` (it has just failed) only where there is no other.

        Raises Unavailable: upstream_busy (the bulkhead or the adaptive limit is full), upstream_open (the breaker), upstream_down
        (no endpoint, or probes find all of them down).
        """
        if self.active >= self._concurrent or (self._limit is not None and not self._limit.admit(self.active)):
            raise Unavailable(
                f"upstream {self.name} has {self.active} requests under way, which is all it may", code="upstream_busy"
            )
        if self._return_at != _NEVER and self._now() >= self._return_at:
            self._health.returned(self.endpoints, self._now())
            self._rebalance()
        if self._pick is None:
            raise Unavailable(f"no endpoint of upstream {self.name} is usable", code="upstream_down")
        if self._is_open:
            self._ask_breaker()
        endpoint = self._pick(request)
        if endpoint is excluded:
            endpoint = self._other_than(endpoint)
        if excluded is None:  # a retry earns no retries
            self._budget.requests += 1
        self.active += 1
        endpoint.active += 1
        return endpoint

    def _ask_breaker(self) -> None:
        assert self._breaker is not None
        assert self.declared.breaker is not None
        now = self._now()
        if 0 <= self._trial_at < now - self.declared.breaker.open_s:
            self._breaker.abandoned(self._trial_at)  # a trial that takes so long must not keep everybody out
        refusal = self._breaker.admit(now)
        if refusal is not None:
            text = f"upstream {self.name} failed repeatedly ({refusal.cause}) and is left alone for {refusal.retry_after_s:.1f} s"
            raise Unavailable(text, code="upstream_open")
        self._trial_at = now

    def _other_than(self, endpoint: EndpointState) -> EndpointState:
        others = [each for each in usable(self.endpoints) if each is not endpoint]
        return min(others, key=lambda each: (each.active + 1) / each.weight) if others else endpoint

    def finished(self, endpoint: EndpointState, latency_s: float, outcome: Outcome) -> None:
        """What became of one attempt, `latency_s` after its endpoint was chosen."""
        self.active -= 1
        endpoint.active -= 1
        if outcome == "ok":
            if endpoint.failures or endpoint.ejections:
                self._health.succeeded(endpoint)
            if self._is_failing:
                self._mend(latency_s)
        elif outcome != "abandoned":
            self._blame(endpoint, latency_s, outcome)
        elif self._is_open and self._breaker is not None:
            self._breaker.abandoned(self._admitted_at(latency_s))
        if self._measures and outcome != "abandoned":
            measure(endpoint, latency_s, outcome == "ok", self._now())
        if self._limit is not None and outcome != "abandoned":
            self._limit.sample(latency_s, self.active + 1, outcome == "ok")

    def _admitted_at(self, latency_s: float) -> float:
        """When the breaker let this attempt pass, as it knows it: while it is half open, whoever began since then is the trial."""
        began = self._now() - latency_s
        return self._trial_at if 0 <= self._trial_at <= began + 1e-6 else min(began, self._trial_at - 1)

    def _mend(self, latency_s: float) -> None:
        assert self._breaker is not None
        self._breaker.succeeded(self._admitted_at(latency_s))
        if self._breaker.state(self._now()) == "closed":
            self._is_failing = self._is_open = False
            self._trial_at = -1.0

    def _blame(self, endpoint: EndpointState, latency_s: float, outcome: Outcome) -> None:
        now = self._now()
        if self._health.failed(endpoint, self.endpoints, now):
            self._rebalance()
        if self._breaker is not None:
            cause = f"{endpoint.url} {'took no connection' if outcome == 'refused' else 'failed'}"
            self._breaker.failed(self._admitted_at(latency_s), now, cause)
            self._is_failing = True
            self._is_open = self._breaker.state(now) != "closed"

    def may_retry(self, request: Request, endpoint: EndpointState, attempt: int, failure: str) -> bool:
        """Whether attempt number `attempt` (from 1), which failed at `endpoint`, may be followed by another; a yes is taken from
        the budget. `failure`: `connect` (nothing was sent), `closed` (before any byte of an answer), `reset`, `timeout`,
        `status:<n>`. Whether the body can be sent again is for the engine to know."""
        retries, now = self.declared.retries, self._now()
        if attempt >= retries.attempts or now >= request.deadline or not is_safe(request, failure, retries):
            return False
        return self._budget.take(now)

    def probed(self, endpoint: EndpointState, status: int | None) -> bool:
        """A probe's answer (None: there was none); True: the endpoint has just gone down or come back."""
        has_changed = self._health.probed(endpoint, status)
        if has_changed:
            self._rebalance()
        return has_changed

    def update(self, declared: Upstream) -> list[EndpointState]:
        """Go on with another declaration, keeping what is known of the endpoints that stay. Returns those that are gone: the engine
        closes their connections. Other TLS or pooling makes every endpoint a new one: its connections are of no use."""
        old, removed = self.declared, []
        if declared == old:
            return []
        if (declared.tls, declared.pool_by) != (old.tls, old.pool_by):
            removed, self.endpoints = self.endpoints, []
        if declared.discovery != old.discovery:
            self._found = ()
        if declared.active is None:
            for endpoint in self.endpoints:
                endpoint.is_down = False
        self._adopt(declared, old)
        return removed + self._place()

    def replace_endpoints(self, found: Iterable[Endpoint]) -> list[EndpointState]:
        """What discovery has found, in place of what it found before; declared endpoints stay. Returns those that are gone."""
        self._found = tuple(found)
        return self._place()

    def _place(self) -> list[EndpointState]:
        discovery = self.declared.discovery
        dns = (discovery.dns or "") if discovery is not None else ""
        self.endpoints, removed = merged(self.endpoints, self.declared.endpoints, self._found, dns)
        self._rebalance()
        return removed

    def _rebalance(self) -> None:
        """Whenever the set of usable endpoints may have changed."""
        chosen = usable(self.endpoints)
        self._pick = make_balancer(self.declared, chosen, self._now).pick if chosen else None
        self._return_at = min((each.ejected_until for each in self.endpoints if each.is_ejected), default=_NEVER)


class Upstreams:
    """Every upstream of the platform by name. Outlives snapshots: health, breakers and connections survive a reload."""

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, make_limit: Callable[[Adaptive], InFlightLimit] = AdaptiveLimit
    ) -> None:
        self._now = now
        self._make_limit = make_limit
        self._states: dict[str, UpstreamState] = {}

    def reload(self, declared: Mapping[str, Upstream]) -> list[EndpointState]:
        """Take over a new snapshot's upstreams, in the event loop. Returns the endpoints that are gone: the engine closes their
        connections; requests under way there end by themselves."""
        removed: list[EndpointState] = []
        for name in [name for name in self._states if name not in declared]:
            removed += self._states.pop(name).endpoints
        for name, each in declared.items():
            state = self._states.get(name)
            if state is None:
                self._states[name] = UpstreamState(name, each, now=self._now, make_limit=self._make_limit)
            else:
                removed += state.update(each)
        return removed

    def get(self, name: str) -> UpstreamState:
        """Raises ConfigError for a name that the last snapshot did not declare."""
        state = self._states.get(name)
        if state is None:
            raise ConfigError(f"upstream {name} is not declared")
        return state

    def all(self) -> list[UpstreamState]:
        return list(self._states.values())
