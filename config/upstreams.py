"""HTTP systems behind the gateway and the routes that lead to them. See `config/model.py`, which puts them together."""

from typing import Annotated, Literal

from msgspec import Meta

from config.policies import Count, HeaderName, Part, Policies, Positive

ResourceName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="lower case, digits and hyphens")]
Url = Annotated[str, Meta(pattern=r"^https?://[^/?#@\s]+$", description="http://host:port or https://host:port, without a path")]


class Endpoint(Part, frozen=True):
    """One server of an upstream."""

    url: Url
    weight: Annotated[int, Meta(ge=0, le=1000)] = 1


class Discovery(Part, frozen=True):
    """Where endpoints come from besides the list: every address of a DNS name, or a JSON document `{"endpoints": [{"url",
    "weight"}]}` that a service registry gives at `url`. Asked again every `every_s`; an answer that fails leaves the endpoints as
    they are."""

    dns: str | None = None  # host:port
    scheme: Literal["http", "https"] = "http"
    url: Annotated[str, Meta(pattern=r"^https?://\S+$", description="an http:// or https:// URL")] | None = None
    every_s: Positive = 10.0


class ActiveHealth(Part, frozen=True):
    """A probe every `every_s`: `unhealthy` failures in a row take an endpoint out, `healthy` successes bring it back."""

    path: Annotated[str, Meta(pattern=r"^/\S*$", description="a path that begins with /")] = "/healthz"
    every_s: Positive = 5.0
    timeout_s: Positive = 2.0
    healthy: Count = 2
    unhealthy: Count = 3
    statuses: tuple[int, ...] = (200, 204)


class PassiveHealth(Part, frozen=True):
    """What real requests tell: `failures` in a row take an endpoint out for `eject_s`. Never more than `max_ejected` of them."""

    failures: Count = 5
    eject_s: Positive = 10.0
    max_ejected: Annotated[float, Meta(gt=0, le=1)] = 0.5


class Breaker(Part, frozen=True):
    """For the upstream as a whole; see core.guard.Breaker."""

    failures: Count = 20
    open_s: Positive = 5.0


class Retries(Part, frozen=True):
    """Only where it is safe: nothing was sent, or the method is idempotent (RFC 9110 §9.2.2) and its body is kept. At most `budget`
    of the requests of the last ten seconds, plus `floor_per_s`, are tried again."""

    attempts: Annotated[int, Meta(ge=1, le=5)] = 2
    budget: Annotated[float, Meta(ge=0, le=1)] = 0.2
    floor_per_s: Annotated[float, Meta(ge=0)] = 3.0
    statuses: tuple[int, ...] = (502, 503, 504)
    keep_body_bytes: Annotated[int, Meta(ge=0, le=1 << 20)] = 65_536


class Adaptive(Part, frozen=True):
    """An adaptive limit of requests under way (gradient of latency against its long-run minimum, as in Netflix's
    concurrency-limits)."""

    initial: Count = 20
    min_limit: Count = 4
    max_limit: Count = 1000


class Tls(Part, frozen=True):
    """TLS to the endpoints. Files are read when the configuration is loaded."""

    verify: bool = True
    ca_file: str | None = None
    server_name: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


class Upstream(Part, frozen=True):
    """A group of equal servers. `balance`: weighted round robin, least requests, EWMA of latency (peak-sensitive), or a consistent
    hash of `hash_on` (`app`, `address`, `path`, or `header.<name>`). `pool_by` keeps separate keep-alive connections for each app
    or each Authorization, for upstreams that authenticate the connection. `host` is what Host says upstream: the client's, or the
    endpoint's own."""

    endpoints: tuple[Endpoint, ...] = ()
    discovery: Discovery | None = None
    balance: Literal["round_robin", "least_requests", "ewma", "hash"] = "round_robin"
    hash_on: Annotated[str, Meta(pattern=r"^(app|address|path|header\.[A-Za-z0-9-]+)$")] = "app"
    active: ActiveHealth | None = None
    passive: PassiveHealth | None = PassiveHealth()
    breaker: Breaker | None = Breaker()
    retries: Retries = Retries()
    concurrent: Count = 1024  # the bulkhead: requests under way at once, each worker
    adaptive: Adaptive | None = None
    connect_timeout_s: Positive = 2.0
    max_idle: Annotated[int, Meta(ge=0, le=10_000)] = 128  # keep-alive connections kept, each endpoint and worker
    idle_s: Positive = 60.0
    pool_by: Literal["none", "app", "authorization"] = "none"
    host: Literal["client", "endpoint"] = "client"
    tls: Tls = Tls()
    title: str = ""


class Match(Part, frozen=True):
    """Which requests a route takes. `path` is exact, with `{name}` for one segment and a last `{name...}` for the rest, even none.
    `hosts` may begin with `*.`. `headers` and `query` values are exact, or `~` and a regular expression, or `*` for any value.
    The most specific route wins: host, then path (fixed before variable), then method, then the number of headers and query."""

    path: Annotated[str, Meta(pattern=r"^/\S*$", description="a path that begins with /")]
    hosts: tuple[str, ...] = ()
    methods: tuple[Annotated[str, Meta(pattern=r"^[A-Z]{1,20}$")], ...] = ()
    headers: dict[HeaderName, str] = {}
    query: dict[str, str] = {}


class Split(Part, frozen=True):
    """A share of the traffic for another upstream (canary): by `weight` percent, by a header's value, or for named apps."""

    upstream: ResourceName
    weight: Annotated[float, Meta(ge=0, le=100)] = 0.0
    header: HeaderName | None = None
    value: str = "1"
    apps: tuple[ResourceName, ...] = ()


class Shadow(Part, frozen=True):
    """A copy of `share` percent of the requests goes to another upstream; its answers are thrown away. Bodies over `max_bytes` and
    more than `concurrent` copies at once are left out."""

    upstream: ResourceName
    share: Annotated[float, Meta(gt=0, le=100)] = 100.0
    max_bytes: Annotated[int, Meta(ge=0, le=1 << 20)] = 65_536
    concurrent: Count = 64


class Route(Part, frozen=True):
    """A pass-through route. Default deny: the caller needs the scope `<route>:call`, unless `anonymous`.

    `strip` takes that many leading segments off the path sent upstream, then `prefix` is put in front. `websocket` allows upgrades;
    a tunnel ends when it is idle for `idle_s`, sends a message over `max_message_bytes`, or its route or app is disabled."""

    match: Match
    upstream: ResourceName
    splits: tuple[Split, ...] = ()
    shadow: Shadow | None = None
    strip: Annotated[int, Meta(ge=0, le=32)] = 0
    prefix: Annotated[str, Meta(pattern=r"^(/\S*[^/\s])?$", description="empty, or a path without a last /")] = ""
    anonymous: bool = False
    websocket: bool = False
    idle_s: Positive = 300.0
    max_message_bytes: Annotated[int, Meta(ge=1, le=1 << 30)] = 1 << 20
    policies: Policies = Policies()
    title: str = ""
    owner: str = ""
    enabled: bool = True
