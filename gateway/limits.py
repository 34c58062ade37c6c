"""Limits as they are declared → what is charged for a request, and the words for it. Compiled once with the snapshot.

`gateway/stages/limit.py` uses them; the counting is a core.cache.Limiter's.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b

from msgspec import Struct

from cache.gcra import ROUNDING, count_bound, rate_bound
from config.model import App, Plan, Platform
from config.policies import Dimension, Limit
from core.cache import Answer, Bound, Charge, Limiter, Pending, Rate
from core.errors import Limited
from gateway.http1.message import Request, header_line

# In this order in keys. Only a user's name may hold any character: it stands last, so that no two combinations share a key.
_ORDER: tuple[Dimension, ...] = ("route", "app", "plan", "device", "address", "user")
_LONGEST_NAME = 128
ROUND_UP = 1 - 1e-6  # seconds are told whole


class Amount(Struct, frozen=True):
    """One bound with its words. `policy` is its item of RateLimit-Policy and `label` the name that its item of RateLimit begins
    with (draft-ietf-httpapi-ratelimit-headers-09 §3, §4)."""

    suffix: str
    bound: Bound
    policy: str
    label: str
    sentence: str

    def refusal(self, retry_after_s: float) -> Limited:
        if self.bound.kind == "rate":
            return Limited(self.sentence, retry_after_s=retry_after_s, code="rate_limited")
        if self.bound.kind == "concurrent":
            return Limited(self.sentence, retry_after_s=retry_after_s, code="too_many_under_way")
        return Limited(self.sentence, retry_after_s=retry_after_s, code="quota_used_up")


class Bill:
    """What a request is charged: `charges` and `amounts` in the same order, and the constant header line. The rest is of the one
    amount where there is one alone; an interval above 0 says that it is a rate."""

    __slots__ = (
        "_last",
        "_last_left",
        "_last_reset_s",
        "amounts",
        "charges",
        "interval_s",
        "key",
        "label",
        "policy",
        "tolerance_s",
    )

    def __init__(self, charges: tuple[Charge, ...], amounts: tuple[Amount, ...]) -> None:
        self.charges = charges
        self.amounts = amounts
        self.policy = header_line("RateLimit-Policy", ", ".join(amount.policy for amount in amounts))
        self.label, self.key, self.interval_s, self.tolerance_s = "", "", 0.0, 0.0
        if len(amounts) == 1:
            bound = amounts[0].bound
            self.label, self.key = amounts[0].label, charges[0][0]
            self.interval_s, self.tolerance_s = bound.interval_s, bound.tolerance_s
        self._last, self._last_left, self._last_reset_s = b"", -1, -1

    @staticmethod
    def of(parts: Sequence[tuple[str, tuple[Amount, ...]]]) -> "Bill":
        """From keys and the amounts that are counted under them."""
        return Bill((), ()).plus(parts)

    def plus(self, parts: Sequence[tuple[str, tuple[Amount, ...]]]) -> "Bill":
        """The same with more."""
        charges = self.charges + tuple([(key + amount.suffix, amount.bound) for key, amounts in parts for amount in amounts])
        return Bill(charges, self.amounts + tuple([amount for _, more in parts for amount in more]))

    def told(self, answer: Answer) -> bytes:
        """Both lines: what is left of each amount, and the whole seconds until all of it is free."""
        items = [
            f"{amount.label}{left};t={int(reset_s + ROUND_UP)}"
            for amount, (left, reset_s) in zip(self.amounts, answer.left, strict=True)
        ]
        return self.policy + header_line("RateLimit", ", ".join(items))

    def told_alone(self, ahead_s: float) -> bytes:
        """The same for the one rate, whose bucket is full in so many seconds. Two requests in a row often get the same."""
        left = int((self.tolerance_s - ahead_s) / self.interval_s + ROUNDING)
        reset_s = int(ahead_s + ROUND_UP)
        if left != self._last_left or reset_s != self._last_reset_s:
            self._last = self.policy + f"RateLimit: {self.label}{left};t={reset_s}\r\n".encode()
            self._last_left, self._last_reset_s = left, reset_s
        return self._last


class Counted(Struct, frozen=True):
    """A declared limit of a route or service, ready to be charged."""

    key: str
    fixed: tuple[Callable[[str, App | None], str], ...]
    varying: tuple[Callable[[Request], str], ...]
    amounts: tuple[Amount, ...]

    def key_of(self, name: str, app: App | None, request: Request | None) -> str:
        """`app` is None, and `name` empty, for callers that need not say who they are: they share one count."""
        parts = [self.key, *(part(name, app) for part in self.fixed)]
        if request is not None:
            parts += (part(request) for part in self.varying)
        return "|".join(parts)


def plan_amounts(name: str, plan: Plan) -> tuple[Amount, ...]:
    """All bounds of a plan."""
    return tuple(_amounts(name, f"plan {name}", plan))


def plan_key(app: str) -> str:
    return f"a|{app}"


def counted(target: str, limits: Sequence[Limit]) -> tuple[Counted, ...]:
    """The limits of one route or service, which count its own requests alone."""
    found: list[Counted] = []
    for number, limit in enumerate(limits, 1):
        per = tuple(each for each in _ORDER if each in limit.per)
        label = f"{target}-{number}"
        what = f"{target}, counted for each {' and '.join(each for each in per)}," if per else target
        found.append(
            Counted(
                f"l|{target}|{'-'.join(per)}|{number}",
                tuple(_FIXED[each] for each in per if each in _FIXED),
                tuple(_VARYING[each] for each in per if each in _VARYING),
                tuple(_amounts(label, what, limit)),
            )
        )
    return tuple(found)


def holds_places(platform: Platform, limits: Sequence[Limit]) -> bool:
    """Whether any request can hold a place that has to be given back."""
    return any(limit.concurrent for limit in limits) or any(plan.concurrent for plan in platform.plans.values())


def _amounts(label: str, what: str, of: Plan | Limit) -> Iterator[Amount]:
    if of.per_s is not None:
        burst = of.burst or 1
        window_s = max(1, round(burst / of.per_s))
        sentence = f"{what} allows {of.per_s:g} requests a second, {burst} at once"
        bound = rate_bound(Rate(of.per_s, burst))
        yield Amount("", bound, f'"{label}";q={burst};w={window_s}', f'"{label}";r=', sentence)
    for kind, count in (("day", of.per_day), ("month", of.per_month)):
        if count is not None:
            window = ";w=86400" if kind == "day" else ""  # months differ
            text = f"{what} allows {count} requests a {kind} (UTC)"
            policy = f'"{label}-{kind}";q={count}{window}'
            yield Amount(f"|{kind}", count_bound(kind, count), policy, f'"{label}-{kind}";r=', text)
    if of.concurrent is not None:
        name = f"{label}-concurrent"
        policy = f'"{name}";q={of.concurrent};qu="concurrent-requests"'
        text = f"{what} allows {of.concurrent} requests under way at once"
        yield Amount("|concurrent", count_bound("concurrent", of.concurrent), policy, f'"{name}";r=', text)


async def paced(limiter: Limiter, key: str, bound: Bound, sentence: str) -> None:
    """Charge one request of an endpoint of the platform. Raises Limited with `sentence` where it comes too often."""

    def refuse(answer: Answer) -> None:
        if answer.refused >= 0:
            raise Limited(sentence, retry_after_s=answer.retry_after_s, code="rate_limited")

    answer = limiter.decide(((key, bound),))
    if isinstance(answer, Pending):
        answer.then = refuse
        await answer.future
    else:
        refuse(answer)


def _device(request: Request) -> str:
    return str(request.identity.device) if request.identity is not None else ""


def _user(request: Request) -> str:
    """A long name is kept by its digest: a third party chooses it."""
    user = str(request.identity.user) if request.identity is not None else ""
    return user if len(user) <= _LONGEST_NAME else blake2b(user.encode("utf-8", "replace"), digest_size=20).hexdigest()


_FIXED: dict[Dimension, Callable[[str, App | None], str]] = {
    "app": lambda name, _: name,
    "plan": lambda _, app: app.plan if app is not None else "",
}
_VARYING: dict[Dimension, Callable[[Request], str]] = {
    "device": _device,
    "address": lambda request: request.remote,
    "user": _user,
}
