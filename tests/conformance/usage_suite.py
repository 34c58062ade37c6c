"""What every implementation of core.stores.Usage must do. A test module makes `usage` a fixture and inherits."""

import asyncio

import pytest

from core.stores import Usage, UsageRow

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS


def row(app: str = "shop", route: str = "goods", hour: int = 0, requests: int = 1) -> UsageRow:
    return UsageRow(app, route, START_MS + hour * HOUR_MS, requests, 1, 2, 10 << 40, 4)


async def all_of(usage: Usage, app: str = "shop") -> list[UsageRow]:
    return await usage.read(app, since_ms=0, until_ms=1 << 50)


class UsageSuite:
    """`usage` is empty at the start of each test."""

    async def test_what_is_added_is_added_up(self, usage: Usage) -> None:
        await usage.add([row(requests=3), row(route="other"), row(app="desk")])
        await usage.add([row(requests=4)])
        assert await all_of(usage) == [UsageRow("shop", "goods", START_MS, 7, 2, 4, 20 << 40, 8), row(route="other")]
        assert await all_of(usage, "desk") == [row(app="desk")]
        assert await all_of(usage, "nobody") == []

    async def test_adding_nothing_is_nothing(self, usage: Usage) -> None:
        await usage.add([])
        assert await all_of(usage) == []

    async def test_a_time_is_read_without_its_end(self, usage: Usage) -> None:
        await usage.add([row(hour=hour) for hour in range(6)])
        found = await usage.read("shop", since_ms=START_MS + HOUR_MS, until_ms=START_MS + 3 * HOUR_MS)
        assert [each.hour_ms for each in found] == [START_MS + HOUR_MS, START_MS + 2 * HOUR_MS]

    async def test_old_hours_are_forgotten(self, usage: Usage) -> None:
        await usage.add([row(hour=hour) for hour in range(6)])
        assert await usage.trim(older_than_ms=START_MS + 4 * HOUR_MS) == 4
        assert [each.hour_ms for each in await all_of(usage)] == [START_MS + 4 * HOUR_MS, START_MS + 5 * HOUR_MS]
        assert await usage.trim(older_than_ms=START_MS + 4 * HOUR_MS) == 0

    @pytest.mark.parametrize("turns", [8])
    async def test_workers_that_add_at_once_lose_nothing(self, usage: Usage, turns: int) -> None:
        routes = [f"route-{number}" for number in range(20)]
        batches = [[row(route=route) for route in (routes if turn % 2 else reversed(routes))] for turn in range(turns)]
        await asyncio.gather(*(usage.add(batch) for batch in batches))
        assert {each.route: each.requests for each in await all_of(usage)} == dict.fromkeys(routes, turns)
