"""Limit: the plan of the app and the limits of the route, decided together and told in RateLimit fields
(draft-ietf-httpapi-ratelimit-headers). A request that any of them refuses is charged to none."""

from collections.abc import Sequence
from functools import partial

from cache.limiter_memory import MemoryLimiter
from config.model import App, Platform
from config.policies import Limit as Declared
from core.cache import Answer, Held, Limiter, Pending
from core.errors import Unauthenticated
from gateway.http1.message import Request
from gateway.limits import Amount, Bill, counted, holds_places, plan_amounts, plan_key
from gateway.stage import EndStage, Outcome, Stage

_HELD, _PENDING = "limit.held", "limit.pending"
_MEMO_ENTRIES = 4096


def limit_stage(
    platform: Platform, target: str, limits: Sequence[Declared], limiter: Limiter, *, anonymous: bool = False
) -> "Limit | HoldingLimit":
    """The stage for one route or service; the one that hears of each request's end only where places under way are counted."""
    kind = HoldingLimit if holds_places(platform, limits) else Limit
    return kind(platform, target, limits, limiter, anonymous=anonymous)


class Limit:
    """What an app is charged is known when the snapshot is loaded, save for limits per device, address or user."""

    name = "limit"

    def __init__(
        self, platform: Platform, target: str, limits: Sequence[Declared], limiter: Limiter, *, anonymous: bool = False
    ) -> None:
        all_limits = counted(target, limits)
        self._fixed = tuple(each for each in all_limits if not each.varying)
        self._varying = tuple(each for each in all_limits if each.varying)
        plans = {name: plan_amounts(name, plan) for name, plan in platform.plans.items()}
        self._bills = {name: self._bill(name, app, plans.get(app.plan, ())) for name, app in platform.apps.items()}
        if anonymous:
            self._bills[""] = self._bill("", None, ())
        self._values = tuple({value: None for each in self._varying for value in each.varying})
        self._memo: dict[tuple[str, ...], Bill] = {}
        self._decide = limiter.decide
        self._memory = limiter if isinstance(limiter, MemoryLimiter) else None

    def _bill(self, name: str, app: App | None, plan: tuple[Amount, ...]) -> Bill:
        return Bill.of([(plan_key(name), plan), *((each.key_of(name, app, None), each.amounts) for each in self._fixed)])

    def on_request(self, request: Request) -> Outcome:
        identity = request.identity
        bill = self._bills.get(identity.app if identity is not None else "")
        if bill is None:
            raise Unauthenticated("this request needs a token of an app that exists", code="token_missing")
        if self._varying:
            bill = self._with_varying(bill, request)
        memory = self._memory
        if memory is not None and bill.interval_s:
            ahead_s = memory.spend(bill.key, bill.interval_s, bill.tolerance_s)
            if ahead_s >= 0:
                request.tell_line(bill.told_alone(ahead_s))
                return None
        if not bill.charges:
            return None
        answer = self._decide(bill.charges)
        if answer.__class__ is Answer:  # at a third of what isinstance costs
            _tell(bill, request, answer)
            return None
        return self._wait(request, bill, answer)  # type: ignore[arg-type]

    def _with_varying(self, bill: Bill, request: Request) -> Bill:
        """The bill with what only the request can tell. Memoised: who calls once calls again."""
        identity = request.identity
        name = identity.app if identity is not None else ""
        key = (name, *[value(request) for value in self._values])
        known = self._memo.get(key)
        if known is None:
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            more = [(each.key_of(name, request.app, request), each.amounts) for each in self._varying]
            known = self._memo[key] = bill.plus(more)
        return known

    def _wait(self, request: Request, bill: Bill, pending: Pending) -> Outcome:
        pending.then = partial(_tell, bill, request)
        return pending.future


class HoldingLimit(Limit):
    """Gives back the places that a request held, once, however it ended."""

    def _wait(self, request: Request, bill: Bill, pending: Pending) -> Outcome:
        request.attributes[_PENDING] = pending
        return super()._wait(request, bill, pending)

    def on_end(self, request: Request) -> None:
        attributes = request.attributes
        pending = attributes.pop(_PENDING, None)
        held = attributes.pop(_HELD, None)
        if held is not None:
            held.owner.give_back(held)
        elif pending is not None and (not pending.future.done() or pending.future.cancelled()):
            pending.then = _give_back  # its client has gone before the answer came


def _tell(bill: Bill, request: Request, answer: Answer) -> None:
    """Raises Limited where there was no place."""
    request.tell_line(bill.told(answer))
    if answer.refused >= 0:
        raise bill.amounts[answer.refused].refusal(answer.retry_after_s)
    if answer.held is not None:
        request.attributes[_HELD] = answer.held


def _give_back(answer: Answer) -> None:
    held: Held | None = answer.held
    if held is not None:
        held.owner.give_back(held)


def _conforms(stage: Limit, holding: HoldingLimit) -> tuple[Stage, EndStage]:
    return stage, holding
