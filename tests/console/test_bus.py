"""Depth and dead letters of a real bus over HTTP."""

import httpx

from core.bus import Envelope, Subscription
from core.clock import epoch_ms
from tests.console.platform_parts import Platform


async def test_a_dead_letter_is_given_again(platform: Platform, operator: httpx.AsyncClient) -> None:
    bus = platform.control.bus
    reader = await bus.subscribe(Subscription(name="mirror", pattern="#"))
    await bus.publish([Envelope("e1", "sales.customer.upsert", "test", 1, "k", 1, "text/plain", b"x")])
    await (await reader.next()).bury("no such dataset")
    state = (await operator.get("/api/v1/bus")).json()
    assert state["dead_letters"] == 1
    (letter,) = (await operator.get("/api/v1/bus/dead-letters")).json()["items"]
    assert (letter["cause"], letter["topic"], letter["subscription"]) == ("no such dataset", "sales.customer.upsert", "mirror")
    assert "data" not in letter
    assert (await operator.post(f"/api/v1/bus/dead-letters/{letter['id']}/redeliver")).status_code == 202
    again = await reader.next()
    assert again.envelope.id == "e1"
    await again.ack()
    await reader.close()
    assert (await operator.get("/api/v1/bus/dead-letters")).json()["items"] == []
    assert (await operator.post("/api/v1/bus/dead-letters/none/redeliver")).status_code == 404


async def test_a_dead_letter_is_given_up_for_good(platform: Platform, operator: httpx.AsyncClient) -> None:
    bus = platform.control.bus
    reader = await bus.subscribe(Subscription(name="mirror", pattern="#"))
    await bus.publish([Envelope("e1", "sales.customer.upsert", "test", 1, "k", 3, "text/plain", b"x")])
    await (await reader.next()).bury("no such dataset")
    (letter,) = (await operator.get("/api/v1/bus/dead-letters")).json()["items"]
    given_up = await operator.post(f"/api/v1/bus/dead-letters/{letter['id']}/discard")
    assert (given_up.status_code, given_up.json()) == (200, letter)
    assert (await operator.get("/api/v1/bus/dead-letters")).json()["items"] == []
    assert (await operator.post(f"/api/v1/bus/dead-letters/{letter['id']}/discard")).status_code == 404
    await reader.close()


async def test_what_was_settled_is_counted_and_then_delivered_again(platform: Platform, operator: httpx.AsyncClient) -> None:
    bus = platform.control.bus
    reader = await bus.subscribe(Subscription(name="mirror", pattern="#"))
    since = epoch_ms()
    await bus.publish([Envelope(f"e{n}", "sales.customer.upsert", "test", 1, "k", 3, "text/plain", b"x") for n in range(2)])
    for _ in range(2):
        await (await reader.next()).ack()
    path = "/api/v1/bus/subscriptions/mirror/replay"
    dry = (await operator.post(path, json={"since_ms": since})).json()
    assert (dry["envelopes"], dry["records"]) == (2, 6)
    assert (await operator.post(path, json={"since_ms": since, "dry_run": False})).json() == dry
    assert [(await reader.next()).envelope.id for _ in range(2)] == ["e0", "e1"]
    for body, status in (({}, 400), ({"since_ms": since, "pattern": "A"}, 400), ({"since_ms": since, "dryrun": False}, 400)):
        assert (await operator.post(path, json=body)).status_code == status
    assert (await operator.post(path.replace("mirror", "nobody"), json={"since_ms": since})).status_code == 404
    await reader.close()
