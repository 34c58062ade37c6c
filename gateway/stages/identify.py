"""Identify: where a request comes from, before anybody asks who sent it. Addresses of the platform's black and white lists
(requirement 0.37)."""

from collections.abc import Iterable, Mapping

from config.model import AccessList
from core.errors import Forbidden
from gateway.addresses import Networks
from gateway.stage import Outcome, Request, Stage


class Identify:
    """A caller on any `deny` list is refused; where `allow` lists of addresses exist, its address must be on one."""

    name = "identify"

    def __init__(self, lists: Mapping[str, AccessList]) -> None:
        self._denied = Networks(_addresses(lists.values(), "deny"))
        allowed = Networks(_addresses(lists.values(), "allow"))
        self._allowed = allowed or None

    @property
    def is_needed(self) -> bool:
        """Whether any list names addresses; without one the stage is left out of the pipes."""
        return bool(self._denied) or self._allowed is not None

    def on_request(self, request: Request) -> Outcome:
        remote = request.remote
        if remote in self._denied or (self._allowed is not None and remote not in self._allowed):
            raise Forbidden(f"no request is taken from {remote or 'a caller without an address'}", code="address_refused")
        return None


def _addresses(lists: Iterable[AccessList], action: str) -> Iterable[str]:
    return (address for each in lists if each.enabled and each.action == action for address in each.addresses)


def _conforms(stage: Identify) -> Stage:
    return stage
