"""Who may do what from where; whatever is not allowed is refused."""

import pytest

from config.model import App, Plan, Platform, Proxy
from core.errors import Forbidden, Unauthenticated
from gateway.stages.authorise import Admission
from gateway.tokens import Tokens
from tests.gateway.desk import SCOPES, Desk, json_of

PLATFORM = Platform(
    plans={"gold": Plan(per_s=1, burst=1)},
    proxies={"partner": Proxy(addresses=("10.0.0.0/8", "2001:db8::/32")), "closed": Proxy(enabled=False), "open": Proxy()},
    apps={
        "anywhere": App(plan="gold"),
        "off": App(plan="gold", enabled=False),
        "inside": App(plan="gold", addresses=("192.168.7.0/24", "fd00::/8", "203.0.113.9")),
        "broker": App(plan="gold", proxy="partner"),
        "desk": App(plan="gold", proxy="partner", addresses=("10.9.0.0/16", "192.168.0.0/16")),
        "free": App(plan="gold", proxy="open"),
        "stranded": App(plan="gold", proxy="closed"),
    },
)


@pytest.mark.req("0.39")
@pytest.mark.parametrize(
    ("app", "remote"),
    [
        ("anywhere", "8.8.8.8"),
        ("anywhere", "::1"),
        ("inside", "192.168.7.200"),
        ("inside", "fd00::1"),
        ("inside", "203.0.113.9"),
        ("inside", "::ffff:192.168.7.1"),  # an IPv4 caller as a dual-stack listener sees it
        ("inside", "fd00::1%eth0"),
        ("broker", "10.255.0.1"),
        ("broker", "2001:db8::7"),
        ("desk", "10.9.3.3"),
        ("free", "8.8.8.8"),
    ],
)
def test_let_in(app: str, remote: str) -> None:
    assert Admission(PLATFORM).admit(app, remote) is PLATFORM.apps[app]


@pytest.mark.req("0.37")
@pytest.mark.req("0.39")
@pytest.mark.parametrize(
    ("app", "remote", "code"),
    [
        ("off", "10.0.0.1", "app_disabled"),
        ("stranded", "10.0.0.1", "proxy_disabled"),
        ("inside", "192.168.8.1", "address_refused"),
        ("inside", "fe80::1", "address_refused"),
        ("inside", "::ffff:192.168.8.1", "address_refused"),
        ("broker", "11.0.0.1", "address_refused"),
        ("broker", "2001:db9::7", "address_refused"),
        ("desk", "10.8.0.1", "address_refused"),  # the proxy's list lets it in, its own does not
        ("desk", "192.168.1.1", "address_refused"),  # and the other way round
        ("inside", "", "address_refused"),  # no address at all: a socket without one
    ],
)
def test_refused(app: str, remote: str, code: str) -> None:
    with pytest.raises(Forbidden) as caught:
        Admission(PLATFORM).admit(app, remote)
    assert caught.value.specific_code == code


def test_an_unknown_app_is_nobody() -> None:
    with pytest.raises(Unauthenticated) as caught:
        Admission(PLATFORM).admit("ghost", "10.0.0.1")
    assert caught.value.specific_code == "app_gone"


@pytest.mark.req("0.45")
@pytest.mark.parametrize(
    ("app", "method", "path", "status", "code"),
    [
        ("shop", "GET", "/v1/customers/K1", 200, None),
        ("reader", "GET", "/v1/customers/K1", 200, None),
        ("reader", "GET", "/v1/points/M1", 403, "scope_missing"),
        ("reader", "PATCH", "/v1/customers/K1", 403, "scope_missing"),
        ("reader", "DELETE", "/v1/customers/K1", 403, "scope_missing"),
        ("off", "GET", "/v1/customers/K1", 403, "app_disabled"),
        ("stranded", "GET", "/v1/customers/K1", 403, "proxy_disabled"),
        ("inside", "GET", "/v1/customers/K1", 403, "address_refused"),
        ("shop", "GET", "/v1/hidden/K1", 404, "no_route"),
    ],
)
async def test_different_apps_are_offered_different_services(
    desk: Desk, app: str, method: str, path: str, status: int, code: str | None
) -> None:
    response = await desk.ask(method, path, app=app, body={"name": "x"})
    assert response.status == status
    if code:
        assert json_of(response)["code"] == code


async def test_a_scope_must_be_in_the_token_and_still_belong_to_the_app(desk: Desk) -> None:
    tokens = Tokens(desk.snapshot)
    narrow = tokens.make("shop", desk.issued["shop"].key, ["points:read"])
    stale = tokens.make("reader", desk.issued["reader"].key, SCOPES)
    for token, path in ((narrow, "/v1/customers/K1"), (stale, "/v1/points/M1")):
        response = await desk.ask("GET", path, app=None, headers={"Authorization": f"Bearer {token}"})
        assert (response.status, json_of(response)["code"]) == (403, "scope_missing")
