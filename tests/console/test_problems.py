"""Headers of every answer, and faults of our own, which tell a caller nothing but an id."""

from dataclasses import replace

import httpx

from console.api.app import create_api
from tests.console.platform_parts import Platform


class _Broken:
    async def check(self) -> dict[str, str]:
        raise ZeroDivisionError("with a secret in it")


async def test_a_fault_of_ours(platform: Platform) -> None:
    app = create_api(replace(platform.control, parts=_Broken()))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.json()["request_id"]


class _Failing:
    async def check(self) -> dict[str, str]:
        return {"database": "ok", "bus": "amqp://10.0.0.9 refused the connection"}


async def test_a_failing_part(platform: Platform) -> None:
    app = create_api(replace(platform.control, parts=_Failing()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console") as client:
        answer = await client.get("/readyz")
        assert (await client.get("/healthz")).status_code == 200
    assert answer.status_code == 503
    assert answer.json()["parts"] == {"database": "ok", "bus": "failing"}
    assert "10.0.0.9" not in answer.text


async def test_headers(operator: httpx.AsyncClient) -> None:
    answer = await operator.get("/api/v1/apps")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "access-control-allow-origin" not in answer.headers
