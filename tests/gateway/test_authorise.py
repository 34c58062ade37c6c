"""Who may do what from where; whatever is not allowed is refused."""

import pytest

from config.model import AccessList, App, Device, Plan, Platform, Proxy
from config.policies import Grant
from core.errors import Forbidden, Unauthenticated
from gateway.identity import Identity
from gateway.stage import Request, Stage
from gateway.stages.authorise import Admission, Authorise
from gateway.tokens import Tokens
from tests.conformance.stage_suite import StageSuite
from tests.gateway.desk import PUBLIC_URL, SCOPES, Desk, json_of, request_of

PLATFORM = Platform(
    plans={"gold": Plan(per_s=1, burst=1)},
    proxies={
        "partner": Proxy(addresses=("10.0.0.0/8", "2001:db8::/32"), denied=("10.66.0.0/16",)),
        "closed": Proxy(enabled=False),
        "open": Proxy(),
    },
    apps={
        "anywhere": App(plan="gold"),
        "off": App(plan="gold", enabled=False),
        "inside": App(plan="gold", addresses=("192.168.7.0/24", "fd00::/8", "203.0.113.9")),
        "broker": App(plan="gold", proxy="partner"),
        "desk": App(plan="gold", proxy="partner", addresses=("10.9.0.0/16", "192.168.0.0/16")),
        "free": App(plan="gold", proxy="open"),
        "wary": App(plan="gold", denied=("192.0.2.0/24",)),
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
        ("wary", "192.0.3.1"),
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
        ("wary", "192.0.2.200", "address_refused"),
        ("broker", "10.66.1.1", "address_refused"),  # on its proxy's white list and on its black one
        ("desk", "::ffff:10.66.1.1", "address_refused"),
    ],
)
def test_refused(app: str, remote: str, code: str) -> None:
    with pytest.raises(Forbidden) as caught:
        Admission(PLATFORM).admit(app, remote)
    assert caught.value.specific_code == code


def test_who_was_let_in_is_remembered_for_that_address_alone_and_not_for_ever() -> None:
    admission = Admission(PLATFORM)
    for _ in range(2):
        assert admission.admit("inside", "192.168.7.1")
        with pytest.raises(Forbidden):
            admission.admit("inside", "192.168.8.1")
    for number in range(40_000):
        admission.admit("anywhere", f"10.0.{number // 256}.{number % 256}")
    assert len(admission._memo) <= 16_384


LISTED = Platform(
    apps={name: App(plan="gold", scopes=("orders:call",)) for name in ("shop", "thief", "till")},
    devices={
        "kiosk": Device(app="shop", key={}),
        "lost": Device(app="shop", key={}),
        "old": Device(app="shop", key={}, enabled=False),
    },
    lists={
        "black": AccessList(apps=("thief",), devices=("lost",), users=("mallory",)),
        "off": AccessList(apps=("shop",), users=("alice",), enabled=False),
    },
)


@pytest.mark.req("0.37")
@pytest.mark.parametrize(
    ("identity", "code"),
    [
        (Identity("shop", "k"), None),
        (Identity("shop", "k", device="kiosk", user="alice"), None),
        (Identity("thief", "k"), "app_refused"),
        (Identity("shop", "k", device="lost"), "device_refused"),
        (Identity("shop", "k", device="old"), "device_refused"),
        (Identity("till", "k", user="mallory"), "user_refused"),
    ],
)
def test_black_lists_of_apps_devices_and_users(identity: Identity, code: str | None) -> None:
    _expect(LISTED, identity, code)


@pytest.mark.req("0.37")
@pytest.mark.parametrize(
    ("identity", "code"),
    [
        (Identity("shop", "k"), None),
        (Identity("till", "k"), "app_refused"),
        (Identity("shop", "k", user="alice"), None),
        (Identity("shop", "k", user="bob"), "user_refused"),
        (Identity("shop", "k", device="kiosk"), None),  # no white list names devices
    ],
)
def test_white_lists_admit_no_other_of_their_kind(identity: Identity, code: str | None) -> None:
    white = {"apps": AccessList(action="allow", apps=("shop", "thief")), "users": AccessList(action="allow", users=("alice",))}
    _expect(Platform(apps=LISTED.apps, devices=LISTED.devices, lists=white), identity, code)


def _expect(platform: Platform, identity: Identity, code: str | None) -> None:
    admission = Admission(platform)
    if code is None:
        assert admission.admit_caller(identity, "10.0.0.1") is platform.apps[identity.app]
        return
    for _ in range(2):  # the memo admits nobody
        with pytest.raises(Forbidden) as caught:
            admission.admit_caller(identity, "10.0.0.1")
        assert caught.value.specific_code == code
        assert "mallory" not in caught.value.detail


GRANTED = Platform(
    apps={
        "all": App(plan="gold", scopes=("orders:call", "customers:read")),
        "narrow": App(
            plan="gold",
            scopes=("orders:call", "customers:read"),
            grants={"orders": Grant(operations=("GET", "HEAD")), "customers": Grant(operations=("get",)), "points": Grant()},
        ),
        "fields": App(plan="gold", scopes=("orders:call", "customers:read"), grants={"customers": Grant(fields=("name",))}),
    }
)


@pytest.mark.req("0.45")
@pytest.mark.parametrize(
    ("app", "target", "operation", "method", "code"),
    [
        ("all", "orders", None, "POST", None),
        ("narrow", "orders", None, "GET", None),
        ("narrow", "orders", None, "POST", "operation_refused"),
        ("narrow", "customers", "get", "GET", None),
        ("narrow", "customers", "query", "GET", "operation_refused"),
        ("fields", "customers", "query", "GET", None),
    ],
)
def test_a_grant_narrows_a_scope_to_operations(app: str, target: str, operation: str | None, method: str, code: str | None) -> None:
    scope = "orders:call" if target == "orders" else "customers:read"
    stage, request = Authorise(Admission(GRANTED), scope, target, operation), request_of(method, "/")
    request.identity = Identity(app, "k")
    if code is None:
        assert stage.on_request(request) is None
        assert request.app is GRANTED.apps[app]
        return
    with pytest.raises(Forbidden) as caught:
        stage.on_request(request)
    assert caught.value.specific_code == code
    assert request.app is None


class TestAuthorise(StageSuite):
    def stage(self) -> Stage:
        return Authorise(Admission(GRANTED), "orders:call", "orders")

    def admitted(self) -> Request:
        request = request_of("GET", "/orders/1")
        request.identity = Identity("all", "k", frozenset({"orders:call"}))
        return request

    def refused(self) -> Request:
        request = self.admitted()
        request.identity = Identity("all", "k", frozenset())
        return request


def test_who_has_proved_nothing_is_asked_to() -> None:
    with pytest.raises(Unauthenticated) as caught:
        Authorise(Admission(GRANTED), "orders:call", "orders").on_request(request_of("GET", "/"))
    assert caught.value.specific_code == "token_missing"


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
    tokens = Tokens(desk.snapshot, issuer=PUBLIC_URL)
    narrow = tokens.make("shop", desk.issued["shop"].key, ["points:read"])
    stale = tokens.make("reader", desk.issued["reader"].key, SCOPES)
    for token, path in ((narrow, "/v1/customers/K1"), (stale, "/v1/points/M1")):
        response = await desk.ask("GET", path, app=None, headers={"Authorization": f"Bearer {token}"})
        assert (response.status, json_of(response)["code"]) == (403, "scope_missing")
