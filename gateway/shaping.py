"""The transforming stages of one route or service, made once from its policies, and the order in which all stages stand.

`gateway/pipeline.py` brings the others: who is calling, whether and how often it may, the cache.
"""

from collections.abc import Mapping, Sequence

from config.model import Service
from config.policies import Policies
from config.upstreams import Route
from core.schema import Dataset
from gateway.own_stages import load_own_stages, with_own_stages
from gateway.stage import Stage
from gateway.stages import validate
from gateway.stages.compress import Compress
from gateway.stages.cors import Cors
from gateway.stages.fields import Fields, Operation
from gateway.stages.transform import Transform
from gateway.views import View


class Shaping:
    """What follows from the policies alone. `where` (`route shop`) is how errors begin. Raises ConfigError."""

    def __init__(self, policies: Policies, where: str, *, strip: int = 0, prefix: str = "", is_service: bool = False) -> None:
        at = f"{where}.policies"
        self._first: list[Stage] = []
        if policies.cors is not None:
            self._first.append(Cors(policies.cors))
        if policies.compress is not None:
            self._first.append(Compress(policies.compress))
        self._checks = [validate.make(policies.check, f"{at}.check", strip=strip)] if policies.check is not None else []
        self._last: list[Stage] = []
        if policies.transform is not None:
            transform = Transform(policies.transform, f"{at}.transform", strip=strip, prefix=prefix, is_service=is_service)
            self._last.append(transform)
        self._own = load_own_stages(policies.stages, where)

    def stages(self, access: Sequence[Stage], fields: Sequence[Stage], cache: Sequence[Stage] = ()) -> tuple[Stage, ...]:
        """All stages of a pipe in their order. `access`: authenticate, authorise, limit; `fields` as `route_fields` and
        `service_fields` make them."""
        return tuple(with_own_stages([*self._first, *access, *fields, *self._checks, *cache, *self._last], self._own))


def route_shaping(name: str, route: Route) -> Shaping:
    return Shaping(route.policies, f"route {name}", strip=route.strip, prefix=route.prefix)


def service_shaping(name: str, service: Service) -> Shaping:
    return Shaping(service.policies, f"service {name}", is_service=True)


def route_fields(views: Mapping[str, View] | None) -> list[Stage]:
    """The stage, where the grant of any app narrows the route's fields; `views_of` made them."""
    return [Fields(views, "route")] if views else []


def service_fields(
    views: Mapping[str, View] | None, service: Service, dataset: Dataset | None, operation: Operation
) -> list[Stage]:
    """The same for one operation of a service."""
    key = dataset.key if dataset is not None else ()
    return [Fields(views, operation, key=key, writable=service.writable)] if views else []
