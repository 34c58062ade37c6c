"""What a shared cache may keep and give, as RFC 9111 and RFC 5861 say. Pure: values in, decisions out, time handed in.

Neighbours: `response_cache` keeps what is decided here, `stages/cache` asks. Stricter than the RFCs where an answer may be
personal: nothing with Set-Cookie or `private` is kept, and what an identified caller got is shared only where the upstream says
`public` or `s-maxage`.
"""

from collections.abc import Iterable
from email.utils import parsedate_to_datetime

from msgspec import Struct

from config.policies import Cache as Policy

Pairs = list[tuple[str, str]]
_FOREVER_S = float(1 << 31)  # RFC 9111 §1.2.2
_REVALIDATES_S = 3600.0  # how long a stale answer with a validator is kept to be asked about
_BY_DEFAULT = frozenset({200, 203, 204, 300, 301, 308})
_IF_TOLD = _BY_DEFAULT | {302, 307, 404, 410}
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"})
# Date and Server are told anew with each answer; how old it is, Age says.
_OF_THE_TRANSFER = _HOP_BY_HOP | {
    "age",
    "content-length",
    "date",
    "proxy-authenticate",
    "proxy-authentication-info",
    "server",
    "x-cache",
}
_OF_304 = frozenset({"cache-control", "content-location", "etag", "expires", "last-modified", "vary"})
FAILURES = frozenset({500, 502, 503, 504})
"""The answers that stale-if-error covers (RFC 5861 §4)."""


class Wish(Struct, frozen=True):
    """A request's Cache-Control (RFC 9111 §5.2.1). `max_stale` is not offered: a cache need not."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age_s: float | None = None
    min_fresh_s: float = 0.0


NO_WISH = Wish()


class Stored(Struct, frozen=True):
    """An answer that is kept. Moments are monotonic seconds: `born` is when it had the age 0, from `stale_at` on it is stale, and
    until `error_until` and `while_until` it may be given all the same, when the upstream fails or while it is asked again."""

    status: int
    headers: Pairs
    body: bytes
    born: float
    stale_at: float
    error_until: float
    while_until: float
    kept_until: float
    etag: str
    modified: str
    vary: tuple[str, ...]

    def size(self) -> int:
        """Bytes in memory, about."""
        return len(self.body) + sum(len(name) + len(value) + 120 for name, value in self.headers)

    def is_usable(self, wish: Wish, now: float) -> bool:
        """Whether it may be given without asking (RFC 9111 §4)."""
        if wish.no_cache or (wish.max_age_s is not None and now - self.born > wish.max_age_s):
            return False
        return now + wish.min_fresh_s < self.stale_at


def directives(text: str) -> dict[str, str]:
    """`a, b=1, c="x, y"` by lower-case name; of a repeated one the first counts (RFC 9111 §4.2.1)."""
    found: dict[str, str] = {}
    for part in _outside_quotes(text):
        name, _, value = part.partition("=")
        if name := name.strip().lower():
            found.setdefault(name, value.strip().strip('"'))
    return found


def _outside_quotes(text: str) -> Iterable[str]:
    if '"' not in text:
        return text.split(",")
    parts, is_quoted = [""], False
    for character in text:
        is_quoted ^= character == '"'
        if character == "," and not is_quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def seconds(text: str | None) -> float | None:
    """Delta-seconds; 0 for what is none, so that it counts as stale (RFC 9111 §4.2.1); None where there is no such directive."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        return 0.0
    return _FOREVER_S if len(text) > 10 else min(float(text), _FOREVER_S)


def wish_of(cache_control: str) -> Wish:
    """What a request asks of caches. Pragma, which RFC 9111 §5.4 deprecates, is not looked at."""
    told = directives(cache_control)
    return Wish(
        no_cache="no-cache" in told,
        no_store="no-store" in told,
        only_if_cached="only-if-cached" in told,
        max_age_s=seconds(told.get("max-age")),
        min_fresh_s=seconds(told.get("min-fresh")) or 0.0,
    )


def joined(headers: Pairs) -> dict[str, str]:
    """The fields by lower-case name, repeated ones joined (RFC 9110 §5.3)."""
    found: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        found[lower] = f"{found[lower]}, {value}" if lower in found else value
    return found


