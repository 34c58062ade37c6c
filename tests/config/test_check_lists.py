"""Lists that name nobody or somebody unknown, and grants that can't mean what they say."""

import pytest

from config.check_lists import grant_problems, list_problems
from config.model import AccessList, App, Device, Platform, Proxy, Service
from config.policies import Grant
from config.upstreams import Match, Route

APPS = {"shop": App(plan="gold", scopes=("customers:read", "orders:call"))}
DEVICES = {"kiosk": Device(app="shop", key={})}


@pytest.mark.parametrize(
    ("entry", "place", "text"),
    [
        (AccessList(), (), "names nobody"),
        (AccessList(addresses=("10.0.0.0/8", "10.0.0.0/33")), ("addresses", "1"), "is not a network such as 10.2.0.0/16"),
        (AccessList(apps=("shop", "shopp")), ("apps", "1"), "'shopp' is not declared in apps; did you mean 'shop'?"),
        (AccessList(devices=("kiosk1",)), ("devices", "0"), "did you mean 'kiosk'?"),
    ],
)
def test_a_list_that_makes_no_sense(entry: AccessList, place: tuple[str, ...], text: str) -> None:
    good = AccessList(addresses=("::ffff:10.0.0.0/104",), apps=("shop",), devices=("kiosk",), users=("anybody",))
    (problem,) = list_problems(Platform(apps=APPS, devices=DEVICES, lists={"good": good, "black": entry}))
    assert problem.path == ("lists", "black", *place)
    assert text in problem.text


def test_denied_addresses_are_networks() -> None:
    apps, proxies = {"shop": App(plan="gold", denied=("x",))}, {"partner": Proxy(denied=("10.0.0.0/8", "10.0.0.1/8"))}
    found = [problem.path for problem in list_problems(Platform(apps=apps, proxies=proxies))]
    assert found == [("apps", "shop", "denied", "0"), ("proxies", "partner", "denied", "1")]


@pytest.mark.parametrize(
    ("grants", "path", "text"),
    [
        ({"customers": Grant(operations=("get", "query"), fields=("name",)), "orders": Grant(operations=("GET",))}, None, ""),
        ({"customer": Grant()}, ("customer",), "did you mean 'customers'?"),
        ({"points": Grant()}, ("points",), "the app has no scope of points"),
        ({"customers": Grant(operations=("get", "read"))}, ("customers", "operations", "1"), "'read' is no operation of a service"),
        ({"orders": Grant(operations=("get",))}, ("orders", "operations", "0"), "'get' is no HTTP method"),
    ],
)
def test_grants(grants: dict[str, Grant], path: tuple[str, ...] | None, text: str) -> None:
    services = {name: Service(kind="asynchronous", dataset="crm.x") for name in ("customers", "points")}
    routes = {"orders": Route(match=Match(path="/orders"), upstream="orders")}
    app = App(plan="gold", scopes=("customers:read", "orders:call"), grants=grants)
    found = list(grant_problems(Platform(apps={"shop": app}, services=services, routes=routes)))
    assert [problem.path for problem in found] == ([] if path is None else [("apps", "shop", "grants", *path)])
    assert all(text in problem.text for problem in found)
