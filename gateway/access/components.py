"""What a request signature covers (RFC 9421 §2): component identifiers → their values in a request, and the signature base of both.

Lists of components are compiled once and kept by their text. Knows nothing of keys, time or nonces.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple
from urllib.parse import quote

from core.errors import Unauthenticated
from gateway.access.structured import InnerList, Item, Token, inner_list_items
from gateway.stage import Request

_KNOWN_COVERAGES = 512
_KNOWN_HOSTS = 256
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_FIELD_NAME = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")

Value = Callable[[Request], str]
"""A request → the component's value. Raises Unauthenticated (signature_incomplete) where the request has none."""


class Coverage(NamedTuple):
    """A compiled list of components: the begin of each line of the base with what follows it."""

    lines: tuple[tuple[str, Value], ...]
    lacks: str  # what every signature must cover and this one does not
    covers_query: bool
    covers_digest: bool

    def require(self, request: Request, *, has_body: bool) -> None:
        """The least that a signature must cover: method, authority, path, the query and the digest of the body where there is one.
        Raises Unauthenticated (signature_incomplete)."""
        lacks = self.lacks
        if not lacks and not self.covers_query and b"?" in request.target:
            lacks = "@query (or @target-uri, or @request-target)"
        if not lacks and has_body and not self.covers_digest:
            lacks = "content-digest, since there is a body"
        if lacks:
            raise Unauthenticated(f"the signature does not cover {lacks}", code="signature_incomplete")

    def base(self, request: Request, signed: InnerList) -> bytes:
        """The signature base (RFC 9421 §2.5)."""
        lines = [begin + value(request) for begin, value in self.lines]
        lines.append(f'"@signature-params": {signed.text}{signed.parameters_text}')
        text = "\n".join(lines)
        # A strict listener lets no line break into a field; a forged line must not hang on that alone (§7.5.3).
        if not text.isascii() or text.count("\n") != len(self.lines):
            raise Unauthenticated("a signed component is not plain ASCII on one line", code="signature_component_unsupported")
        return text.encode("ascii")


@lru_cache(maxsize=_KNOWN_COVERAGES)
def coverage(text: str) -> Coverage:
    """Compile an inner list's canonical text. Raises Unauthenticated: signature_component_unsupported or signature_malformed."""
    items = inner_list_items(text)
    lines = tuple((f"{_identifier(item)}: ", _value(item)) for item in items)
    if len({begin for begin, _ in lines}) != len(lines):
        raise Unauthenticated("the signature names a component twice (RFC 9421 §2)", code="signature_malformed")
    names = {str(item.value) for item in items}
    whole_target = not names.isdisjoint({"@target-uri", "@request-target"})
    needed = (
        ("@method", "@method" in names),
        ("@authority (or @target-uri)", not names.isdisjoint({"@authority", "@target-uri"})),
        ("@path (or @target-uri, or @request-target)", whole_target or "@path" in names),
    )
    lacks = next((name for name, is_covered in needed if not is_covered), "")
    return Coverage(lines, lacks, whole_target or "@query" in names, "content-digest" in names)


def authority(request: Request) -> str:
    """Host and port as RFC 9110 §4.2.3 normalises them: lower case, no default port."""
    return normal_host(request.host.decode("ascii", "replace"), request.scheme)


@lru_cache(maxsize=_KNOWN_HOSTS)
def normal_host(host: str, scheme: str) -> str:
    return host.lower().removesuffix(_DEFAULT_PORTS.get(scheme, ":"))


def _identifier(item: Item) -> str:
    if not isinstance(item.value, str) or isinstance(item.value, Token):
        raise Unauthenticated("a component of the signature must be a quoted text (RFC 9421 §2)", code="signature_malformed")
    name = item.parameters.get("name")
    return f'"{item.value}";name="{name}"' if isinstance(name, str) else f'"{item.value}"'


def _value(item: Item) -> Value:
    name, parameters = str(item.value), item.parameters
    if name == "@query-param":
        return partial(_query_parameter, _encoded_name(item))
    if parameters:
        raise _unsupported(item)
    if name.startswith("@"):
        if name not in _DERIVED:
            raise _unsupported(item)
        return _DERIVED[name]
    if not name or not _FIELD_NAME.issuperset(name):
        raise Unauthenticated(f"'{name}' is no field name in lower case (RFC 9421 §2.1)", code="signature_malformed")
    return partial(_field, name)


def _unsupported(item: Item) -> Unauthenticated:
    parameters = "".join(f";{name}" for name in item.parameters)
    return Unauthenticated(
        f"the signature covers '{item.value!s}{parameters}', which is not supported for requests here; sign plain fields and "
        f"{', '.join(_DERIVED)}, @query-param",
        code="signature_component_unsupported",
    )


def _encoded_name(item: Item) -> str:
    name = item.parameters.get("name")
    if not isinstance(name, str) or isinstance(name, Token) or len(item.parameters) != 1 or '"' in name or "\\" in name:
        raise Unauthenticated(
            "@query-param needs one parameter, name, percent-encoded (RFC 9421 §2.2.8)", code="signature_malformed"
        )
    return name


def _field(name: str, request: Request) -> str:
    value = request.headers.get(name)
    if value is None:
        raise Unauthenticated(
            f"the signature covers the field {name}, which the request does not have", code="signature_incomplete"
        )
    return value


def _query_parameter(name: str, request: Request) -> str:
    """RFC 9421 §2.2.8: decoded, then encoded again in one way; a parameter that comes twice can't be named."""
    values = [value for each, value in request.query if _form_encoded(each) == name]
    if len(values) != 1:
        raise Unauthenticated(
            f"the signature covers the query parameter {name}, which the request has {len(values)} times",
            code="signature_incomplete",
        )
    return _form_encoded(values[0])


def _form_encoded(text: str) -> str:
    return quote(text, safe="*-._").replace("~", "%7E")  # the application/x-www-form-urlencoded set of the URL standard


def _target(request: Request) -> str:
    return request.target.decode("ascii", "replace")


def _request_target(request: Request) -> str:
    """As it was sent where that was absolute-form (RFC 9421 §2.2.5)."""
    sent = request.line.partition(b" ")[2].partition(b" ")[0]
    return sent.decode("ascii", "replace") if b"://" in sent[:8] else _target(request)


_DERIVED: dict[str, Value] = {
    "@method": lambda request: request.verb.decode("ascii"),
    "@authority": authority,
    "@scheme": lambda request: request.scheme,
    "@target-uri": lambda request: f"{request.scheme}://{authority(request)}{_target(request)}",
    "@request-target": _request_target,
    "@path": lambda request: request.target.partition(b"?")[0].decode("ascii", "replace"),
    "@query": lambda request: "?" + request.target.partition(b"?")[2].decode("ascii", "replace"),
}
