"""The circuit breaker as a pure state machine: time is handed in, decisions come out (M. Nygard, Release It!, ch. 5).

`adapters/guarded.py` and the gateway's upstreams hold one per source; they alone do the calls.
"""

from dataclasses import dataclass
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call may not be made now: the breaker opened `for_s` seconds ago, its last failure said `cause`."""

    for_s: float
    retry_after_s: float
    cause: str


class Breaker:
    """Opens after `failures` failures in a row; after `open_s` seconds one trial call decides whether it closes again.

    Each `admit` that gave None is followed by `succeeded`, `failed` or `abandoned`; a stream may report each of its batches. All
    times are monotonic seconds. The result of a call that was admitted before the breaker opened changes nothing while it is open.
    """

    def __init__(self, *, failures: int, open_s: float) -> None:
        self._limit = failures
        self._open_s = open_s
        self._failures = 0
        self._opened_at: float | None = None
        self._trial_at: float | None = None
        self._cause = ""

    def state(self, now: float) -> BreakerState:
        if self._opened_at is None:
            return "closed"
        return "half_open" if self._trial_at is not None or now >= self._due(self._opened_at) else "open"

    def refusal(self, now: float) -> Refusal | None:
        """Why a call would be refused at `now`, without asking for it; in half-open state only one at a time may go."""
        if self._opened_at is None:
            return None
        due = self._due(self._opened_at)
        if now >= due and self._trial_at is None:
            return None
        return Refusal(for_s=now - self._opened_at, retry_after_s=max(due - now, 0.0), cause=self._cause)

    def admit(self, now: float) -> Refusal | None:
        """Ask for a call at `now`: None means go."""
        refusal = self.refusal(now)
        if refusal is None and self._opened_at is not None:
            self._trial_at = now
        return refusal

    def succeeded(self, admitted_at: float) -> None:
        """The call admitted at that moment worked, or failed for a reason that is the caller's own."""
        if self._opened_at is None or admitted_at == self._trial_at:
            self._failures, self._opened_at, self._trial_at = 0, None, None

    def failed(self, admitted_at: float, now: float, cause: str) -> None:
        """The call admitted at that moment failed at `now`; `cause` is shown to those who are refused."""
        if self._opened_at is not None:
            if admitted_at == self._trial_at:
                self._open(now, cause)
            return
        self._failures += 1
        if self._failures >= self._limit:
            self._open(now, cause)

    def abandoned(self, admitted_at: float) -> None:
        """The call was given up by its caller: it says nothing about the source; another trial may be made."""
        if admitted_at == self._trial_at:
            self._trial_at = None

    def _open(self, now: float, cause: str) -> None:
        self._opened_at, self._trial_at, self._cause = now, None, cause

    def _due(self, opened_at: float) -> float:
        return opened_at + self._open_s
