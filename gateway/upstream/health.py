"""Which endpoints are usable: what real requests (passive) and probes (active) tell of each. Time is handed in.

A probe's word is believed: an endpoint that is down gets nothing, even if all are. An ejection after failures is a guess: it ends
by itself, and where only ejected endpoints are left they are used all the same.
"""

from collections.abc import Sequence

from config.upstreams import ActiveHealth, PassiveHealth
from gateway.upstream.endpoints import EndpointState

MAX_GROWTH = 10
"""An ejection lasts at most so many times `eject_s`."""


class Health:
    """Of one upstream. `passive` and `active` are None where switched off."""

    def __init__(self, passive: PassiveHealth | None, active: ActiveHealth | None) -> None:
        self.passive = passive
        self.active = active

    def succeeded(self, endpoint: EndpointState) -> None:
        """A real request was answered."""
        endpoint.failures = 0
        if not endpoint.is_ejected:
            endpoint.ejections = 0

    def failed(self, endpoint: EndpointState, among: Sequence[EndpointState], now: float) -> bool:
        """A real request failed; True: the endpoint has just been ejected. After an ejection one failure is enough for the next,
        longer one, until a request has succeeded."""
        rule = self.passive
        if rule is None or endpoint.is_ejected:
            return False
        endpoint.failures += 1
        if endpoint.failures < rule.failures and not endpoint.ejections:
            return False
        ejected = sum(each.is_ejected for each in among)
        if ejected + 1 > rule.max_ejected * len(among):
            return False
        endpoint.is_ejected = True
        endpoint.failures = 0
        endpoint.ejections = min(endpoint.ejections + 1, MAX_GROWTH)
        endpoint.ejected_until = now + rule.eject_s * endpoint.ejections
        return True

    def returned(self, among: Sequence[EndpointState], now: float) -> None:
        """End the ejections that have lasted long enough."""
        for endpoint in among:
            if endpoint.is_ejected and now >= endpoint.ejected_until:
                endpoint.is_ejected = False

    def probed(self, endpoint: EndpointState, status: int | None) -> bool:
        """A probe was answered with that status, or not at all (None); True: the endpoint has just gone down or come back."""
        rule = self.active
        if rule is None:
            return False
        is_good = status is not None and status in rule.statuses
        if is_good != endpoint.is_down:  # as it was known
            endpoint.probe_streak = 0
            return False
        endpoint.probe_streak += 1
        if endpoint.probe_streak < (rule.healthy if is_good else rule.unhealthy):
            return False
        endpoint.probe_streak = 0
        endpoint.is_down = not is_good
        return True


def usable(endpoints: Sequence[EndpointState]) -> list[EndpointState]:
    """Those that may be asked, with weight (0 drains one): up and not ejected, or else up though ejected, or else none."""
    up = [each for each in endpoints if each.weight and not each.is_down]
    return [each for each in up if not each.is_ejected] or up
