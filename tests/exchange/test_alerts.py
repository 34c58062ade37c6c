"""From a failed job to the person who is told: once, escalated, acknowledged, closed; over real stores and listeners."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from config.contacts import Contact
from config.model import Platform, Retry
from core.bus import Envelope, Subscription
from core.secret import Secret
from core.supervise import Tasks
from exchange import alerts as module
from exchange.alerts import Alerts
from storage.incidents import SqlIncidents
from storage.sqlite import open_sqlite
from tests.exchange.feed import Exchange, Feed, exchange_on, platform
from tests.exchange.listeners import Posts, posts

pytestmark = pytest.mark.req("2.12")


@asynccontextmanager
async def _office(folder: Path, feed: Feed, *, node: str = "node") -> AsyncIterator[tuple[Exchange, Alerts, SqlIncidents]]:
    """A node that runs jobs and tells contacts."""
    database = await open_sqlite(folder / "incidents.db")
    tasks = Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}"))
    try:
        async with exchange_on(folder, feed) as exchange:
            incidents = SqlIncidents(database)
            await incidents.prepare()
            alerts = Alerts(incidents, exchange.states, owner=node, bus=exchange.bus)
            exchange.runner._alerts = alerts
            tasks.keep(alerts.keep, name="alerts")
            try:
                yield exchange, alerts, incidents
            finally:
                await tasks.close()
    finally:
        await database.close()


def _platform(listener: Posts, **contact: Any) -> Platform:
    made = platform(alert="ops", retry=Retry(attempts=2, delay_s=0.02))
    ops = Contact(webhook=Secret(f"{listener.url}/ops"), **contact)
    return replace(made, contacts={"ops": ops, "boss": Contact(webhook=Secret(f"{listener.url}/boss"))})


async def _got(listener: Posts, count: int) -> list[tuple[str, str]]:
    """(whom, event) of the first posts, once there are so many."""
    async with asyncio.timeout(60):
        while len(listener.got) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return [(path, json.loads(body)["event"]) for path, _, body in listener.got]


async def test_a_job_that_fails_for_good_is_told_once_and_its_recovery_too(tmp_path: Path) -> None:
    feed = Feed([(1, "a", 1)], breaks=[0, 0, 0, 0])
    async with posts() as listener, _office(tmp_path, feed) as (exchange, _, incidents):
        exchange.runner.reload(_platform(listener))
        assert await _got(listener, 1) == [("/ops", "incident.raised")]
        event = json.loads(listener.got[0][2])
        assert (event["subject"], event["detail"]) == ("load", "the sales system at 10.0.0.1:1433 does not answer")
        exchange.runner.run_now("load")
        await exchange.ended(4)
        async with asyncio.timeout(60):
            while (await incidents.listed())[0].count < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        exchange.runner.run_now("load")
        assert await _got(listener, 2) == [("/ops", "incident.raised"), ("/ops", "incident.closed")]
        assert await incidents.listed() == []


async def test_what_nobody_acknowledges_goes_one_higher_and_what_somebody_does_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.05)
    feed = Feed([(1, "a", 1)], breaks=[0, 0])
    async with posts() as listener, _office(tmp_path, feed) as (exchange, _, incidents):
        exchange.runner.reload(_platform(listener, escalate_to="boss", escalate_after_s=0.5))
        assert await _got(listener, 2) == [("/ops", "incident.raised"), ("/boss", "incident.escalated")]
        exchange.runner.run_now("load")
        assert (await _got(listener, 4))[2:] == [("/ops", "incident.closed"), ("/boss", "incident.closed")]
        feed.breaks += [0, 0]
        feed.rows.append((2, "b", 2))
        exchange.runner.reload(_platform(listener, escalate_to="boss", escalate_after_s=2))
        exchange.runner.run_now("load")
        assert (await _got(listener, 5))[4:] == [("/ops", "incident.raised")]
        (incident,) = await incidents.listed()
        await incidents.settle(incident.id, "acknowledged", by="ann")
        await asyncio.sleep(2.5)
        assert len(listener.got) == 5


async def test_a_contact_that_can_t_be_told_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.05)
    monkeypatch.setattr(module, "_FIRST_PAUSE_MS", 50)
    feed = Feed([(1, "a", 1)], breaks=[0, 0])
    async with posts() as listener, _office(tmp_path, feed) as (exchange, _, incidents):
        listener.status = 503
        exchange.runner.reload(_platform(listener))
        await _got(listener, 3)
        (incident,) = await incidents.listed()
        assert (incident.told_ms, incident.tries >= 2) == (0, True)
        listener.status = 200
        async with asyncio.timeout(60):
            while not (incident := (await incidents.listed())[0]).told_ms:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert incident.tries == 0
        ids = {headers["webhook-id"] for _, headers, _ in listener.got}
        assert ids == {f"{incident.id}-raised"}, "a repeat is known as one"


async def test_of_two_nodes_one_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.02)
    feed = Feed([(1, "a", 1)], breaks=[0, 0])
    async with posts() as listener, _office(tmp_path, feed) as (exchange, _, incidents):
        other = Alerts(incidents, exchange.states, owner="other")
        other.reload(_platform(listener))
        watching = asyncio.create_task(other.keep())
        exchange.runner.reload(_platform(listener))
        await _got(listener, 1)
        await asyncio.sleep(0.5)
        watching.cancel()
        assert len(listener.got) == 1


async def test_rows_in_quarantine_are_told_and_over_when_a_run_has_none(tmp_path: Path) -> None:
    feed = Feed([(1, "a", 1), ("x", "bad", 2)])
    async with posts() as listener, _office(tmp_path, feed) as (exchange, _, incidents):
        exchange.runner.reload(replace(_platform(listener), jobs={"load": replace(_platform(listener).jobs["load"], mode="full")}))
        assert await _got(listener, 1) == [("/ops", "incident.raised")]
        event = json.loads(listener.got[0][2])
        assert (event["kind"], event["subject"]) == ("rows_quarantined", "load")
        assert "1 rows of SYNC" in event["detail"]
        feed.rows.pop()
        exchange.runner.run_now("load")
        assert (await _got(listener, 2))[1] == ("/ops", "incident.closed")
        assert await incidents.listed() == []


async def test_dead_letters_are_told_to_the_contact_of_their_dataset_and_over_when_they_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.05)
    monkeypatch.setattr(module, "_DEAD_LOOK_S", 0.05)
    feed = Feed([(1, "a", 1)])
    async with posts() as listener, _office(tmp_path, feed) as (exchange, _, incidents):
        exchange.runner.reload(_platform(listener))
        reader = await exchange.bus.subscribe(Subscription(name="other", pattern="#"))
        await exchange.bus.publish([Envelope("e1", "sales.customers.upsert", "test", 1, "k", 1, "text/plain", b"x")])
        delivery = await reader.next()
        while delivery.envelope.id != "e1":
            await delivery.ack()
            delivery = await reader.next()
        await delivery.bury("no such place")
        assert ("/ops", "incident.raised") in await _got(listener, 1)
        event = json.loads(listener.got[0][2])
        assert (event["kind"], event["subject"]) == ("dead_letters", "sales.customers")
        await asyncio.sleep(0.3)
        (incident,) = [each for each in await incidents.listed() if each.kind == "dead_letters"]
        assert incident.count == 1, "one and the same is raised once"
        for letter in await exchange.bus.dead_letters():
            await exchange.bus.discard(letter.id)
        assert ("/ops", "incident.closed") in await _got(listener, 2)
        await reader.close()
