"""The declarative platform model: what `platform.yaml` may say, and what the registry keeps.

One definition serves YAML validation, the JSON Schema for editors, the management API and the snapshot that gateways run.
Cross-references (a job's dataset, an app's plan) are checked in `config/check.py`.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta

from config.contacts import Contact
from config.policies import Count, Grant, Policies, Positive
from config.policies import Part as Part
from config.upstreams import ResourceName, Route, Upstream
from config.webhooks import Webhook
from core.schema import Dataset

DatasetRef = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*\.[a-z][a-z0-9_]*$", description="<source>.<dataset>")]
Scope = Annotated[
    str,
    Meta(pattern=r"^[a-z][a-z0-9-]*:(read|write|call)$", description="<service>:read, <service>:write or <route>:call"),
]


class Guard(Part, frozen=True):
    """How a source is protected: at most `concurrency` calls at once, each at most `timeout_s`; after `failures` failures in a
    row its breaker opens for `open_s`."""

    concurrency: Count = 4
    timeout_s: Positive = 30.0
    failures: Count = 5
    open_s: Positive = 10.0


class Source(Part, frozen=True):
    """A foreign system. `settings` belong to the adapter and are checked against its own type."""

    adapter: str
    settings: dict[str, Any]
    title: str = ""
    owner: str = ""
    guard: Guard = Guard()
    datasets: dict[Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")], Dataset] = {}


class Schedule(Part, frozen=True):
    """When a job runs: exactly one of the three. `cron` has five fields, in `timezone`."""

    every_s: Positive | None = None
    cron: str | None = None
    once: bool = False
    timezone: str = "Asia/Shanghai"


class Retry(Part, frozen=True):
    """What a failed run does: `attempts` in all, `delay_s` apart (requirement 2.26: 3 times, 10 minutes)."""

    attempts: Count = 3
    delay_s: Positive = 600.0


class Job(Part, frozen=True):
    """Collects one dataset into the mirror: `full` reads all each time, `incremental` goes on from the checkpoint. `alert` is the
    contact that is told when all attempts have failed.

    `vanished`: what becomes of rows that a full load did not find any more. `remove` deletes them from the mirror, unless they are
    more than `vanished_max_share` of all its rows, as when the source was emptied by mistake.
    """

    dataset: DatasetRef
    mode: Literal["full", "incremental"] = "incremental"
    schedule: Schedule = Schedule(once=True)
    retry: Retry = Retry()
    batch_rows: Annotated[int, Meta(ge=1, le=50_000)] = 5_000
    title: str = ""
    owner: str = ""
    alert: ResourceName | None = None
    vanished: Literal["keep", "remove"] = "keep"
    vanished_max_share: Annotated[float, Meta(ge=0, le=1)] = 0.2
    enabled: bool = True


class Call(Part, frozen=True):
    """The live interface that a real-time service wraps: an operation of a source, and the argument the key becomes."""

    source: ResourceName
    operation: str
    key: str
    arguments: dict[str, Any] = {}


class Freshness(Part, frozen=True):
    """How long each tier may answer: app cache, shared cache, and how stale an answer may be while the source is down."""

    app_s: Annotated[float, Meta(ge=0)] = 5.0
    cache_s: Annotated[float, Meta(ge=0)] = 30.0
    stale_s: Annotated[float, Meta(ge=0)] = 300.0


class Service(Part, frozen=True):
    """A data service at `/v1/<name>`. Kinds are the three of DESIGN §4; `dataset` for the first two, `call` for the third.

    `transactional`: its writes may be part of a transaction (`POST /v1/transactions`), which passes by policies of its own, so
    that it has none. `writable` lists the fields a synchronous service may set. `source_reads` lets a record that the mirror lacks
    be looked up at the source.
    """

    kind: Literal["asynchronous", "synchronous", "realtime"]
    dataset: DatasetRef | None = None
    call: Call | None = None
    title: str = ""
    filters: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    source_reads: bool = False
    freshness: Freshness = Freshness()
    max_limit: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    transactional: bool = False
    policies: Policies = Policies()
    enabled: bool = True


class Plan(Part, frozen=True):
    """How much an app may ask: `per_s` requests a second sustained, `burst` at once, `concurrent` under way, and quotas for each
    calendar day and month in UTC."""

    per_s: Positive
    burst: Count
    concurrent: Count | None = None
    per_day: Count | None = None
    per_month: Count | None = None
    title: str = ""


class Proxy(Part, frozen=True):
    """A partner that registers and carries apps (外部代理). Its apps are served only from `addresses`, where given (CIDR), and
    never from `denied`."""

    title: str = ""
    owner: str = ""
    addresses: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    enabled: bool = True


class App(Part, frozen=True):
    """A client of the data services. Its AppKey and AppSecret are issued by the platform and are not part of this text.

    `grants` narrow what a scope gives, by service or route. `certificates` are the subject names (RFC 4514) or SHA-256 thumbprints
    (hex) of client certificates that stand for the app. `subjects` maps the `sub` (or `client_id`) of a trusted issuer's tokens
    to it.
    """

    plan: ResourceName
    scopes: tuple[Scope, ...] = ()
    grants: dict[ResourceName, Grant] = {}
    certificates: tuple[str, ...] = ()
    subjects: dict[ResourceName, tuple[str, ...]] = {}
    title: str = ""
    owner: str = ""
    proxy: ResourceName | None = None
    addresses: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    enabled: bool = True


class Device(Part, frozen=True):
    """A device under an app with its own public key (JWK, RFC 7517); tokens bound to it need a DPoP proof (RFC 9449)."""

    app: ResourceName
    key: dict[str, str]
    title: str = ""
    enabled: bool = True


class Issuer(Part, frozen=True):
    """A third party whose JWTs are believed (RFC 7519). The algorithm is pinned; `audience` and `issuer` are required in each
    token. Keys come from `jwks_url`, kept and asked again every `refresh_s`, or stand here. An app's `subjects` say whose tokens
    are its."""

    issuer: str
    audience: str
    algorithm: Literal["EdDSA", "ES256", "RS256"]
    jwks_url: Annotated[str, Meta(pattern=r"^https?://\S+$", description="an http:// or https:// URL")] | None = None
    keys: tuple[dict[str, str], ...] = ()
    subject_claim: Literal["sub", "client_id", "azp"] = "sub"
    scope_claim: str = "scope"
    refresh_s: Positive = 300.0
    enabled: bool = True


class AccessList(Part, frozen=True):
    """A black or white list (黑白名单) for the whole platform. A caller on any `deny` list is refused. Where `allow` lists name
    addresses, or apps, only those may call; where they name devices or users, no other device or user may, and callers that prove
    none are not judged by them. `users` are the subjects of third-party tokens."""

    action: Literal["allow", "deny"] = "deny"
    addresses: tuple[str, ...] = ()
    apps: tuple[ResourceName, ...] = ()
    devices: tuple[ResourceName, ...] = ()
    users: tuple[str, ...] = ()
    title: str = ""
    enabled: bool = True


class Platform(Part, frozen=True):
    """The whole of `platform.yaml`."""

    version: Literal[1] = 1
    plans: dict[ResourceName, Plan] = {}
    proxies: dict[ResourceName, Proxy] = {}
    apps: dict[ResourceName, App] = {}
    sources: dict[ResourceName, Source] = {}
    services: dict[ResourceName, Service] = {}
    jobs: dict[ResourceName, Job] = {}
    upstreams: dict[ResourceName, Upstream] = {}
    routes: dict[ResourceName, Route] = {}
    devices: dict[ResourceName, Device] = {}
    issuers: dict[ResourceName, Issuer] = {}
    lists: dict[ResourceName, AccessList] = {}
    contacts: dict[ResourceName, Contact] = {}
    webhooks: dict[ResourceName, Webhook] = {}


KINDS: dict[str, tuple[str, type[Part]]] = {
    "plan": ("plans", Plan),
    "issuer": ("issuers", Issuer),
    "proxy": ("proxies", Proxy),
    "app": ("apps", App),
    "device": ("devices", Device),
    "contact": ("contacts", Contact),
    "source": ("sources", Source),
    "service": ("services", Service),
    "job": ("jobs", Job),
    "upstream": ("upstreams", Upstream),
    "route": ("routes", Route),
    "list": ("lists", AccessList),
    "webhook": ("webhooks", Webhook),
}
"""Resource kind → its section in `platform.yaml` and `/api/v1/<section>`, and its type; in an order that satisfies references."""
