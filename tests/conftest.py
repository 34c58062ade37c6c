"""Fixtures of the whole test tree: the real servers, free ports, and checks that a test leaves nothing running."""

import asyncio
import inspect
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from _pytest.nodeid import NodeId
from hypothesis import HealthCheck, settings

from tests.servers import ports
from tests.servers.process import running_pids

pytest_plugins = [
    "tests.servers.redis",
    "tests.servers.mariadb",
    "tests.servers.postgres",
    "tests.servers.ssh",
    "tests.servers.rabbitmq",
    "tests.servers.ftp",
    "tests.servers.soap",
]

# How long an example takes says nothing on a busy machine; a test that hangs is ended by its own limit.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_GRACE_S = 5.0  # what a closing client may take to end its own processes and tasks


@pytest.hookimpl(tryfirst=True)  # after those of the folders below, which pluggy calls before it
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put all tests that use RabbitMQ on one test worker, so that a run starts one broker; tell the scheduler of all groups."""
    for item in items:
        if "rabbitmq_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("rabbitmq"))
        group = item.get_closest_marker("xdist_group")
        if group is not None and config.getoption("loadgroup", False):
            # The scheduler reads the group at the end of the test's id. pytest-xdist 3.8 writes it into an attribute that
            # pytest 9.2 does not read any more, and each test would be a group of its own.
            item._id = NodeId.parse(f"{item.nodeid}@{group.args[0]}")


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    return ports.free_port()


def _children() -> set[int]:
    """Return the process ids of this process's children, ended and uncollected ones included (Linux; else none)."""
    found: set[int] = set()
    for listing in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        try:
            found.update(int(pid) for pid in listing.read_text().split())
        except FileNotFoundError:
            continue  # the thread ended meanwhile
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip() or "(ended, not waited for)"
    except FileNotFoundError:
        return "(ended)"


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    """Fail a test that leaves a child process behind; the servers of the session are none of its own."""
    before = _children()
    yield
    give_up_at = time.monotonic() + _GRACE_S
    while (left := _children() - before - running_pids) and time.monotonic() < give_up_at:
        time.sleep(0.02)
    if left:
        pytest.fail("left running: " + "; ".join(f"{pid} {_command_line(pid)}" for pid in sorted(left)), pytrace=False)


@pytest_asyncio.fixture
async def _no_task_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=_GRACE_S)
    if left:
        pytest.fail("asyncio tasks left running: " + "; ".join(sorted(map(repr, left))), pytrace=False)


@pytest.fixture(autouse=True)
def _clean_loop(request: pytest.FixtureRequest) -> None:
    """Fail an asyncio test that leaves tasks in its event loop, which would be cancelled unseen with the loop."""
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_no_task_left")
