"""The marketing system, called by an HTTP client."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from examples.estate.marketing import marketing_application

KEY = {"X-Api-Key": "k"}
PREFERENCE = {"channels": ["sms"], "interests": ["学区"], "do_not_disturb": "", "consent": True}
NEW = "/api/customers/K9999999/preferences"


@pytest.fixture
async def client(estate_copy: Path) -> AsyncIterator[TestClient[Any, Any]]:
    with closing(sqlite3.connect(estate_copy / "marketing.db", isolation_level=None)) as database:
        async with TestClient(TestServer(marketing_application(database, key="k")), headers=KEY) as client:
            yield client


@pytest.mark.req("0.46")
async def test_events_are_paged_by_the_last_id(client: TestClient[Any, Any]) -> None:
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        async with client.get("/api/events", params={"after": after, "limit": 300}) as response:
            page = await response.json()
        seen += [event["event_id"] for event in page["data"]]
        after = page["next"]
    assert seen == list(range(1, 1001))
    assert {"openid", "mobile", "event", "utm", "page", "ts"} <= set(page["data"][0])


async def test_campaigns_are_paged_by_number(client: TestClient[Any, Any]) -> None:
    async with client.get("/api/campaigns?page=2&size=5") as response:
        page = await response.json()
    assert (page["page"], page["total"], len(page["data"])) == (2, 8, 3)
    assert page["data"][0]["campaign_id"] == "C0006"


async def test_a_field_that_a_put_leaves_out_has_its_default(client: TestClient[Any, Any]) -> None:
    async with client.put(NEW, json={"customer_id": "K9999999", "interests": ["地铁"]}) as response:
        assert response.status == 201
        body = await response.json()
    assert (body["interests"], body["channels"], body["consent"]) == (["地铁"], [], False)


async def test_preferences_are_written_with_etags(client: TestClient[Any, Any]) -> None:
    async with client.get(NEW) as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "not_found"
    async with client.put(NEW, json=PREFERENCE, headers={"If-Match": "*"}) as response:
        assert response.status == 412
    async with client.put(NEW, json=PREFERENCE) as response:
        assert response.status == 201
        first = response.headers["ETag"]
    async with client.put(NEW, json={**PREFERENCE, "consent": False}, headers={"If-Match": first}) as response:
        assert response.status == 200
        second = response.headers["ETag"]
    async with client.put(NEW, json=PREFERENCE, headers={"If-Match": first}) as response:
        assert response.status == 412
    async with client.put(NEW, json=PREFERENCE, headers={"If-None-Match": "*"}) as response:
        assert response.status == 412
    async with client.get(NEW, headers={"If-None-Match": second}) as response:
        assert response.status == 304
    async with client.get(NEW) as response:
        assert await response.json() == {"customer_id": "K9999999", **PREFERENCE, "consent": False}
        assert response.headers["ETag"] == second


async def test_the_same_put_twice_leaves_the_same_state(client: TestClient[Any, Any]) -> None:
    async with client.put(NEW, json=PREFERENCE) as response:
        first = response.headers["ETag"]
    async with client.put(NEW, json=PREFERENCE) as response:
        assert (response.status, response.headers["ETag"]) == (200, first)


async def test_without_the_key_everything_is_401(client: TestClient[Any, Any]) -> None:
    async with client.get("/api/events", headers={"X-Api-Key": "wrong"}) as response:
        assert response.status == 401
        assert (await response.json())["error"]["code"] == "unauthorized"


@pytest.mark.parametrize(
    "path",
    ["/api/events?limit=0", "/api/events?limit=1001", "/api/events?after=x", "/api/events?after=١", "/api/campaigns?page=0"],
)
async def test_bad_parameters_are_named(client: TestClient[Any, Any], path: str) -> None:
    async with client.get(path) as response:
        assert response.status == 400
        assert "must be a whole number" in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"colour": "red"}',
        b'{"customer_id": "K1", "channels": [], "interests": [], "do_not_disturb": "", "consent": true}',
        b'{"channels": [1], "interests": [], "do_not_disturb": "", "consent": true}',
        b'{"channels": [], "interests": [], "do_not_disturb": "", "consent": 1}',
    ],
)
async def test_bad_bodies_are_refused(client: TestClient[Any, Any], body: bytes) -> None:
    async with client.put(NEW, data=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "invalid_body"


async def test_errors_of_the_server_itself_are_json_too(client: TestClient[Any, Any]) -> None:
    async with client.get("/nowhere") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "http_404")
    async with client.put(NEW, data=b"x" * 70_000) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (413, "http_413")
