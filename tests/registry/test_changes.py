"""Read, decide, commit: rivals give way and decide anew."""

import asyncio
from collections.abc import Sequence

import pytest

from core.stores import Edit, Resource
from registry.changes import Changes, RevisionMoved
from registry.sql_resources import SqlResources


def _increment(stored: Sequence[Resource]) -> Sequence[Edit]:
    count = stored[0].body["count"] if stored else 0
    return [Edit("plan", "counter", {"count": count + 1})]


async def test_no_decision_is_made_on_what_is_no_longer_true(resources: SqlResources) -> None:
    """Four objects stand for four processes, each counting up by what it read."""
    rivals = [Changes(resources) for _ in range(4)]
    outcomes = await asyncio.gather(
        *(rival.make(_increment, actor="li") for rival in rivals for _ in range(3)), return_exceptions=True
    )
    done = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert all(isinstance(outcome, int | RevisionMoved) for outcome in outcomes)
    kept = await resources.get("plan", "counter")
    assert kept is not None
    assert kept.body["count"] == len(set(done)) == len(done) == await resources.revision()


async def test_one_process_never_gets_in_its_own_way(resources: SqlResources) -> None:
    changes = Changes(resources)
    await asyncio.gather(*(changes.make(_increment, actor="li") for _ in range(30)))
    assert await resources.revision() == 30


async def test_nothing_to_do_commits_nothing(resources: SqlResources) -> None:
    assert await Changes(resources).make(lambda _: [], actor="li") == 0
    assert await resources.audit() == []


async def test_one_who_is_always_slower_is_told(resources: SqlResources) -> None:
    loop = asyncio.get_running_loop()

    def decide(stored: Sequence[Resource]) -> Sequence[Edit]:
        rival = resources.commit([Edit("plan", "rival", {})], actor="rival")
        asyncio.run_coroutine_threadsafe(rival, loop).result(5)
        return _increment([])

    with pytest.raises(RevisionMoved, match="read again, then decide"):
        await Changes(resources).make(decide, actor="li")
