"""Whether a failed attempt may be made again: only where it is safe, and within a budget, so that retries never make an outage.

Pure: time is handed in. The engine adds what it alone knows: whether the body can still be sent.
"""

import math

from config.upstreams import Retries
from gateway.stage import Request

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""RFC 9110 §9.2.2."""
WINDOW_S = 10.0


def is_repeatable(request: Request) -> bool:
    """Whether doing it twice is like doing it once: an idempotent method, or an Idempotency-Key
    (draft-ietf-httpapi-idempotency-key-header)."""
    return request.verb in IDEMPOTENT or "idempotency-key" in request.headers


def is_safe(request: Request, failure: str, retries: Retries) -> bool:
    """Whether this failure may be tried again at all. `connect`: nothing was sent, so anything may. An upgrade is never repeated
    once it was sent."""
    if failure == "connect":
        return True
    if request.upgrade or not is_repeatable(request):
        return False
    if failure.startswith("status:"):
        return int(failure[7:]) in retries.statuses
    return failure in ("closed", "reset", "timeout")


class Budget:
    """At most `share` of the requests of the last ten seconds, plus a floor, may be retries. Both counts fade (e^-t/10) instead of
    being kept by the second; a request costs its caller one addition to `requests`."""

    def __init__(self, share: float, floor_per_s: float, now: float) -> None:
        self.share = share
        self.floor = floor_per_s * WINDOW_S
        self.requests = 0
        self._seen = 0.0
        self._taken = 0.0
        self._at = now

    def take(self, now: float) -> bool:
        """One retry, if there is one left."""
        elapsed = max(now - self._at, 0.0) / WINDOW_S
        kept = math.exp(-elapsed)
        # What came since the last look came evenly: it has faded by the mean of e^-t over that time.
        self._seen = self._seen * kept + self.requests * ((1 - kept) / elapsed if elapsed > 1e-9 else 1.0)
        self._taken *= kept
        self.requests, self._at = 0, now
        if self._taken + 1 > self.share * self._seen + self.floor:
            return False
        self._taken += 1
        return True
