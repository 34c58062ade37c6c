"""What a route or a service may ask of the gateway's stages: one Struct a policy, absent where it is switched off.

Beside `config/model.py`, which puts them together; each policy is read by one file of `gateway/stages/`.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
HeaderName = Annotated[str, Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$", description="a header name (RFC 9110 §5.6.2)")]
Dimension = Literal["app", "plan", "route", "address", "device", "user"]
Kind = Literal["bearer", "key", "signature", "ca", "certificate"]


class Part(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all parts of the model share: values, immutable, no unknown field."""


class Limit(Part, frozen=True):
    """One limit, counted separately for each combination of `per`. At least one of the amounts is given.

    `per_s` with `burst` is a GCRA rate; `concurrent` bounds requests under way; `per_day` and `per_month` are calendar quotas in
    UTC. A refused request is charged nowhere.
    """

    per: Annotated[tuple[Dimension, ...], Meta(min_length=1)] = ("app",)
    per_s: Positive | None = None
    burst: Count | None = None
    concurrent: Count | None = None
    per_day: Count | None = None
    per_month: Count | None = None


class Cors(Part, frozen=True):
    """Cross-origin requests (WHATWG Fetch §3.2). `origins` are exact, or `*` for all, which excludes `credentials`."""

    origins: Annotated[tuple[str, ...], Meta(min_length=1)]
    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    headers: tuple[HeaderName, ...] = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match")
    expose: tuple[HeaderName, ...] = ("X-Request-Id", "RateLimit", "RateLimit-Policy")
    credentials: bool = False
    max_age_s: Annotated[int, Meta(ge=0, le=86_400)] = 600


class Cache(Part, frozen=True):
    """The shared response cache (RFC 9111). `ttl_s` is used where the upstream says nothing; `stale_if_error_s` and
    `stale_while_revalidate_s` as in RFC 5861. `vary` names request headers that always take part in the key; `private` keeps one
    copy for each app and allows answers to requests with Authorization."""

    ttl_s: Annotated[float, Meta(ge=0)] = 0.0
    stale_if_error_s: Annotated[float, Meta(ge=0)] = 0.0
    stale_while_revalidate_s: Annotated[float, Meta(ge=0)] = 0.0
    vary: tuple[HeaderName, ...] = ()
    private: bool = True
    max_bytes: Annotated[int, Meta(ge=1, le=8 << 20)] = 1 << 20


class Compress(Part, frozen=True):
    """Compression of answers (RFC 9110 §8.4) for clients that accept it."""

    types: tuple[str, ...] = ("application/json", "application/problem+json", "application/xml", "text/")
    min_bytes: Count = 1024
    level: Annotated[int, Meta(ge=1, le=9)] = 5


class HeaderEdit(Part, frozen=True):
    """Header lines taken away, then set (replacing), then added. Values may hold `{…}` variables, see `Transform`."""

    remove: tuple[HeaderName, ...] = ()
    set: dict[HeaderName, str] = {}
    add: dict[HeaderName, str] = {}


class Transform(Part, frozen=True):
    """How a request and its answer are rewritten. Texts may hold variables: `{path.id}`, `{query.page}`, `{header.x-tenant}`,
    `{app}`, `{address}`, `{request_id}`, and in bodies `{body.some.field}`; a variable that is missing is empty.

    `path` replaces the whole path sent upstream. `request_body` and `answer_body` are JSON templates: a text that is one variable
    becomes its value with its type. `xml` translates bodies: the client's side speaks JSON and the upstream XML, or the reverse.
    """

    request_headers: HeaderEdit | None = None
    answer_headers: HeaderEdit | None = None
    path: str | None = None
    query_set: dict[str, str] = {}
    query_remove: tuple[str, ...] = ()
    request_body: Any = None
    answer_body: Any = None
    xml: Literal["upstream", "client"] | None = None
    xml_root: str = "request"
    max_body_bytes: Annotated[int, Meta(ge=1, le=16 << 20)] = 1 << 20


class Validate(Part, frozen=True):
    """Requests are checked before they go on; a refusal names the failing path. Either `schema` (JSON Schema 2020-12 of the JSON
    body), or `openapi`, a whole OpenAPI 3.1 document whose operations describe parameters and bodies."""

    schema: dict[str, Any] | None = None
    openapi: dict[str, Any] | None = None
    max_body_bytes: Annotated[int, Meta(ge=1, le=16 << 20)] = 1 << 20


class Mask(Part, frozen=True):
    """How a field's value is made unreadable (requirement 2.24). `keep_first` and `keep_last` characters stay; `*` for the rest;
    `hide` drops the value (null)."""

    keep_first: Annotated[int, Meta(ge=0, le=64)] = 0
    keep_last: Annotated[int, Meta(ge=0, le=64)] = 0
    hide: bool = False


class Grant(Part, frozen=True):
    """What an app may do with one service or route beyond its scope: narrower operations and fields, masks on fields.

    `operations` are `get`, `query`, `changes`, `create`, `update`, `replace`, `delete` of a service, or HTTP methods of a route;
    empty means all of the scope's. `fields` empty means all. Dotted names reach into objects; lists are gone through.
    """

    operations: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    masks: dict[str, Mask] = {}


class OwnStage(Part, frozen=True):
    """A stage of the user's own: `use` is a Python module with a `STAGE`; `settings` are checked against its type."""

    use: Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", description="a dotted Python module name")]
    settings: dict[str, Any] = {}


class Policies(Part, frozen=True):
    """The policies of a route or a service. What is absent costs nothing."""

    authenticate: tuple[Kind, ...] = ("bearer", "key", "signature", "ca", "certificate")
    limits: tuple[Limit, ...] = ()
    cors: Cors | None = None
    cache: Cache | None = None
    compress: Compress | None = None
    transform: Transform | None = None
    check: Validate | None = None
    stages: tuple[OwnStage, ...] = ()
    max_body_bytes: Annotated[int, Meta(ge=0, le=1 << 40)] = 64 << 20
    timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 30.0
