"""Who may do what: every route of the app is asked, so that a new one can't be forgotten."""

import httpx
import pytest
from fastapi import FastAPI

OPEN = {("POST", "/api/v1/session"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}
OWN = {("DELETE", "/api/v1/session"), ("PUT", "/api/v1/session/password")}
OPERATORS_READ = {"/api/v1/export", "/api/v1/users"}


def _endpoints(app: FastAPI) -> list[tuple[str, str]]:
    paths = app.openapi()["paths"]
    return [(method.upper(), path) for path, operations in paths.items() for method in operations]


def _concrete(path: str) -> str:
    path = path.replace("{section}", "apps")
    for name in ("name", "key", "row_id", "letter_id", "session_id", "incident_id", "transaction_id", "dataset"):
        path = path.replace(f"{{{name}}}", "nothing").replace(f"{{{name}:path}}", "nothing")
    assert "{" not in path, path
    return path


@pytest.mark.req("1.01")
async def test_without_a_token_nothing_is_served(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        asked = 0
        for method, path in _endpoints(app):
            if (method, path) not in OPEN:
                answer = await client.request(method, _concrete(path))
                assert answer.status_code == 401, (method, path)
                assert answer.json()["code"] == "unauthenticated"
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                asked += 1
    assert asked > 50


@pytest.mark.req("1.01")
async def test_a_viewer_changes_nothing(app: FastAPI, viewer: httpx.AsyncClient) -> None:
    for method, path in _endpoints(app):
        if method == "GET" or (method, path) in OPEN | OWN:
            continue
        answer = await viewer.request(method, _concrete(path), json={})
        assert answer.status_code == 403, (method, path)
        assert "viewer" in answer.json()["detail"]


async def test_what_a_viewer_reads(app: FastAPI, viewer: httpx.AsyncClient) -> None:
    for method, path in _endpoints(app):
        if method == "GET":
            answer = await viewer.get(_concrete(path), params={"app": "shop"} if path == "/api/v1/usage" else None)
            assert (answer.status_code == 403) == (path in OPERATORS_READ), path
            assert answer.status_code in (200, 403, 404), path


async def test_a_made_up_token(app: FastAPI) -> None:
    headers = {"Authorization": "Bearer zs_made-up"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console", headers=headers) as client:
        assert (await client.get("/api/v1/apps")).status_code == 401
        client.headers["Authorization"] = "Basic b3BlcmF0b3I6eA=="
        assert (await client.get("/api/v1/apps")).status_code == 401
