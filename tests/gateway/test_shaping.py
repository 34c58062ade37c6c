"""Which stages follow from policies, in which order, and that a mistake names the route and the place."""

from typing import Any

import msgspec
import pytest

from config.model import Platform
from core.errors import ConfigError
from core.schema import Dataset
from gateway.shaping import Shaping, route_fields, route_shaping, service_fields, service_shaping
from gateway.stage import Outcome, Request, Stage
from gateway.stages.fields import Operation
from gateway.views import views_of

ALL = {
    "cors": {"origins": ["https://shop.example"]},
    "compress": {},
    "check": {"schema": {"type": "object"}},
    "transform": {"answer_headers": {"remove": ["Server"]}},
    "stages": [{"use": "examples.stage_example"}],
}


def platform(**policies: Any) -> Platform:
    declared = {
        "services": {"customers": {"kind": "realtime", "policies": policies, "writable": ["name"]}},
        "routes": {"shop": {"match": {"path": "/shop/{rest...}"}, "upstream": "up", "strip": 1, "policies": policies}},
        "apps": {
            "clerk": {"plan": "p", "grants": {"shop": {"fields": ["id"]}, "customers": {"masks": {"name": {}}}}},
            "reader": {"plan": "p", "grants": {"visits": {"operations": ["get"]}}},
        },
    }
    return msgspec.convert(declared, Platform)


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def on_request(self, request: Request) -> Outcome:
        return None


ACCESS: list[Stage] = [Named("authenticate"), Named("authorise"), Named("limit")]


def names(shaping: Shaping, fields: list[Stage]) -> list[str]:
    return [stage.name for stage in shaping.stages(ACCESS, fields, [Named("cache")])]


def test_the_order_of_all_stages() -> None:
    declared = platform(**ALL)
    views = views_of(declared)
    expected = [
        "cors", "compress", "authenticate", "authorise", "limit", "order-desk", "fields", "validate", "cache", "transform",
    ]  # fmt: skip
    assert names(route_shaping("shop", declared.routes["shop"]), route_fields(views.get("shop"))) == expected
    shaping = service_shaping("customers", declared.services["customers"])
    dataset = Dataset(object="c", key=("id",), fields={"id": "text"})
    operations: tuple[Operation, ...] = ("get", "query", "update")
    for operation in operations:
        assert names(shaping, service_fields(views["customers"], declared.services["customers"], dataset, operation)) == expected


def test_what_is_switched_off_is_absent() -> None:
    declared = platform()
    assert names(route_shaping("shop", declared.routes["shop"]), []) == ["authenticate", "authorise", "limit", "cache"]
    assert route_fields(views_of(declared).get("visits")) == []


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ({"check": {"schema": {"type": "nonsense"}}}, "route shop.policies.check.schema: the schema can't be used"),
        ({"transform": {"path": "/{nope}"}}, "route shop.policies.transform.path: unknown variable {nope}"),
        ({"stages": [{"use": "no_such_module"}]}, "route shop: stage no_such_module: can't be imported"),
    ],
)
def test_a_mistake_refuses_the_snapshot_and_is_named(policies: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        route_shaping("shop", platform(**policies).routes["shop"])
    assert caught.value.detail.startswith(message)


def test_a_service_has_no_upstream_to_transform_for() -> None:
    with pytest.raises(ConfigError, match=r"service customers\.policies\.transform\.path"):
        service_shaping("customers", platform(transform={"path": "/x"}).services["customers"])
