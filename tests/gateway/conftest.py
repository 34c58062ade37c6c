"""A desk for each test."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from core.supervise import Tasks
from tests.gateway.desk import Desk, open_desk
from tests.gateway.oauth_desk import OAuth, open_oauth
from tests.gateway.raw_upstream import Upstream
from tests.gateway.rig import Rig, rigged
from tests.gateway.wire_builds import Builds
from tools.compile import Unable
from tools.compile import build as compile_hot_path


def _report(task: str, error: BaseException) -> None:
    logging.getLogger("tests").error("%s has failed", task, exc_info=error)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    tasks = Tasks(_report)
    async with open_desk(tmp_path / "desk", tasks=tasks) as opened:
        yield opened
    await tasks.close()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rigged() as made:
        yield made


@pytest.fixture
async def upstream(rig: Rig) -> Upstream:
    """Behind every path of `rig`."""
    made = Upstream()
    await rig.upstream(made.serve)
    rig.route("*")
    return made


@pytest.fixture(scope="session")
def builds() -> Iterator[Builds]:
    """Both builds of the wire, compiled first. A test machine has a C compiler: it is one of its servers."""
    try:
        compile_hot_path()
    except Unable as reason:
        pytest.fail(f"the compiled build can't be tested: {reason}; on Debian: apt-get install gcc libc6-dev")
    with Builds() as both:
        yield both


@pytest.fixture
async def oauth(tmp_path: Path) -> AsyncIterator[OAuth]:
    async with open_oauth(tmp_path / "desk") as opened:
        yield opened
