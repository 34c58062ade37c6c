"""Clients that call without a pause, while the configuration changes, a worker is killed, and the node ends: who loses what."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.rig import until
from tests.system.gateway import Gateway, Load

ROUTES: dict[str, Any] = {
    "busy": {"match": {"path": "/busy/{rest...}"}, "upstream": "one"},
    "turning": {"match": {"path": "/turning"}, "upstream": "one"},
}
CLIENTS, LATE = 8, 40
CHANGES, REQUESTS = 20, 1000


@pytest.fixture
def busy(gateway: Gateway) -> dict[str, str]:
    return gateway.app("busy", routes=ROUTES).api_key


@pytest.mark.req("0.33")
async def test_a_reload_loses_no_request(gateway: Gateway, busy: dict[str, str]) -> None:
    """The route that is called changes too, its upstream, and the app's scopes."""
    changes = 0
    async with Load(gateway, "/busy/x", busy, clients=CLIENTS) as load:
        while changes < CHANGES or load.tally.total < REQUESTS:
            changes += 1
            await asyncio.to_thread(_change, gateway, changes)
            await asyncio.sleep(0.1)
        tally = await load.stop()
    assert set(tally.answers) == {200}, tally
    assert not tally.failures, tally
    assert not tally.refused, tally
    gateway.settle()


def _change(gateway: Gateway, number: int) -> None:
    route = {**ROUTES["busy"], "policies": {"timeout_s": 10.0 + number % 7, "compress": {} if number % 2 else None}}
    upstream = {"endpoints": [{"url": gateway.upstream.url, "weight": 1 + number % 3}], "max_idle": 16 + number % 2}
    sections = {"routes": {"busy": route, f"turning-{number % 5}": {"match": {"path": f"/turning/{number}"}, "upstream": "one"}}}
    with gateway.node.operator() as operator:
        done = operator.post("/apply", json={"document": {"version": 1, **sections, "upstreams": {"one": upstream}}})
        assert done.status_code == 200, done.text


@contextmanager
def _nobody_is_started_anew(gateway: Gateway) -> Iterator[None]:
    """The supervisor stands still meanwhile."""
    os.kill(gateway.node.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(gateway.node.pid, signal.SIGCONT)


@pytest.mark.req("0.33")
async def test_a_killed_worker_loses_only_what_it_was_doing(gateway: Gateway, busy: dict[str, str]) -> None:
    """One request of each of its clients at most. Who connects while it is dead waits for the next one."""
    victim = gateway.workers()[0]
    async with Load(gateway, "/busy/x", busy, clients=CLIENTS, per_connection=5) as load:
        await until(lambda: load.tally.total > 100, within_s=60)
        with _nobody_is_started_anew(gateway):
            os.kill(victim, signal.SIGKILL)
            await until(lambda: victim not in gateway.workers(), within_s=60)
            late = [Load(gateway, "/busy/late", busy, clients=1, per_connection=1) for _ in range(LATE)]
            calls = [asyncio.ensure_future(each.once()) for each in late]
            await until(lambda: any(each.done() for each in calls), within_s=60)
            await asyncio.sleep(0.5)
            waiting = [each for each in calls if not each.done()]
            assert waiting, "who has come to the dead one's door"
        connected = await asyncio.gather(*calls)
        before = load.tally.total
        await until(lambda: len(gateway.workers()) == 2 and load.tally.total > before + 100, within_s=60)
        tally = await load.stop()
    assert connected == [200] * LATE, "all that came while it was dead were answered"
    assert set(tally.answers) == {200}, tally
    assert tally.total - tally.answers[200] <= CLIENTS, tally
    assert not tally.refused, tally
    assert not any("Timeout" in failure for failure in tally.failures), tally
    gateway.settle()


async def test_a_node_that_ends_answers_what_it_has_accepted(tmp_path: Path) -> None:
    made = Gateway(tmp_path / "data", workers=2, drain_s=5.0)
    try:
        await asyncio.to_thread(made.start)
        busy = (await asyncio.to_thread(lambda: made.app("busy", routes=ROUTES))).api_key
        slow = [Load(made, "/busy/slow?s=1.5", busy, clients=4, per_connection=1) for _ in range(3)]
        async with Load(made, "/busy/x", busy, clients=CLIENTS) as load, slow[0], slow[1], slow[2]:
            await until(lambda: made.upstream.by_path.get("/busy/slow", 0) >= 12 and load.tally.total > 100, within_s=60)
            assert await asyncio.to_thread(made.node.stop) == 0
            tallies = [load.tally, *(each.tally for each in slow)]
            for each in (load, *slow):
                each.is_over = True
        assert all(set(each.answers) == {200} for each in tallies), tallies
        assert [each.failures for each in tallies] == [{}] * 4, tallies
        assert sum(each.answers[200] for each in tallies[1:]) >= 12, "those that were being answered were, to the end"
        assert load.tally.refused > 0, "those that came after were refused at once"
    finally:
        made.close()
