"""Loops of probes and discovery begin, change and end with what is declared."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from config.upstreams import ActiveHealth, Discovery, Endpoint, Tls, Upstream
from core.supervise import Tasks
from gateway.upstream.endpoints import EndpointState
from gateway.upstream.upstream import Upstreams
from gateway.upstream.watch import Watch
from tests.gateway.rig import until

PROBED = Upstream(endpoints=(Endpoint("http://127.0.0.1:9"),), active=ActiveHealth(every_s=60, timeout_s=0.2))
FOUND = Upstream(discovery=Discovery(dns="127.0.0.1:9", every_s=60))


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    failures: list[str] = []
    made = Tasks(lambda name, error: failures.append(f"{name}: {error!r}"))
    yield made
    await made.close()
    assert failures == []


def no_tls(_: Tls) -> ssl.SSLContext:
    raise AssertionError("plain HTTP needs no TLS")


async def ended(names_left: set[str]) -> None:
    await until(lambda: names() == names_left)


def names() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(("probe-", "discover-"))}


async def test_a_loop_for_each_aspect_that_is_declared(tasks: Tasks) -> None:
    upstreams, removed = Upstreams(), list[EndpointState]()
    watch = Watch(upstreams, tasks, context_of=no_tls, removed=removed.extend, report=lambda _: None)
    upstreams.reload({"a": PROBED, "b": FOUND, "c": Upstream()})
    watch.reload()
    assert names() == {"probe-a", "discover-b"}
    await until(lambda: bool(upstreams.get("b").endpoints))
    assert [each.url for each in upstreams.get("b").endpoints] == ["http://127.0.0.1:9"]

    before = {task for task in asyncio.all_tasks() if task.get_name() == "probe-a"}
    upstreams.reload({"a": PROBED, "b": Upstream(endpoints=PROBED.endpoints)})
    watch.reload()
    await ended({"probe-a"})
    assert {task for task in asyncio.all_tasks() if task.get_name() == "probe-a"} == before  # it was not begun anew

    upstreams.reload({"a": Upstream(endpoints=PROBED.endpoints, active=ActiveHealth(every_s=61, timeout_s=0.2))})
    watch.reload()
    await asyncio.wait(before, timeout=60)
    assert {task for task in asyncio.all_tasks() if task.get_name() == "probe-a"}.isdisjoint(before)
    upstreams.reload({})
    watch.reload()
    await ended(set())
