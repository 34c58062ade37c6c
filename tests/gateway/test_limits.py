"""What is declared → what is charged, and the words for it."""

from typing import Any

import pytest

from config.model import App
from config.policies import Limit
from core.cache import Answer
from gateway.identity import Identity
from gateway.limits import Bill, Counted, counted
from gateway.stage import Request
from tests.gateway.desk import request_of

SHOP, TILL = App(plan="gold"), App(plan="gold")


def _request(remote: str = "10.0.0.1", **identity: Any) -> Request:
    request = request_of("GET", "/", remote=remote)
    request.identity = Identity(**{"app": "shop", "key": "k", **identity})
    return request


def _limit(*per: Any) -> Counted:
    return counted("orders", [Limit(per=per, per_s=1.0, burst=1)])[0]


def _key(limit: Counted, request: Request, app: App = SHOP) -> str:
    return limit.key_of(request.identity.app, app, request)


@pytest.mark.parametrize(
    ("per", "same", "other"),
    [
        (("app",), {"remote": "10.0.0.2"}, {"app": "till"}),
        (("plan",), {"app": "till"}, None),
        (("address",), {"app": "till"}, {"remote": "10.0.0.2"}),
        (("route",), {"app": "till", "remote": "10.0.0.2"}, None),
        (("device",), {"user": "alice"}, {"device": "kiosk"}),
        (("user",), {"device": "kiosk"}, {"user": "alice"}),
        (("app", "address"), {"user": "alice"}, {"app": "till"}),
        (("user", "app"), {"remote": "10.0.0.2"}, {"app": "till"}),
        (("user", "device"), {"app": "till"}, {"user": "alice"}),
    ],
)
def test_each_combination_is_counted_apart(per: tuple[Any, ...], same: dict[str, Any], other: dict[str, Any] | None) -> None:
    limit = _limit(*per)
    assert _key(limit, _request()) == _key(limit, _request(**same))
    if other is not None:
        assert _key(limit, _request()) != _key(limit, _request(**other))


def test_apps_of_different_plans_and_different_routes_share_nothing() -> None:
    limit = _limit("plan")
    assert _key(limit, _request()) != _key(limit, _request(), App(plan="tiny"))
    both = [counted(target, [Limit(per=("app",), per_day=1)])[0] for target in ("orders", "visits")]
    assert len({_key(limit, _request()) for limit in both}) == 2


def test_no_user_can_take_anothers_place_by_its_name() -> None:
    limit = _limit("address", "device", "user")
    names = ["", "|", "a", "a|b", "|a", "x" * 128, "x" * 129, "x" * 130]
    keys = {_key(limit, _request(device=device, user=user)) for device in ("", "kiosk") for user in names}
    assert len(keys) == 2 * len(names)
    assert max(len(key) for key in keys) < 300


def test_the_header_fields_of_all_amounts() -> None:
    """draft-ietf-httpapi-ratelimit-headers-09 §3 and §4."""
    limit = Limit(per=("app",), per_s=2.0, burst=10, concurrent=3, per_day=100, per_month=1_000)
    (each,) = counted("orders", [limit])
    bill = Bill.of([("key", each.amounts)])
    assert bill.policy.decode() == (
        'RateLimit-Policy: "orders-1";q=10;w=5, "orders-1-day";q=100;w=86400, "orders-1-month";q=1000, '
        '"orders-1-concurrent";q=3;qu="concurrent-requests"\r\n'
    )
    answer = Answer(-1, 0.0, ((9, 0.5), (99, 3_600.0), (999, 86_400.2), (2, 0.0)))
    told = '"orders-1";r=9;t=1, "orders-1-day";r=99;t=3600, "orders-1-month";r=999;t=86401, "orders-1-concurrent";r=2;t=0'
    assert bill.told(answer) == bill.policy + f"RateLimit: {told}\r\n".encode()
    assert [key for key, _ in bill.charges] == ["key", "key|day", "key|month", "key|concurrent"]
    codes = [amount.refusal(1.0).specific_code for amount in bill.amounts]
    assert codes == ["rate_limited", "quota_used_up", "quota_used_up", "too_many_under_way"]
