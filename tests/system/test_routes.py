"""Pass-through routes on a real node with two workers: who may call them by which means, and what reaches the upstream."""

import base64
import hashlib
import time
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from tests.gateway.access_desk import app_token, basic
from tests.gateway.ca_client import ca_request
from tests.gateway.oauth_desk import DeviceKey
from tests.gateway.signing import hmac_with, signed_request
from tests.system.gateway import Gateway, Login
from tests.system.node import SOON_S, eventually

PATH = "/shop/orders"
DEVICE = DeviceKey()
Means = Callable[[Gateway, Login, bool], dict[str, str]]
"""Headers by which an app proves itself; with False they are wrong in one thing."""


@pytest.fixture(scope="module")
def shop(gateway: Gateway) -> Login:
    routes = {
        "shop": {"match": {"path": "/shop/{rest...}"}, "upstream": "one"},
        "till": {"match": {"path": "/till/{rest...}", "methods": ["GET", "POST"]}, "upstream": "one", "strip": 1, "prefix": "/v2"},
        "open": {"match": {"path": "/open/{rest...}"}, "upstream": "one", "anonymous": True},
        "keys-only": {
            "match": {"path": "/keys-only"},
            "upstream": "one",
            "policies": {"authenticate": ["key"]},
        },
        "desk": {
            "match": {"path": "/desk/{rest...}"},
            "upstream": "one",
            "anonymous": True,
            "policies": {"stages": [{"use": "examples.stage_example", "settings": {"max_items": 2, "blocked": ["13"]}}]},
        },
    }
    made = gateway.app("shop", "keys-only", routes=routes)
    gateway.apply(devices={"till-1": {"app": made.name, "key": DEVICE.jwk}})
    return made


def _bearer(gateway: Gateway, shop: Login, good: bool) -> dict[str, str]:
    token = gateway.token(shop)
    head, payload, signature = token.split(".")
    return {"Authorization": f"Bearer {token if good else '.'.join((head, payload, signature[::-1]))}"}


def _api_key(gateway: Gateway, shop: Login, good: bool) -> dict[str, str]:
    return {"X-Api-Key": f"{shop.key}.{shop.secret if good else shop.secret[::-1]}"}


def _basic(gateway: Gateway, shop: Login, good: bool) -> dict[str, str]:
    return {"Authorization": basic(shop.key, shop.secret if good else shop.secret[::-1])}


def _signature(gateway: Gateway, shop: Login, good: bool) -> dict[str, str]:
    made = signed_request(
        url=f"{gateway.url}{PATH}",
        sign=hmac_with(shop.secret if good else "another secret"),
        keyid=shop.key,
        nonce=uuid4().hex,
        created=int(time.time()),
    )
    return {name: made.headers[name] for name in ("signature-input", "signature")}


def _ca(gateway: Gateway, shop: Login, good: bool) -> dict[str, str]:
    secret = shop.secret if good else "another secret"
    made = ca_request(path=PATH, secret=secret, key=shop.key, nonce=uuid4().hex, at=time.time())
    return {name: value for name, value in made.headers.items() if name.startswith("x-ca-") or name == "accept"}


def _app_jwt(gateway: Gateway, shop: Login, good: bool) -> dict[str, str]:
    token = app_token(shop.secret if good else "another secret of thirty-two bytes", iss=shop.key, jti=uuid4().hex)
    return {"Authorization": f"Bearer {token}"}


def _dpop(gateway: Gateway, shop: Login, good: bool) -> dict[str, str]:
    url = f"{gateway.url}/oauth2/token"
    proof = DEVICE.proof(htu=url)
    answer = httpx.post(
        url, auth=(shop.key, shop.secret), data={"grant_type": "client_credentials"}, headers={"DPoP": proof}
    ).json()
    assert answer["token_type"] == "DPoP", answer
    token = answer["access_token"]
    ath = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    key = DEVICE if good else DeviceKey()
    return {"Authorization": f"DPoP {token}", "DPoP": key.proof(htm="GET", htu=gateway.url + PATH, ath=ath)}


