"""One node for all tests that only read, and nodes of their own for those that break things."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.estate.generate import generate
from tests.system.gateway import Gateway
from tests.system.node import Node, settings_for

NodeMaker = Callable[..., Node]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a node run on one test worker; those that use RabbitMQ are grouped by tests/conftest.py."""
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.slow)
        fixtures = getattr(item, "fixturenames", ())
        if "rabbitmq_server" not in fixtures:
            shared = next((name for name in ("node", "gateway") if name in fixtures), item.path.stem)
            item.add_marker(pytest.mark.xdist_group(shared))


@pytest.fixture(scope="session")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of the sample estate. Each node takes a copy."""
    folder = tmp_path_factory.mktemp("system") / "estate"
    generate(folder, scale=0.25)
    return folder


@pytest.fixture(scope="session")
def node(estate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A running node with the sample estate, for tests that leave it as it is."""
    made = Node(settings_for(tmp_path_factory.mktemp("node") / "data"), estate)
    try:
        yield made.start()
    finally:
        made.kill()


@pytest.fixture(scope="module")
def own_node(estate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A running node of this module; each test leaves it running."""
    made = Node(settings_for(tmp_path_factory.mktemp("own") / "data"), estate)
    try:
        yield made.start()
    finally:
        made.kill()


@pytest.fixture
def make_node(tmp_path: Path, estate: Path) -> Iterator[NodeMaker]:
    """Makes nodes that end with the test: `make_node(is_sample=…, setting=…)`, not started."""
    made: list[Node] = []

    def make(*, is_sample: bool = True, **settings: Any) -> Node:
        node = Node(settings_for(tmp_path / f"data{len(made)}", **settings), estate if is_sample else None)
        made.append(node)
        return node

    yield make
    for node in made:
        node.kill()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A node of two workers in front of one upstream; each test leaves both running and its own routes behind."""
    made = Gateway(tmp_path_factory.mktemp("gateway") / "data")
    try:
        yield made.start()
    finally:
        made.close()
