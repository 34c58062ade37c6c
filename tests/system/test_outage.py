"""A gateway whose database is down starts from its last snapshot and serves what needs none (DESIGN §2)."""

import httpx
import pymysql
import pytest

from core.secret import Secret
from tests.servers.mariadb import MariaDBServer
from tests.system.conftest import NodeMaker
from tests.system.node import Node, changed, credential_of, eventually

pytestmark = pytest.mark.servers


def test_a_gateway_starts_and_serves_while_mariadb_is_down(make_node: NodeMaker, mariadb_server: MariaDBServer) -> None:
    made = mariadb_server.fresh_database()
    address = f"mysql://{made.user}:{made.password}@{made.host}:{made.port}/{made.database}"
    node = make_node(database=Secret(address)).start()
    login = credential_of(node)
    with node.app(login) as app:
        assert app.get("/v1/customers/K0000001").status_code == 200
    assert node.stop() == 0

    mariadb_server.kill()
    try:
        gateway = Node(changed(node.settings, roles=("gateway",)))
        gateway.begin()
        gateway.wait_for("is ready")
        try:
            _serves_what_it_can(gateway, login)
            mariadb_server.start()
            with gateway.app(login) as app:
                eventually("the mirror answers again", lambda: app.get("/v1/customers/K0000001").status_code == 200)
            assert gateway.stop() == 0
        finally:
            gateway.kill()
    finally:
        if not _is_up(mariadb_server):
            mariadb_server.start()


def _serves_what_it_can(gateway: Node, login: tuple[str, str]) -> None:
    """Tokens and decisions need no database; data from the mirror does, and says so."""
    with gateway.app(login) as app:
        answer = app.get("/v1/customers/K0000001")
        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert answer.json()["code"] in ("unavailable", "not_connected")
        assert app.get("/v1/nothing").status_code == 404
    assert httpx.get(f"http://{gateway.settings.http}/v1/customers/K0000001", timeout=20).status_code == 401


def _is_up(server: MariaDBServer) -> bool:
    try:
        server.execute("SELECT 1")
    except (OSError, pymysql.err.MySQLError):
        return False
    return True
