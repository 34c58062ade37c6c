"""How many requests an upstream can bear at once, found out from its latency (Netflix concurrency-limits: the gradient limits, with
AIMD's answer to failures). Pure: it is told of each request, and asks no clock.

Little's law: what an upstream has under way beyond throughput x latency waits in a queue of its own, which shows as latency.
"""

from config.upstreams import Adaptive

_TOLERANCE = 1.5  # latency may rise by half before it counts as a queue
_SMOOTHING = 0.2
_SMALLEST_WINDOW = 10  # samples
_BACK_OFF = 0.9  # after a window with too many failures (AIMD)
_BORNE = 0.1  # share of failures in a window that says nothing yet: one slow answer is no overload
_FALL = 0.1  # how fast the latency without a queue follows a lower one, each window; a higher one is believed of a probe alone
_PROBE_EVERY = 200  # windows under load


class AdaptiveLimit:
    """`limit` is worked out anew once in each window of about as many samples as it allows at once: one round trip of them all.

    Under steady load a queue would slowly pass for the normal state. So now and then half the limit holds for two windows: the
    first lets the queue drain, the latency of the second is that without one.
    """

    def __init__(self, settings: Adaptive) -> None:
        self._min = settings.min_limit
        self._max = max(settings.max_limit, settings.min_limit)
        self._estimate = float(min(max(settings.initial, self._min), self._max))
        self._free_s = 0.0
        self._until_probe = _PROBE_EVERY
        self._probing = 0  # windows of it that are left
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
            self._probing = 0
        elif self._samples:
            self._follow(self._sum_s / self._samples)
        self._estimate = min(max(self._estimate, float(self._min)), float(self._max))
        self.limit = max(self._min, int(self._estimate / 2)) if self._probing else int(self._estimate)
        self._sum_s, self._samples, self._most_in_flight, self._failures = 0.0, 0, 0, 0

    def _follow(self, short_s: float) -> None:
        if self._probing:
            self._probing -= 1
            if not self._probing:
                self._free_s = short_s
            return
        if short_s < self._free_s:
            self._free_s += (short_s - self._free_s) * _FALL
        self._free_s = self._free_s or short_s
        if self._most_in_flight < self._estimate / 2:
            return  # the callers are the limit: nothing was learnt about the upstream's
        self._step(short_s)
        self._until_probe -= 1
        if not self._until_probe:
            self._until_probe, self._probing = _PROBE_EVERY, 2

    def _step(self, short_s: float) -> None:
        """Shrink by the ratio of the latency without a queue to the present one, never below half; grow by a small queue."""
        gradient = max(0.5, min(1.0, _TOLERANCE * self._free_s / short_s)) if short_s > 0 else 1.0
        aimed_at = self._estimate * gradient + max(1.0, self._estimate**0.5 / 2)
        self._estimate += (aimed_at - self._estimate) * _SMOOTHING
