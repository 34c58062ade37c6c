"""What a route or a service may ask of the gateway's stages: one Struct a policy, absent where it is switched off.

Beside `config/model.py`, which puts them together; each policy is read by one file of `gateway/stages/`.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from core.secret import Secret

CONTROLS = dict.fromkeys([*range(32), 127, *range(128, 160), 0x2028, 0x2029])
"""Characters that may end a line somewhere, or are refused in a header value (RFC 9110 §5.5): for `str.translate`."""

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
HeaderName = Annotated[str, Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$", description="a header name (RFC 9110 §5.6.2)")]
Dimension = Literal["app", "plan", "route", "address", "device", "user"]
Kind = Literal["bearer", "key", "signature", "ca", "certificate"]


Method = Annotated[str, Meta(pattern=r"^[A-Z]{1,20}$", description="an HTTP method in upper case")]
Origin = Annotated[
    str,
    Meta(
        pattern=r"^(\*|null|[a-z][a-z0-9+.-]*://[^/?#@\sA-Z]+)$",
        description="scheme://host or scheme://host:port in lower case, or `null`, or `*`",
    ),
]
FieldPath = Annotated[str, Meta(pattern=r"^[^.\s]+(\.[^.\s]+)*$", description="a field's name, dotted where it is inside another")]
XmlName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_\u4e00-\u9fa5][\w.-]*(:[A-Za-z_\u4e00-\u9fa5][\w.-]*)?$",
        description="an element's name, with a prefix or without",
    ),
]


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
    """Cross-origin requests (WHATWG Fetch §3.2). `origins` are exact, or `*` for all, which excludes `credentials`; the origin
    `null` (sandboxed frames, files) is taken only where it is listed."""

    origins: Annotated[tuple[Origin, ...], Meta(min_length=1)]
    methods: tuple[Method, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    headers: tuple[HeaderName, ...] = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match")
    expose: tuple[HeaderName, ...] = ("X-Request-Id", "RateLimit", "RateLimit-Policy")
    credentials: bool = False
    max_age_s: Annotated[int, Meta(ge=0, le=86_400)] = 600

    def __post_init__(self) -> None:
        if self.credentials and "*" in self.origins:
            raise ValueError("origins: `*` can't be combined with credentials: list the origins")


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
    """Compression of answers (gzip, RFC 9110 §8.4) for clients that accept it. `types` are media types or their beginnings.

    A compressed answer's entity tag becomes weak (§8.8.1): a client that means to write with If-Match reads with
    `Accept-Encoding: identity`."""

    types: tuple[str, ...] = ("application/json", "application/problem+json", "application/xml", "text/")
    min_bytes: Count = 1024
    level: Annotated[int, Meta(ge=1, le=9)] = 5


class HeaderEdit(Part, frozen=True):
    """Header lines taken away, then set (replacing), then added. Values may hold `{…}` variables, see `Transform`.

    `secret` sets (replacing) what is known to the upstream alone, such as `Authorization: Basic …`: sealed where it is kept and
    never shown. It is sent as it stands, without variables."""

    remove: tuple[HeaderName, ...] = ()
    set: dict[HeaderName, str] = {}
    add: dict[HeaderName, str] = {}
    secret: dict[HeaderName, Secret] = {}

    def __post_init__(self) -> None:
        for name, value in self.secret.items():
            text = value.reveal()
            if not text.strip():
                raise ValueError(f"secret.{name}: it is empty")
            if text.translate(CONTROLS) != text:
                raise ValueError(f"secret.{name}: a header value holds no line break or other control character")


class Transform(Part, frozen=True):
    """How a request and its answer are rewritten. Texts may hold variables: `{path.id}`, `{query.page}`, `{header.x-tenant}`,
    `{app}`, `{address}`, `{request_id}`, and in bodies `{body.some.field}`; a variable that is missing is empty. `{{` and `}}` are
    braces themselves.

    `path` replaces the whole path sent upstream; a variable in it fills one segment or a part of it, `{path.rest...}` any number of
    them, and a request that would leave a segment empty is refused. `request_body` and `answer_body` are JSON templates: a
    text that is one variable becomes its value with its type. Answers of errors (status 400 and up) keep their bodies.

    `xml` translates bodies: the client's side speaks JSON and the upstream XML (`upstream`), or the reverse (`client`); see
    `gateway/xml_json.py` for the mapping. `xml_root` and `xml_answer_root` name the root element that is written; elements named in
    `xml_lists` are lists even where there is one; `xml_prefixes: strip` drops namespaces of the XML that is read. Templates work
    on the JSON side.
    """

    request_headers: HeaderEdit | None = None
    answer_headers: HeaderEdit | None = None
    path: Annotated[str, Meta(pattern=r"^/[^?#\s]*$", description="a path that begins with /")] | None = None
    query_set: dict[str, str] = {}
    query_remove: tuple[str, ...] = ()
    request_body: Any = None
    answer_body: Any = None
    xml: Literal["upstream", "client"] | None = None
    xml_root: XmlName = "request"
    xml_answer_root: XmlName = "response"
    xml_lists: tuple[str, ...] = ()
    xml_prefixes: Literal["keep", "strip"] = "keep"
    max_body_bytes: Annotated[int, Meta(ge=1, le=16 << 20)] = 1 << 20


class Validate(Part, frozen=True):
    """Requests are checked before they go on; a refusal names the failing path. Either `schema` (JSON Schema 2020-12 of the JSON
    body), or `openapi`, a whole OpenAPI 3.1 document whose operations describe parameters and bodies. Its paths are those that the
    upstream sees before `prefix` is put in front. No reference to another document is ever fetched."""

    schema: dict[str, Any] | None = None
    openapi: dict[str, Any] | None = None
    max_body_bytes: Annotated[int, Meta(ge=1, le=16 << 20)] = 1 << 20

    def __post_init__(self) -> None:
        if (self.schema is None) == (self.openapi is None):
            raise ValueError("give either `schema` or `openapi`")


class Mask(Part, frozen=True):
    """How a field's value is made unreadable (requirement 2.24): one of three forms, `*` in place of what is masked. `keep_first`
    and `keep_last` characters stay (a name's surname: `keep_first: 1`); or the `middle` or the `last` so many characters are
    masked (a mobile number: `middle: 4`); or `hide` drops the value (null). A value too short to keep anything is masked whole."""

    keep_first: Annotated[int, Meta(ge=0, le=64)] = 0
    keep_last: Annotated[int, Meta(ge=0, le=64)] = 0
    middle: Annotated[int, Meta(ge=0, le=64)] = 0
    last: Annotated[int, Meta(ge=0, le=64)] = 0
    hide: bool = False

    def __post_init__(self) -> None:
        if sum(map(bool, (self.keep_first or self.keep_last, self.middle, self.last, self.hide))) > 1:
            raise ValueError("a mask has one form: keep_first with keep_last, or middle, or last, or hide")


class Grant(Part, frozen=True):
    """What an app may do with one service or route beyond its scope: narrower operations and fields, masks on fields.

    `operations` are `get`, `query`, `changes`, `create`, `update`, `replace`, `delete` of a service, or HTTP methods of a route;
    empty means all of the scope's. `fields` empty means all. Dotted names reach into objects; lists are gone through. A field that
    is masked or not granted can be neither filtered by nor written.
    """

    operations: tuple[str, ...] = ()
    fields: tuple[FieldPath, ...] = ()
    masks: dict[FieldPath, Mask] = {}
    max_bytes: Annotated[int, Meta(ge=1, le=16 << 20)] = 4 << 20  # an answer that is longer can't be masked and is refused


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
