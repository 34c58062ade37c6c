"""What an operator grants and takes away is so on the gateway soon."""

from contextlib import ExitStack
from uuid import uuid4

import httpx
import pytest

from tests.system.node import SOON_S, Node, eventually, settle


def _new_app(operator: httpx.Client) -> tuple[str, tuple[str, str]]:
    name = f"app-{uuid4().hex[:8]}"
    made = operator.put(f"/apps/{name}", json={"plan": "trial", "scopes": ["customers:read"]})
    assert made.status_code in (200, 201), made.text
    issued = operator.post(f"/apps/{name}/credentials").json()
    return name, (issued["key"], issued["secret"])


def _token(node: Node, login: tuple[str, str]) -> httpx.Response:
    url = f"http://{node.settings.http}/oauth2/token"
    return httpx.post(url, auth=login, data={"grant_type": "client_credentials"})


def _wait_for(node: Node, login: tuple[str, str]) -> None:
    eventually("the new app is known", lambda: _token(node, login).status_code == 200)
    settle(node, "gateway")


@pytest.mark.req("0.36")
@pytest.mark.req("0.37")
@pytest.mark.parametrize(("way", "status", "code"), [("revoke", 401, "token_revoked"), ("disable", 403, "app_disabled")])
def test_a_credential_that_is_revoked_and_an_app_that_is_disabled_are_refused(node: Node, way: str, status: int, code: str) -> None:
    with ExitStack() as stack:
        operator = stack.enter_context(node.operator())
        name, login = _new_app(operator)
        _wait_for(node, login)
        app = stack.enter_context(node.app(login))
        assert app.get("/v1/customers/K0000001").status_code == 200
        if way == "revoke":
            assert operator.delete(f"/apps/{name}/credentials/{login[0]}").status_code == 204
        else:
            assert operator.patch(f"/apps/{name}", json={"enabled": False}).status_code == 200
        eventually("refused", lambda: app.get("/v1/customers/K0000001").status_code == status, within_s=SOON_S)
        assert app.get("/v1/customers/K0000001").json()["code"] == code
        assert _token(node, login).status_code in (400, 401)


@pytest.mark.req("0.37")
def test_an_open_stream_does_not_outlive_the_right_to_it(node: Node) -> None:
    accept = {"Accept": "text/event-stream"}
    with node.operator() as operator:
        name, login = _new_app(operator)
        _wait_for(node, login)
        with node.app(login) as app:
            with app.stream("GET", "/v1/customers/changes?limit=1", headers=accept) as feed:
                lines = feed.iter_lines()
                assert next(lines).startswith("id: ")
                operator.patch(f"/apps/{name}", json={"enabled": False})
                assert list(lines), "it ends as a whole answer"
            assert app.get("/v1/customers/changes", headers=accept).json()["code"] == "app_disabled"


@pytest.mark.req("0.45")
def test_an_app_may_do_what_it_was_granted_and_no_more(node: Node) -> None:
    with node.operator() as operator:
        name, login = _new_app(operator)
        _wait_for(node, login)
        with node.app(login) as app:
            assert app.get("/v1/customers/K0000001").status_code == 200
            assert app.get("/v1/members").json()["code"] == "scope_missing"
            write = app.patch("/v1/customers/K0000001", json={"status": "x"}, headers={"Idempotency-Key": "no"})
            assert write.json()["code"] == "scope_missing"
        operator.patch(f"/apps/{name}", json={"scopes": ["customers:read", "members:read"]})

        def has_more() -> bool:
            with node.app(login) as app:
                return app.get("/v1/members?limit=1").status_code == 200

        eventually("the new scope is granted", has_more)


@pytest.mark.req("0.37")
def test_a_new_secret_works_beside_the_old_one(node: Node) -> None:
    with node.operator() as operator:
        name, (key, old) = _new_app(operator)
        eventually("the new app is known", lambda: _token(node, (key, old)).status_code == 200)
        fresh = operator.post(f"/apps/{name}/credentials/{key}/rotate", json={"overlap_s": 3600}).json()["secret"]
        eventually("the new secret works", lambda: _token(node, (key, fresh)).status_code == 200)
        assert _token(node, (key, old)).status_code == 200
