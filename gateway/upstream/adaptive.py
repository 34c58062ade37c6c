"""How many requests an upstream can bear at once, found out from its latency (Netflix concurrency-limits: Gradient2, with AIMD's
answer to failures). Pure: it is told of each request, and asks no clock.

Little's law: what an upstream has under way beyond throughput x latency waits in a queue of its own, which shows as latency.
"""

from config.upstreams import Adaptive

_TOLERANCE = 1.5  # latency may rise by half before it counts as a queue
_SMOOTHING = 0.2
_LONG_RUN = 600  # windows
_WARM_UP = 10  # windows, averaged plainly
_SMALLEST_WINDOW = 10  # samples
_BACK_OFF = 0.9  # after a window with too many failures (AIMD)
_BORNE = 0.1  # share of failures in a window that says nothing yet: one slow answer is no overload
_RECOVERY = 0.95  # of the long run, each window in which latency is less than half of it


class AdaptiveLimit:
    """`limit` is worked out anew once in each window of about as many samples as it allows at once: one round trip of them all."""

    def __init__(self, settings: Adaptive) -> None:
        self._min = settings.min_limit
        self._max = max(settings.max_limit, settings.min_limit)
        self._estimate = float(min(max(settings.initial, self._min), self._max))
        self._long_s = 0.0
        self._windows = 0
        self._sum_s = 0.0
        self._samples = 0
        self._most_in_flight = 0
        self._failures = 0
        self.limit = int(self._estimate)

    def admit(self, in_flight: int) -> bool:
        """Whether one more may go while `in_flight` are under way."""
        return in_flight < self.limit

    def sample(self, latency_s: float, in_flight: int, ok: bool) -> None:
        """A request has ended; `in_flight` were under way with it. `ok` False: a timeout or an answer that says overload, whose
        latency tells nothing."""
        if ok:
            self._sum_s += latency_s
            self._samples += 1
        else:
            self._failures += 1
        if in_flight > self._most_in_flight:
            self._most_in_flight = in_flight
        if self._samples + self._failures >= max(_SMALLEST_WINDOW, self.limit):
            self._turn()

    def _turn(self) -> None:
        if self._failures > (self._samples + self._failures) * _BORNE:
            self._estimate *= _BACK_OFF
        elif self._samples:
            self._follow(self._sum_s / self._samples)
        self._estimate = min(max(self._estimate, float(self._min)), float(self._max))
        self.limit = int(self._estimate)
        self._sum_s, self._samples, self._most_in_flight, self._failures = 0.0, 0, 0, 0

    def _follow(self, short_s: float) -> None:
        """Gradient2: shrink by the ratio of the long-run latency to the present one, never below half; grow by a small queue."""
        self._learn(short_s)
        if self._most_in_flight < self._estimate / 2:
            return  # the callers are the limit: nothing was learnt about the upstream's
        gradient = max(0.5, min(1.0, _TOLERANCE * self._long_s / short_s)) if short_s > 0 else 1.0
        queue = max(1.0, self._estimate**0.5 / 2)
        aimed_at = self._estimate * gradient + queue
        self._estimate += (aimed_at - self._estimate) * _SMOOTHING

    def _learn(self, short_s: float) -> None:
        self._windows += 1
        if self._windows <= _WARM_UP:
            self._long_s += (short_s - self._long_s) / self._windows
        else:
            self._long_s += (short_s - self._long_s) * 2 / (_LONG_RUN + 1)
        if self._long_s > 2 * short_s:
            self._long_s *= _RECOVERY
