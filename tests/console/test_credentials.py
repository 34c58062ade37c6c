"""Keys and secrets over HTTP: shown once, never listed (requirement 0.36)."""

import httpx
import pytest


@pytest.mark.req("0.36")
async def test_issue_rotate_revoke(operator: httpx.AsyncClient) -> None:
    await operator.put("/api/v1/plans/gold", json={"per_s": 1, "burst": 1})
    await operator.put("/api/v1/apps/shop", json={"plan": "gold"})
    await operator.put("/api/v1/proxies/partner", json={})
    issued = await operator.post("/api/v1/apps/shop/credentials")
    assert issued.status_code == 201
    key, secret = issued.json()["key"], issued.json()["secret"]
    rotated = await operator.post(f"/api/v1/apps/shop/credentials/{key}/rotate", json={"overlap_s": 60})
    assert rotated.json()["secret"] != secret
    listed = await operator.get("/api/v1/apps/shop/credentials")
    assert listed.json()["items"][0]["overlap_ends_ms"] is not None
    audit = await operator.get("/api/v1/audit")
    for text in (listed.text, audit.text):
        assert secret not in text
        assert rotated.json()["secret"] not in text
    assert audit.json()["items"][0]["actor"] == "operator"
    partner = (await operator.post("/api/v1/proxies/partner/credentials")).json()["key"]
    assert partner.startswith("pk_")
    for method, path in (("POST", f"{partner}/rotate"), ("DELETE", partner)):
        assert (await operator.request(method, f"/api/v1/apps/shop/credentials/{path}")).status_code == 404
    assert (await operator.delete(f"/api/v1/apps/shop/credentials/{key}")).status_code == 204
    assert (await operator.get("/api/v1/apps/shop/credentials")).json()["items"] == []
    assert (await operator.post("/api/v1/apps/none/credentials")).status_code == 404
    assert (await operator.post("/api/v1/plans/gold/credentials")).status_code in (400, 404)
