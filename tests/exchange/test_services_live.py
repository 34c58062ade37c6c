"""Kind c: a live interface, wrapped, cached, coalesced, and stale while its source is down (requirement 0.43)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from config.model import Call, Freshness, Service
from core.errors import ConfigError, InvalidInput, NotConnected, NotFound
from core.schema import Value
from core.service import Write
from exchange.services.live import LiveService
from tests.conformance.data_service_suite import caller
from tests.exchange.customers import Sales, make_tiers


@dataclass
class Member:
    """core.adapter.Backend: points by card; fails while `error` is set."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    error: Exception | None = None

    async def check(self) -> None: ...

    async def close(self) -> None: ...

    async def call(self, operation: str, arguments: Mapping[str, Value]) -> Any:
        self.calls.append((operation, dict(arguments)))
        await asyncio.sleep(0.02)
        if self.error is not None:
            raise self.error
        return {"points": len(self.calls)}


def service(source: Any, *, cache_s: float = 30) -> LiveService:
    call = Call("member", "GetPoints", "card", {"channel": "open"})
    declared = Service("realtime", call=call, freshness=Freshness(app_s=0, cache_s=cache_s, stale_s=60))
    return LiveService("points", declared, tiers=make_tiers(), connections=lambda _: source)


@pytest.mark.req("0.43")
async def test_the_key_becomes_an_argument_and_many_readers_one_call() -> None:
    member = Member()
    live = service(member)
    answers = await asyncio.gather(*(live.get("C-1", caller()) for _ in range(20)))
    assert {answer.body for answer in answers} == {b'{"points":1}'}
    assert member.calls == [("GetPoints", {"channel": "open", "card": "C-1"})]
    assert (await live.get("C-1", caller())).tier == "cache"


async def test_while_it_is_down_the_last_answer_serves_and_a_fault_does_not() -> None:
    member = Member()
    live = service(member, cache_s=0.02)
    await live.get("C-1", caller())
    await asyncio.sleep(0.05)
    member.error = NotConnected("member does not answer")
    stale = await live.get("C-1", caller())
    assert (stale.tier, msgspec.json.decode(stale.body)) == ("cache", {"points": 1})
    with pytest.raises(NotConnected):
        await live.get("C-2", caller())
    member.error = NotFound("no such card")
    with pytest.raises(NotFound):
        await live.get("C-1", caller())


async def test_what_it_lacks_is_refused_clearly() -> None:
    live = service(Member())
    for key in ("", "a b", "x" * 129, "a/b", "a\n"):
        with pytest.raises(InvalidInput, match="at most 128"):
            await live.get(key, caller())
    with pytest.raises(InvalidInput, match="one record at a time: GET /v1/points/<key>"):
        await live.query([], limit=1, cursor=None, caller=caller())
    with pytest.raises(InvalidInput, match="read-only"):
        await live.write(Write("a", {}, "i"), caller())
    with pytest.raises(InvalidInput, match="no changes feed"):
        await live.changes(since=0, limit=1, wait_s=0, caller=caller())
    with pytest.raises(ConfigError, match="source member takes no calls"):
        await service(Sales()).get("a", caller())
