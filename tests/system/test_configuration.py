"""Configuration of routes: rolled back by the command line, and served from the disk while the database is down."""

import pytest

from core.secret import Secret
from tests.servers.mariadb import MariaDBServer
from tests.system.conftest import NodeMaker
from tests.system.gateway import Gateway
from tests.system.node import Node, changed, eventually


@pytest.mark.req("0.37")
def test_a_rollback_changes_what_is_served(gateway: Gateway) -> None:
    route = {"match": {"path": "/turned/{rest...}"}, "upstream": "one", "anonymous": True, "prefix": "/before"}
    gateway.apply(routes={"turned": route})
    with gateway.node.operator() as operator:
        revision = operator.get("/overview").json()["revision"]
        revision = max(revision, *(entry["revision"] for entry in operator.get("/audit").json()["items"] if entry.get("revision")))
    gateway.apply(routes={"turned": {**route, "prefix": "/after"}, "new": {**route, "match": {"path": "/new"}}})
    assert gateway.get("/turned/a").json()["target"] == "/after/turned/a"
    assert gateway.get("/new").status_code == 200
    assert "would roll back" in gateway.cli("rollback", str(revision), "--dry-run")
    assert gateway.get("/new").status_code == 200
    assert "rolled back" in gateway.cli("rollback", str(revision))
    gateway.settle()
    for answer in gateway.on_each_worker("/turned/a", {}):
        assert answer.json()["target"] == "/before/turned/a"
    assert gateway.get("/new").json()["code"] == "no_route"


@pytest.mark.servers
@pytest.mark.req("0.02")
def test_routes_are_served_from_the_disk_while_the_database_is_down(
    gateway: Gateway, make_node: NodeMaker, mariadb_server: MariaDBServer
) -> None:
    """Apps prove themselves as ever, limits count, the upstream is asked."""
    made = mariadb_server.fresh_database()
    away = Gateway.__new__(Gateway)
    away.trust, away.upstream = True, gateway.upstream
    away.node = make_node(
        is_sample=False, database=Secret(f"mysql://{made.user}:{made.password}@{made.host}:{made.port}/{made.database}")
    )
    away.node.start()
    away.apply(
        plans={"open": {"per_s": 100, "burst": 100}},
        upstreams={"one": {"endpoints": [{"url": gateway.upstream.url}]}},
        routes={"shop": {"match": {"path": "/shop/{rest...}"}, "upstream": "one"}},
    )
    login = away.app("shop")
    assert away.get("/shop/a", login).status_code == 200
    assert away.node.stop() == 0
    mariadb_server.kill()
    try:
        away.node = Node(changed(away.node.settings, roles=("gateway",)))
        away.node.begin()
        away.node.wait_for("is ready")
        assert away.get("/shop/a", login).json()["headers"]["x-zhiyun-app"] == login.name
        token = away.token(login)
        assert away.get("/shop/a", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert away.get("/shop/a").status_code == 401
        mariadb_server.start()
        eventually("the database is noticed", lambda: "the registry is back" in away.node.output())
        assert away.get("/shop/a", login).status_code == 200
        assert away.node.stop() == 0
    finally:
        away.node.kill()
        mariadb_server.start()
