"""Sense of upstreams: endpoints that can be, from one place or another, and numbers that agree. Pure."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from config.problem import Path, Problem
from config.upstreams import Discovery, Endpoint, Upstream

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_-]{1,63})*\.?")
_DNS = re.compile(r"(?P<host>[^:\s]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")


def upstream_problems(upstream: Upstream, path: Path) -> Iterator[Problem]:
    """Everything wrong inside one upstream. Files of `tls` are read on the nodes, not here."""
    if not upstream.endpoints and upstream.discovery is None:
        yield Problem((*path, "endpoints"), "an upstream needs endpoints, or a discovery that finds them")
    yield from _endpoints(upstream.endpoints, (*path, "endpoints"))
    if upstream.discovery is not None:
        yield from _discovery(upstream.discovery, (*path, "discovery"))
    if upstream.hash_on != "app" and upstream.balance != "hash":
        yield Problem((*path, "hash_on"), f"has no meaning with balance: {upstream.balance}; make that hash, or remove this")
    if (upstream.tls.certificate_file is None) != (upstream.tls.key_file is None):
        missing = "key_file" if upstream.tls.key_file is None else "certificate_file"
        yield Problem((*path, "tls", missing), "required: a client certificate needs both certificate_file and key_file")
    yield from _numbers(upstream, path)


def _endpoints(endpoints: tuple[Endpoint, ...], path: Path) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, endpoint in enumerate(endpoints):
        at = (*path, str(index), "url")
        if reason := url_problem(endpoint.url):
            yield Problem(at, f"'{endpoint.url}' {reason}")
        elif endpoint.url in seen:
            yield Problem(at, f"'{endpoint.url}' stands here twice; give one a larger weight")
        seen.add(endpoint.url)


def url_problem(url: str) -> str | None:
    """What is wrong with an endpoint's URL, of the form that its type has checked."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "has no port from 1 to 65535"
    if port == 0 or url.endswith(":"):
        return "has no port from 1 to 65535"
    if not (_HOST.fullmatch(host) or ":" in host):
        return "has no host name or address"
    return None


def _discovery(discovery: Discovery, path: Path) -> Iterator[Problem]:
    if (discovery.dns is None) == (discovery.url is None):
        yield Problem(path, "needs exactly one of dns and url")
    if discovery.dns is not None:
        found = _DNS.fullmatch(discovery.dns)
        if found is None or not 0 < int(found["port"]) <= 65535:
            yield Problem((*path, "dns"), f"'{discovery.dns}' is not host:port, such as orders.internal:8080")
    elif discovery.scheme != "http":
        yield Problem((*path, "scheme"), "belongs to dns; a registry's document has whole URLs")


def _numbers(upstream: Upstream, path: Path) -> Iterator[Problem]:
    adaptive, active = upstream.adaptive, upstream.active
    if adaptive is not None and not adaptive.min_limit <= adaptive.initial <= adaptive.max_limit:
        text = f"{adaptive.initial} is not between min_limit {adaptive.min_limit} and max_limit {adaptive.max_limit}"
        yield Problem((*path, "adaptive", "initial"), text)
    if active is not None and not active.statuses:
        yield Problem((*path, "active", "statuses"), "without a status no probe ever succeeds")
    for name, statuses, least in (
        ("active", active.statuses if active is not None else (), 200),
        ("retries", upstream.retries.statuses, 400),
    ):
        for index, status in enumerate(statuses):
            if not least <= status <= 599:
                yield Problem((*path, name, "statuses", str(index)), f"{status} is not a status from {least} to 599")