def admit(
    policy: Policy, status: int, headers: Pairs, *, may_be_kept: bool, asked: float, now: float, wall: float
) -> Stored | None:
    """The answer as it would be kept, without its body; None where it must not be (RFC 9111 §3).

    `asked` and `now` are monotonic moments of the request and the answer, `wall` is seconds since 1970. `may_be_kept`: the answer
    belongs to nobody, or the copy is its caller's own; else only where the upstream says that it may be shared.
    """
    fields = joined(headers)
    told = directives(fields.get("cache-control", ""))
    if "no-store" in told or "private" in told or "set-cookie" in fields or status not in _IF_TOLD:
        return None
    if not may_be_kept and "public" not in told and "s-maxage" not in told:  # §3.5
        return None
    vary = tuple(sorted({name.strip().lower() for name in fields.get("vary", "").split(",")} - {""}))
    if "*" in vary:
        return None
    lifetime_s = _lifetime_s(policy, status, fields, told, wall)
    if lifetime_s is None:
        return None
    stored = _dated(policy, status, headers, fields, told, lifetime_s, asked=asked, now=now, wall=wall)
    return stored if stored.kept_until > now else None


def _lifetime_s(policy: Policy, status: int, fields: dict[str, str], told: dict[str, str], wall: float) -> float | None:
    """RFC 9111 §4.2.1; None where nothing is said of a status that is not kept by default."""
    for name in ("s-maxage", "max-age"):
        lifetime_s = seconds(told.get(name))
        if lifetime_s is not None:
            return lifetime_s
    if "expires" in fields:
        expires = moment(fields["expires"])
        return 0.0 if expires is None else max(0.0, expires - (moment(fields.get("date", "")) or wall))
    return policy.ttl_s if status in _BY_DEFAULT else None


def _dated(
    policy: Policy,
    status: int,
    headers: Pairs,
    fields: dict[str, str],
    told: dict[str, str],
    lifetime_s: float,
    *,
    asked: float,
    now: float,
    wall: float,
) -> Stored:
    date = moment(fields.get("date", ""))
    apparent_s = max(0.0, wall - date) if date is not None else 0.0
    age_s = max(apparent_s, (seconds(fields.get("age")) or 0.0) + max(0.0, now - asked))  # §4.2.3
    fresh_until = now - age_s + lifetime_s
    must_ask = "must-revalidate" in told or "proxy-revalidate" in told or "no-cache" in told
    error_s = _grace_s("stale-if-error", told, policy.stale_if_error_s, must_ask)
    while_s = _grace_s("stale-while-revalidate", told, policy.stale_while_revalidate_s, must_ask)
    etag, modified = fields.get("etag", ""), fields.get("last-modified", "")
    return Stored(
        status=status,
        headers=[pair for pair in headers if pair[0].lower() not in _dropped(fields)],
        body=b"",
        born=now - age_s,
        stale_at=float("-inf") if "no-cache" in told else fresh_until,
        error_until=fresh_until + error_s if error_s else 0.0,
        while_until=fresh_until + while_s if while_s else 0.0,
        kept_until=max(fresh_until + max(error_s, while_s), now + _REVALIDATES_S if etag or modified else 0.0),
        etag=etag,
        modified=modified,
        vary=tuple(sorted({name.strip().lower() for name in fields.get("vary", "").split(",")} - {""})),
    )


def _dropped(fields: dict[str, str]) -> frozenset[str]:
    """Fields of the connection, also those that Connection names (RFC 9110 §7.6.1)."""
    named = fields.get("connection")
    return _OF_THE_TRANSFER if not named else _OF_THE_TRANSFER | {name.strip().lower() for name in named.split(",")}


def _grace_s(name: str, told: dict[str, str], default_s: float, must_ask: bool) -> float:
    """The upstream's own word before the route's; none at all where it must be asked. `s-maxage` alone counts as proxy-revalidate
    (RFC 9111 §5.2.2.10)."""
    if must_ask:
        return 0.0
    own = seconds(told.get(name))
    if own is not None:
        return own
    return 0.0 if "s-maxage" in told else default_s


def moment(text: str) -> float | None:
    """An HTTP date as seconds since 1970; None for what is none."""
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def is_unchanged(stored: Stored, none_match: str, modified_since: str) -> bool:
    """Whether the client has what is stored (RFC 9110 §13.1.2, §13.1.3): If-None-Match first, compared weakly."""
    if none_match:
        if none_match.strip() == "*":
            return True
        mine = stored.etag.removeprefix("W/")
        return bool(mine) and any(each.strip().removeprefix("W/") == mine for each in _outside_quotes(none_match))
    since, changed = moment(modified_since), moment(stored.modified)
    return since is not None and changed is not None and changed <= since


def of_304(headers: Pairs) -> Pairs:
    """The fields that a 304 carries (RFC 9110 §15.4.5)."""
    return [pair for pair in headers if pair[0].lower() in _OF_304]


def freshened(stored: Stored, headers: Pairs) -> Pairs:
    """The stored fields as a 304 updates them (RFC 9111 §3.2)."""
    kept = {name.lower() for name, _ in headers} - _OF_THE_TRANSFER - {"content-encoding", "content-type", "content-range"}
    news = [pair for pair in headers if pair[0].lower() in kept]
    return [pair for pair in stored.headers if pair[0].lower() not in kept] + news
