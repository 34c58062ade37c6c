"""Depth and dead letters of a real bus over HTTP."""

import httpx

from core.bus import Envelope, Subscription
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
