"""Declared resources over HTTP: versions, preconditions, merge, pages, refusals."""

import httpx
import pytest
from fastapi import FastAPI

from console.api.resources import merged

GOLD = {"per_s": 100, "burst": 20}


async def test_a_resource_lives_and_dies(operator: httpx.AsyncClient) -> None:
    made = await operator.put("/api/v1/plans/gold", json=GOLD)
    assert made.status_code == 201, made.text
    read = await operator.get("/api/v1/plans/gold")
    assert read.status_code == 200
    assert read.json()["body"] == GOLD
    assert read.headers["ETag"] == made.headers["ETag"] == f'"{read.json()["version"]}"'
    again = await operator.put("/api/v1/plans/gold", json=GOLD)
    assert (again.status_code, again.json()["version"]) == (200, made.json()["version"])
    assert (await operator.delete("/api/v1/plans/gold")).status_code == 204
    gone = await operator.get("/api/v1/plans/gold")
    assert gone.status_code == 404
    assert gone.headers["Content-Type"] == "application/problem+json"
    assert gone.json()["request_id"] == gone.headers["X-Request-Id"]
    assert gone.json()["type"] == "urn:zhiyun:problem:not_found"


async def test_preconditions(operator: httpx.AsyncClient) -> None:
    first = await operator.put("/api/v1/plans/gold", json=GOLD, headers={"If-None-Match": "*"})
    second = await operator.put("/api/v1/plans/gold", json=GOLD, headers={"If-None-Match": "*"})
    assert (first.status_code, second.status_code) == (201, 412)
    assert second.json()["code"] == "etag_mismatch"
    changed = await operator.put("/api/v1/plans/gold", json={**GOLD, "burst": 5}, headers={"If-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    for method, body in (("PUT", GOLD), ("PATCH", {"burst": 7}), ("DELETE", None)):
        late = await operator.request(method, "/api/v1/plans/gold", json=body, headers={"If-Match": first.headers["ETag"]})
        assert late.status_code == 412, method
    unknown = await operator.put("/api/v1/plans/none", json=GOLD, headers={"If-Match": "*"})
    assert unknown.status_code == 404
    odd = await operator.put("/api/v1/plans/gold", json=GOLD, headers={"If-Match": "W/x"})
    assert odd.status_code == 400


async def test_merge_changes_what_is_given(operator: httpx.AsyncClient) -> None:
    await operator.put("/api/v1/plans/gold", json={**GOLD, "title": "Gold"})
    answer = await operator.patch("/api/v1/plans/gold", json={"burst": 7, "title": None})
    assert answer.json()["body"] == {"per_s": 100, "burst": 7}


def test_merge_patch_is_rfc_7396() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": None, "e": 4}, "d": [1]}) == {"a": {"c": 2, "e": 4}, "d": [1]}
    assert merged({"a": 1}, {"a": {"b": None, "c": 1}}) == {"a": {"c": 1}}


async def test_what_is_wrong_is_told_by_path(operator: httpx.AsyncClient) -> None:
    answer = await operator.put("/api/v1/apps/shop", json={"plan": "gold", "titel": "x"})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["path"] == "apps.shop.titel"
    assert "title" in answer.json()["detail"]
    dangling = await operator.put("/api/v1/apps/shop", json={"plan": "gold"})
    assert dangling.status_code == 422
    assert "gold" in dangling.json()["detail"]
    for raw in (b"{", b"[]", b'"x"', b"\xff"):
        assert (await operator.put("/api/v1/apps/shop", content=raw)).status_code == 400


async def test_what_is_in_use_stays(operator: httpx.AsyncClient) -> None:
    await operator.put("/api/v1/plans/gold", json=GOLD)
    await operator.put("/api/v1/apps/shop", json={"plan": "gold"})
    answer = await operator.delete("/api/v1/plans/gold")
    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
    assert "app shop" in answer.json()["detail"]


async def test_pages(operator: httpx.AsyncClient) -> None:
    for name in ("c", "a", "b"):
        await operator.put(f"/api/v1/plans/{name}", json=GOLD)
    first = await operator.get("/api/v1/plans", params={"limit": 2})
    assert [item["name"] for item in first.json()["items"]] == ["a", "b"]
    rest = await operator.get("/api/v1/plans", params={"limit": 2, "after": "b"})
    assert [item["name"] for item in rest.json()["items"]] == ["c"]
    for limit in ("0", "1001", "x"):
        assert (await operator.get("/api/v1/plans", params={"limit": limit})).status_code == 400


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/api/v1/nothing", 404), ("POST", "/api/v1/plans/x", 405)])
async def test_paths_that_are_none(operator: httpx.AsyncClient, app: FastAPI, method: str, path: str, status: int) -> None:
    answer = await operator.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


async def test_a_body_that_is_too_large(operator: httpx.AsyncClient) -> None:
    answer = await operator.put("/api/v1/plans/gold", content=b" " * (4 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
