"""The platform's story, told against any node with the sample estate, whatever parts it runs on."""

from typing import Any
from uuid import uuid4

import httpx

from tests.system.node import Node, at_source, count, eventually

SERVICES: dict[str, tuple[str, str, str]] = {
    "customers": ("sales", "SELECT count(*) FROM Customer", "sales.customers"),
    "follow-ups": ("sales", "SELECT count(*) FROM FollowUp", "sales.follow_ups"),
    "deals": ("sales", "SELECT count(*) FROM Deal", "sales.deals"),
    "buildings": ("property", "SELECT count(*) FROM building", "property.buildings"),
    "rooms": ("property", "SELECT count(*) FROM room", "property.rooms"),
    "owners": ("property", "SELECT count(*) FROM owner", "property.owners"),
    "residents": ("property", "SELECT count(*) FROM resident", "property.residents"),
    "members": ("member", "SELECT count(*) FROM member", "member.members"),
    "broker-events": ("broker", "SELECT count(*) FROM record", "broker.events"),
    "behaviours": ("marketing", "SELECT count(*) FROM event", "marketing.behaviours"),
}
"""Service → the system's database, what it holds, the dataset."""


def quarantined(operator: httpx.Client, dataset: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = operator.get("/quarantine", params={"dataset": dataset, "limit": 1000}).json()["items"]
    return found


def everything_adds_up(node: Node) -> dict[str, tuple[int, int, int]]:
    """Each source's rows are in the mirror or in quarantine, exactly; gives service → (mirror, quarantine, source)."""
    found = {}
    with node.app() as app, node.operator() as operator:
        for service, (system, sql, dataset) in SERVICES.items():

            def tally(service: str = service, system: str = system, sql: str = sql, dataset: str = dataset) -> Any:
                ((rows,),) = at_source(node, system, sql)
                seen, bad = count(app, service), len(quarantined(operator, dataset))
                return (seen, bad, rows) if seen + bad == rows else None

            if service in ("behaviours", "follow-ups", "broker-events", "owners"):  # the estate lives on meanwhile
                operator.post(f"/jobs/{service}/run")
            found[service] = eventually(f"{service}: mirror + quarantine = source", tally)
    return found


def query_comes_from_the_database_then_from_the_app_cache(node: Node) -> None:
    with node.app() as app:

        def pair() -> bool:
            target = f"/v1/customers?limit={1 + uuid4().int % 900}"
            first, second = app.get(target), app.get(target)
            assert first.json() == second.json() or first.headers["X-Zhiyun-Tier"] == second.headers["X-Zhiyun-Tier"] == "db"
            return [answer.headers["X-Zhiyun-Tier"] for answer in (first, second)] == ["db", "app"]

        eventually("a page comes from the database, then from the app cache", pair)


def a_write_is_seen_everywhere(node: Node, customer: str) -> None:
    """At the source, in the mirror and in the changes feed; and once, though it is sent twice."""
    status = f"已回访{uuid4().hex[:6]}"  # one that it does not have: what changes nothing is no change
    with node.app() as app:
        before = app.get("/v1/customers/changes", params={"since": 0, "limit": 1000}).json()
        while before["data"] and len(before["data"]) == 1000:
            before = app.get("/v1/customers/changes", params={"since": before["last_version"], "limit": 1000}).json()
        headers = {"Idempotency-Key": uuid4().hex}
        answers = [app.patch(f"/v1/customers/{customer}", json={"status": status}, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200], answers[-1].text
        assert answers[0].json() == answers[1].json()
        assert app.get(f"/v1/customers/{customer}").json()["status"] == status
        if node.settings.sample_sqlserver is None:
            assert at_source(node, "sales", "SELECT Status FROM Customer WHERE CustomerID = ?", customer) == [(status,)]
        feed = app.get("/v1/customers/changes", params={"since": before["last_version"], "wait": 5, "limit": 1000}).json()
        mine = [item for item in feed["data"] if item["record"]["customer_id"] == customer]
        assert [item["record"]["status"] for item in mine] == [status]


def points_are_live(node: Node) -> None:
    with node.app() as app:
        ((points,),) = at_source(node, "member", "SELECT points FROM member WHERE member_id = 'M00000002'")
        first = app.get("/v1/member-points/M00000002")
        assert first.status_code == 200, first.text
        assert str(points) in first.text
        assert first.headers["X-Zhiyun-Tier"] in ("source", "cache")
        eventually("its cache", lambda: app.get("/v1/member-points/M00000002").headers["X-Zhiyun-Tier"] == "app")
        unknown = app.get("/v1/member-points/M99999999")
        assert (unknown.status_code, unknown.headers["Content-Type"]) == (404, "application/problem+json")


def a_route_passes_through_to_the_marketing_system(node: Node) -> None:
    """Its API with its own key, which the app never sees; a repeat comes from the gateway's cache."""
    with node.app() as app:
        ((campaigns,),) = at_source(node, "marketing", "SELECT count(*) FROM campaign")
        target = f"/marketing/campaigns?size=2&page={1 + uuid4().int % 2**30}"
        first, second = app.get(target), app.get(target)
        assert first.status_code == 200, first.text
        assert (first.json()["total"], first.json()["size"]) == (campaigns, 2)
        assert first.json() == second.json()
        assert second.headers["Age"].isdigit(), second.headers
        assert "marketing-api" in first.headers["RateLimit-Policy"]
        assert app.get("/marketing/nothing").json()["error"]["code"] == "http_404", "the system's own words"
        assert app.put("/marketing/campaigns").json()["code"] == "method_not_allowed"
    assert httpx.get(f"http://{node.settings.http}/marketing/campaigns").json()["code"] == "token_missing"


def all_is_well(node: Node) -> None:
    """Each process says that its parts are well. A report counts for five seconds, and a busy machine may miss one."""
    with node.operator() as operator:

        def is_well() -> bool:
            nodes = operator.get("/nodes").json()["items"]
            assert {each["report"]["role"] for each in nodes} == {"gateway", "back-office", "deliveries"}
            return all(each["is_live"] and set(each["report"]["parts"].values()) == {"ok"} for each in nodes)

        eventually("all is well", is_well)


def what_is_not_there_is_a_problem(node: Node) -> None:
    with node.app() as app:
        answer = app.get("/v1/customers/K9999999", headers={"Accept-Language": "zh-CN"})
        assert (answer.status_code, answer.json()["code"], answer.json()["title"]) == (404, "not_found", "资源不存在")
        assert app.get("/v1/nothing").json()["code"] == "no_route"
        assert httpx.get(f"http://{node.settings.http}/v1/customers").json()["code"] == "token_missing"
