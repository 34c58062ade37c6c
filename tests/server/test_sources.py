"""The connections of a process: opened when first used, replaced when they change."""

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.guarded import Guarded
from adapters.loader import load_adapters
from config.model import Guard, Platform, Source
from core.adapter import Connection
from core.clock import SystemClock
from core.errors import ConfigError, NotFound
from core.supervise import Tasks
from server.sources import SourcePool
from tests.gateway.ledger import Ledger
from tests.gateway.rig import until


@pytest.fixture
def failures() -> Iterator[list[str]]:
    seen: list[str] = []
    yield seen
    assert seen == []


def _platform(*names: str, timeout_s: float = 30.0, **more: Source) -> Platform:
    guard = Guard(timeout_s=timeout_s)
    return Platform(sources={**{name: Source(adapter="ledger", settings={}, guard=guard) for name in names}, **more})


def _ledger(connection: Connection) -> Ledger:
    assert isinstance(connection, Guarded)
    inner: Any = connection._inner
    assert isinstance(inner, Ledger)
    return inner


def _pool(failures: list[str]) -> tuple[SourcePool, Tasks]:
    tasks = Tasks(lambda name, error: failures.append(f"{name}: {error!r}"))
    return SourcePool(load_adapters(("tests.gateway.ledger",)), SystemClock(), tasks), tasks


async def test_a_reload_keeps_what_is_the_same_and_closes_what_is_not(failures: list[str]) -> None:
    pool, tasks = _pool(failures)
    pool.reload(_platform("a", "b", "c"))
    a, b, c = (pool.get(name) for name in "abc")
    _ledger(b).rows[("x",)] = {"kept": 1}
    _ledger(c).rows[("x",)] = {"kept": 1}
    assert pool.get("a") is a
    changed = Source(adapter="ledger", settings={}, title="another")
    pool.reload(_platform("a", c=changed))
    assert pool.get("a") is a
    assert pool.get("c") is not c
    with pytest.raises(NotFound, match="no source b"):
        pool.get("b")
    await until(lambda: (_ledger(b).rows, _ledger(c).rows) == ({}, {}))  # they close behind their calls
    await pool.close()
    await tasks.close()


async def test_a_source_without_its_adapter_troubles_only_itself(failures: list[str]) -> None:
    pool, tasks = _pool(failures)
    pool.reload(_platform("a", odd=Source(adapter="mainframe", settings={}), wrong=Source(adapter="ledger", settings={})))
    with pytest.raises(ConfigError, match="source odd: this node has no adapter mainframe"):
        pool.get("odd")
    await pool.check("a")
    await pool.close()
    await pool.close()
    await tasks.close()
