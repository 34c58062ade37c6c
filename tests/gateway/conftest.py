"""A desk for each test."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.supervise import Tasks
from tests.gateway.desk import Desk, open_desk
from tests.gateway.oauth_desk import OAuth, open_oauth


def _report(task: str, error: BaseException) -> None:
    logging.getLogger("tests").error("%s has failed", task, exc_info=error)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    tasks = Tasks(_report)
    async with open_desk(tmp_path / "desk", tasks=tasks) as opened:
        yield opened
    await tasks.close()


@pytest.fixture
async def oauth(tmp_path: Path) -> AsyncIterator[OAuth]:
    async with open_oauth(tmp_path / "desk") as opened:
        yield opened
