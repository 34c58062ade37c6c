"""What every implementation of core.incidents.Incidents must do. A test module makes `incidents` a fixture and inherits."""

import pytest

from core.errors import Conflict, NotFound
from core.incidents import Incidents


class IncidentsSuite:
    """`incidents` is empty at the start of each test."""

    async def test_the_same_thing_again_is_counted_and_raised_anew_once_it_was_resolved(self, incidents: Incidents) -> None:
        first = await incidents.raised("job_failed", "nightly", "down", contact="ops")
        again = await incidents.raised("job_failed", "nightly", "still down", contact="ops")
        other = await incidents.raised("job_failed", "other", "down", contact="")
        assert (again.id, again.count, again.detail) == (first.id, 2, "still down")
        assert [each.id for each in await incidents.listed()] == [other.id, first.id] or other.raised_ms == first.raised_ms
        resolved = await incidents.resolved("job_failed", "nightly")
        assert resolved is not None
        assert (resolved.id, resolved.state, resolved.by) == (first.id, "resolved", "platform")
        assert await incidents.resolved("job_failed", "nightly") is None
        assert (await incidents.raised("job_failed", "nightly", "down", contact="ops")).id != first.id
        assert {each.state for each in await incidents.listed()} == {"open"}
        assert [each.id for each in await incidents.listed(state="resolved")] == [first.id]

    async def test_a_person_acknowledges_and_resolves(self, incidents: Incidents) -> None:
        made = await incidents.raised("job_failed", "nightly", "down", contact="ops")
        assert (await incidents.settle(made.id, "acknowledged", by="ann")).by == "ann"
        assert (await incidents.raised("job_failed", "nightly", "down", contact="ops")).state == "acknowledged"
        assert (await incidents.settle(made.id, "resolved", by="bob")).state == "resolved"
        with pytest.raises(Conflict, match="resolved already, by bob"):
            await incidents.settle(made.id, "acknowledged", by="ann")
        with pytest.raises(NotFound):
            await incidents.settle("nonsense", "resolved", by="ann")

    async def test_it_is_unfinished_until_its_end_was_told(self, incidents: Incidents) -> None:
        made = await incidents.raised("job_failed", "nightly", "down", contact="ops")
        made.told_ms = 5
        made.detail = "not to be stored"
        await incidents.settle(made.id, "acknowledged", by="ann")
        await incidents.note(made)
        (stored,) = await incidents.unfinished()
        assert (stored.told_ms, stored.state, stored.detail) == (5, "acknowledged", "down")
        await incidents.resolved("job_failed", "nightly")
        (stored,) = await incidents.unfinished()
        stored.closed_ms = 7
        await incidents.note(stored)
        assert await incidents.unfinished() == []