@pytest.mark.req("0.36")
@pytest.mark.req("0.38")
@pytest.mark.parametrize(
    ("means", "code"),
    [
        (_bearer, "token_invalid"),
        (_api_key, "key_invalid"),
        (_basic, "key_invalid"),
        (_signature, "signature_invalid"),
        (_ca, "signature_invalid"),
        (_app_jwt, "token_invalid"),
        (_dpop, "token_binding"),
    ],
)
def test_each_means_lets_the_app_in_and_a_wrong_one_does_not(gateway: Gateway, shop: Login, means: Means, code: str) -> None:
    for _ in range(3):  # new connections: either worker
        answer = gateway.get(PATH, headers=means(gateway, shop, True))
        assert answer.status_code == 200, answer.text
        told = answer.json()["headers"]
        assert told["x-zhiyun-app"] == shop.name
        assert shop.secret not in answer.text, "the platform's credentials stay here"
        assert "authorization" not in told
    before = gateway.upstream.requests
    answer = gateway.get(PATH, headers=means(gateway, shop, False))
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"]
    assert gateway.upstream.requests == before, "nothing of it reached the upstream"


def test_a_replayed_signature_is_refused(gateway: Gateway, shop: Login) -> None:
    headers = _signature(gateway, shop, True)
    with httpx.Client(base_url=gateway.url) as client:  # one connection, one worker: nonces are kept by each without Redis
        assert client.get(PATH, headers=headers).status_code == 200
        assert client.get(PATH, headers=headers).json()["code"] == "replayed"


@pytest.mark.req("0.45")
def test_scope_means_and_anonymous_routes(gateway: Gateway, shop: Login) -> None:
    assert gateway.get(PATH).json()["code"] == "token_missing"
    assert gateway.get("/till/a", shop).json()["code"] == "scope_missing"
    narrow = {"Authorization": f"Bearer {gateway.token(shop, scope='keys-only:call')}"}
    assert gateway.get(PATH, headers=narrow).json()["code"] == "scope_missing"
    assert gateway.get("/keys-only", shop).status_code == 200
    assert gateway.get("/keys-only", headers=_bearer(gateway, shop, True)).status_code == 401, "this route takes keys only"
    told = gateway.get("/open/a", headers={"X-Zhiyun-App": "boss", "X-Forwarded-For": "8.8.8.8"}).json()["headers"]
    assert "x-zhiyun-app" not in told, "nobody names himself"
    assert told["x-forwarded-for"] == "127.0.0.1"


def test_a_path_is_rewritten_and_a_body_arrives(gateway: Gateway, shop: Login) -> None:
    other = gateway.app("till")
    answer = gateway.call("POST", "/till/a/b?x=1", other, json={"店": "智云"}).json()
    assert (answer["target"], answer["method"], answer["body"]) == ("/v2/a/b?x=1", "POST", '{"店":"智云"}')
    assert gateway.call("DELETE", "/till/a", other).status_code == 405


def test_a_stage_of_ones_own_works_in_a_route(gateway: Gateway, shop: Login) -> None:
    answer = gateway.call("POST", "/desk/orders", json={"items": ["a"]}, headers={"X-Customer": "7"})
    assert (answer.status_code, answer.headers["X-Order-Desk"], answer.headers["X-Served"]) == (200, "open", "7")
    assert answer.json()["headers"]["x-checked-by"] == "order-desk"
    assert gateway.get("/desk/hours").text == "9-17\n"
    assert gateway.get("/desk/a", headers={"X-Customer": "13"}).status_code == 403
    assert (
        gateway.call("POST", "/desk/orders", json={"items": ["a"] * 3}, headers={"X-Customer": "7"}).json()["code"]
        == "body_invalid"
    )


@pytest.mark.req("0.37")
@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("what", ["one", "all"])
def test_sessions_are_listed_and_end_on_both_workers(gateway: Gateway, what: str) -> None:
    login = gateway.app("shop")
    kept, ended = gateway.token(login), gateway.token(login)
    with gateway.node.operator() as operator:

        def listed() -> list[dict[str, str]]:
            return list(operator.get("/app-sessions", params={"app": login.name}).json()["items"])

        sessions = eventually("both are listed", lambda: found if len(found := listed()) == 2 else [])
        assert (sessions[0]["address"], sessions[0]["app"]) == ("127.0.0.1", login.name)
        for token in (kept, ended):
            assert gateway.get(PATH, headers={"Authorization": f"Bearer {token}"}).status_code == 200
        path = f"/app-sessions/{sessions[0]['id']}" if what == "one" else f"/app-sessions?app={login.name}"
        assert operator.delete(path).status_code == 200
    right = {"Authorization": f"Bearer {ended}"}
    eventually(
        "both workers refuse",
        lambda: all(each.json().get("code") == "token_revoked" for each in gateway.on_each_worker(PATH, right)),
        within_s=SOON_S,
    )
    after = gateway.get(PATH, headers={"Authorization": f"Bearer {kept}"})
    assert after.status_code == (200 if what == "one" else 401)
    assert gateway.get(PATH, headers={"Authorization": f"Bearer {gateway.token(login)}"}).status_code == 200, "a new one works"
