"""Sessions of apps over HTTP: listed, and revoked one by one or all of an app or device."""

import asyncio

import httpx
import pytest
from structlog.testing import capture_logs

from core.bus import Subscription
from core.clock import epoch_ms
from core.ids import last_id_at
from core.sessions import REVOKED_PATTERN, AppSession, revocation_of
from tests.console.platform_parts import Platform

SECTION = "/api/v1/app-sessions"
_HOUR_MS = 3_600_000
_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


@pytest.fixture
async def listed(platform: Platform, operator: httpx.AsyncClient) -> list[AppSession]:
    """Three of the app shop, one of them of the device till; one of another app. Oldest first."""
    for path, body in (
        ("plans/gold", {"per_s": 1, "burst": 1}),
        ("apps/shop", {"plan": "gold"}),
        ("devices/till", {"app": "shop", "key": _KEY}),
    ):
        assert (await operator.put(f"/api/v1/{path}", json=body)).status_code == 201
    at_ms = epoch_ms() - 1000
    of = [("shop", ""), ("shop", "till"), ("shop", ""), ("other", "")]
    made = [
        AppSession(last_id_at(at_ms + n), app, "ak_1", device, "", "10.0.0.1", at_ms + n, at_ms + n + _HOUR_MS)
        for n, (app, device) in enumerate(of)
    ]
    await platform.control.app_sessions.add(made)
    return made


async def _revoked(operator: httpx.AsyncClient) -> set[str]:
    return {each["id"] for each in (await operator.get(SECTION)).json()["items"] if each["revoked_ms"]}


async def test_they_are_listed_newest_first_by_app_device_and_page(viewer: httpx.AsyncClient, listed: list[AppSession]) -> None:
    async def ids(**params: object) -> list[str]:
        return [each["id"] for each in (await viewer.get(SECTION, params=params)).json()["items"]]  # type: ignore[arg-type]

    everything = [each.id for each in listed][::-1]
    assert await ids() == everything
    assert await ids(app="shop") == everything[1:]
    assert await ids(device="till") == [listed[1].id]
    assert await ids(app="nobody") == []
    assert [*await ids(limit=3), *await ids(after=everything[2])] == everything
    assert (await viewer.get(SECTION, params={"limit": 0})).status_code == 400


@pytest.mark.req("0.38")
async def test_one_is_revoked_and_every_node_is_told(
    platform: Platform, operator: httpx.AsyncClient, listed: list[AppSession]
) -> None:
    control = Subscription("gateway", REVOKED_PATTERN, channel="control", durable=False)
    reader = await platform.parts.bus.subscribe(control)
    with capture_logs() as logs:
        answer = await operator.delete(f"{SECTION}/{listed[0].id}")
    assert (answer.status_code, answer.json()["by"]) == (200, "operator")
    assert await _revoked(operator) == {listed[0].id}
    async with asyncio.timeout(60):
        assert revocation_of((await reader.next()).envelope).name == listed[0].id
    assert {"actor": "operator", "event": "session revoked", "session": listed[0].id}.items() <= logs[-1].items()


@pytest.mark.parametrize(("params", "ended"), [({"app": "shop"}, {0, 1, 2}), ({"device": "till"}, {1})])
async def test_all_of_an_app_or_a_device_are_revoked(
    operator: httpx.AsyncClient, listed: list[AppSession], params: dict[str, str], ended: set[int]
) -> None:
    answer = await operator.delete(SECTION, params=params)
    assert answer.status_code == 200
    assert await _revoked(operator) == {listed[number].id for number in ended}


@pytest.mark.parametrize("params", [{}, {"app": "shop", "device": "till"}, {"app": ""}])
async def test_it_must_be_said_whose(operator: httpx.AsyncClient, listed: list[AppSession], params: dict[str, str]) -> None:
    answer = await operator.delete(SECTION, params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert await _revoked(operator) == set()


async def test_what_is_not_there_is_told(operator: httpx.AsyncClient, viewer: httpx.AsyncClient, listed: list[AppSession]) -> None:
    assert (await operator.delete(f"{SECTION}/nobody")).status_code == 404
    for params in ({"app": "shp"}, {"device": "tll"}):
        assert (await operator.delete(SECTION, params=params)).status_code == 404
    assert (await viewer.delete(f"{SECTION}/{listed[0].id}")).status_code == 403
    assert (await viewer.delete(SECTION, params={"app": "shop"})).status_code == 403
    assert await _revoked(operator) == set()
