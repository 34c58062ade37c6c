"""The same story on a node whose database is MariaDB, whose bus is RabbitMQ and whose cache is Redis."""

import pytest

from core.secret import Secret
from tests.servers.mariadb import MariaDBDatabase
from tests.system import story
from tests.system.conftest import NodeMaker

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


@pytest.mark.req("0.47")
@pytest.mark.req("0.41")
@pytest.mark.req("0.42")
def test_the_story_is_the_same(make_node: NodeMaker, mariadb_database: MariaDBDatabase, rabbitmq_url: str, redis_url: str) -> None:
    m = mariadb_database
    database = Secret(f"mysql://{m.user}:{m.password}@{m.host}:{m.port}/{m.database}")
    node = make_node(database=database, bus=Secret(rabbitmq_url), cache=Secret(redis_url)).start()
    story.everything_adds_up(node)
    story.query_comes_from_the_database_then_from_the_app_cache(node)
    story.a_write_is_seen_everywhere(node, "K0000005")
    story.points_are_live(node)
    story.what_is_not_there_is_a_problem(node)
    story.all_is_well(node)
    node.kill()
    node.start()
    story.everything_adds_up(node)
    story.a_write_is_seen_everywhere(node, "K0000006")
    assert node.stop() == 0
    assert not (node.folder / "mirror.db").exists()
