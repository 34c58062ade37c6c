"""The platform document over HTTP."""

from typing import Any

import httpx

DOCUMENT: dict[str, Any] = {
    "plans": {"gold": {"per_s": 100, "burst": 20}},
    "apps": {"shop": {"plan": "gold"}},
    "sources": {
        "sales": {
            "adapter": "mysql",
            "settings": {"host": "10.0.0.5", "database": "sales", "user": "zhiyun", "password": "s3cret-password"},
        }
    },
}


async def test_apply_diff_export_again(operator: httpx.AsyncClient) -> None:
    dry = (await operator.post("/api/v1/apply", json={"document": DOCUMENT, "dry_run": True})).json()
    assert [each["name"] for each in dry["changes"]] == ["gold", "shop", "sales"]
    assert (await operator.get("/api/v1/apps")).json()["items"] == []
    done = (await operator.post("/api/v1/apply", json={"document": DOCUMENT})).json()
    assert (done["changes"], done["dry_run"]) == (dry["changes"], False)
    assert done["revision"] > dry["revision"]
    exported = (await operator.get("/api/v1/export")).json()
    assert exported["sources"]["sales"]["settings"]["password"].startswith("sealed:v1:")
    again = (await operator.post("/api/v1/apply", json={"document": exported, "prune": True})).json()
    assert (again["changes"], again["unchanged"], again["revision"]) == ([], 3, done["revision"])
    gone = (await operator.post("/api/v1/diff", json={"document": {"version": 1}, "prune": True})).json()
    assert {each["action"] for each in gone["changes"]} == {"delete"}


async def test_a_secret_is_never_shown(operator: httpx.AsyncClient) -> None:
    await operator.post("/api/v1/apply", json={"document": DOCUMENT})
    for path in ("sources", "sources/sales", "audit", "export", "overview"):
        assert "s3cret-password" not in (await operator.get(f"/api/v1/{path}")).text
    assert (await operator.get("/api/v1/sources/sales")).json()["body"]["settings"]["password"] == "***"
    wrong = await operator.put("/api/v1/sources/sales", json={"adapter": "mysql", "settings": {"password": 5, "hots": "x"}})
    assert wrong.status_code == 422
    kept = await operator.patch("/api/v1/sources/sales", json={"title": "Sales"})
    assert kept.json()["body"]["settings"]["password"] == "***"


async def test_a_refused_document_changes_nothing(operator: httpx.AsyncClient) -> None:
    answer = await operator.post("/api/v1/apply", json={"document": {**DOCUMENT, "apps": {"shop": {"plan": "none"}}}})
    assert answer.status_code == 422
    assert answer.json()["problems"] == [{"path": "apps.shop.plan", "text": answer.json()["problems"][0]["text"]}]
    assert (await operator.get("/api/v1/plans")).json()["items"] == []
    assert (await operator.post("/api/v1/apply", json={"documnet": {}})).status_code == 400


async def test_the_schema_has_the_adapters(operator: httpx.AsyncClient) -> None:
    schema = (await operator.get("/api/v1/schema")).json()
    assert "sqlserver" in schema["$defs"]["Source"]["properties"]["adapter"]["enum"]


async def test_back_to_an_earlier_revision(operator: httpx.AsyncClient) -> None:
    then = (await operator.post("/api/v1/apply", json={"document": DOCUMENT})).json()["revision"]
    exported = (await operator.get("/api/v1/export")).json()
    await operator.put("/api/v1/plans/silver", json={"per_s": 1, "burst": 1})
    await operator.put("/api/v1/apps/shop", json={"plan": "silver"})
    dry = (await operator.post("/api/v1/rollback", json={"revision": then, "dry_run": True})).json()
    assert [(each["action"], each["name"]) for each in dry["changes"]] == [("update", "shop"), ("delete", "silver")]
    assert (await operator.get("/api/v1/export")).json() != exported
    done = (await operator.post("/api/v1/rollback", json={"revision": then})).json()
    assert (done["changes"], done["dry_run"]) == (dry["changes"], False)
    assert done["revision"] > dry["revision"]
    assert (await operator.get("/api/v1/export")).json() == exported
    assert (await operator.get("/api/v1/audit")).json()["items"][0]["actor"] == "operator"
    for body in ({"revision": 10_000}, {"revision": -1}, {"revision": "x"}, {}):
        assert (await operator.post("/api/v1/rollback", json=body)).status_code == 400
