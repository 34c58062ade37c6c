"""One server of an upstream: where it is, what it has under way, and how it has fared. The upstream's methods keep it."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from config.upstreams import Endpoint

_PORTS = {"http": 80, "https": 443}


class EndpointState:
    """Lives as long as its upstream names its URL. `authority` is what Host says where `Upstream.host` is `endpoint`; `active`
    counts requests under way; `pools` are the engine's idle connections by credential key. The rest is health and latency."""

    __slots__ = (
        "active",
        "authority",
        "ejected_until",
        "ejections",
        "failures",
        "host",
        "is_down",
        "is_ejected",
        "is_tls",
        "latency_s",
        "measured_at",
        "pools",
        "port",
        "probe_streak",
        "url",
        "weight",
    )

    def __init__(self, declared: Endpoint) -> None:
        parts = urlsplit(declared.url)
        self.url = declared.url
        self.host = parts.hostname or ""
        self.port = parts.port or _PORTS[parts.scheme]
        self.is_tls = parts.scheme == "https"
        self.authority = parts.netloc.encode("ascii")
        self.weight = declared.weight
        self.active = 0
        self.pools: dict[bytes, Any] = {}
        self.failures = 0  # in a row, told by real requests
        self.ejections = 0  # in a row: each lasts longer
        self.is_ejected = False
        self.ejected_until = 0.0
        self.is_down = False  # told by probes
        self.probe_streak = 0  # probes in a row that contradict `is_down`
        self.latency_s = 0.0  # the balancer's moving average; 0: not measured yet
        self.measured_at = 0.0

    def __repr__(self) -> str:
        return f"EndpointState({self.url})"


def merged(kept: Iterable[EndpointState], wanted: Iterable[Endpoint]) -> tuple[list[EndpointState], list[EndpointState]]:
    """The states for `wanted`, those of the same URL kept (a repeated URL counts once, the first time); and the states that are
    wanted no longer."""
    old = {state.url: state for state in kept}
    new: dict[str, EndpointState] = {}
    for declared in wanted:
        if declared.url not in new:
            state = old.pop(declared.url, None) or EndpointState(declared)
            state.weight = declared.weight
            new[declared.url] = state
    return list(new.values()), list(old.values())
