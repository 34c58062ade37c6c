"""What every implementation of core.stores.Resources must do. A test module makes `resources` a fixture and inherits."""

import asyncio

import pytest

from core.errors import Conflict, NotFound
from core.stores import Delta, Edit
from registry.changes import RevisionMoved, VersionedResources


class ResourcesSuite:
    """`resources` is empty at the start of each test."""

    async def test_a_new_registry_is_empty_at_revision_zero(self, resources: VersionedResources) -> None:
        assert await resources.revision() == 0
        assert await resources.all() == (0, [])
        assert await resources.get("app", "shop") is None
        assert await resources.audit() == []

    async def test_what_is_put_comes_back_whole(self, resources: VersionedResources) -> None:
        body = {"title": "小程序 𠮷 🏠", "nested": {"numbers": [1, 2.5, None, True]}, "quote": 'it\'s 100% "fine"? \\'}
        revision = await resources.commit([Edit("app", "shop", body)], actor="li")
        kept = await resources.get("app", "shop")
        assert kept is not None
        assert (kept.kind, kept.name, kept.body, kept.version) == ("app", "shop", body, revision)
        assert await resources.all() == (revision, [kept])

    async def test_what_has_changed_since_a_revision(self, resources: VersionedResources) -> None:
        first = await resources.commit([Edit("plan", name, {"a": 1}) for name in ("p", "q", "r")], actor="li")
        assert await resources.since(first) == Delta(first, [], [])
        edits = [Edit("plan", "q", {"a": 2}), Edit("app", "s", {"b": 1}), Edit("plan", "p", None), Edit("plan", "r", None)]
        await resources.commit(edits, actor="li")
        await resources.commit([Edit("plan", "r", {"a": 3}), Edit("app", "t", {}), Edit("app", "t", None)], actor="li")
        delta = await resources.since(first)
        assert delta is not None
        assert delta.revision == await resources.revision()
        changed = {(each.kind, each.name): each for each in delta.changed}
        assert changed == {key: await resources.get(*key) for key in (("plan", "q"), ("app", "s"), ("plan", "r"))}
        assert sorted(delta.deleted) == [("app", "t"), ("plan", "p")]

    async def test_what_cannot_be_told_is_not_told(self, resources: VersionedResources) -> None:
        revision = await resources.commit([Edit("plan", "p", {"a": 1})], actor="li")
        assert await resources.since(revision + 1) is None  # the history of another registry, or of a later one
        await resources.commit([Edit("plan", f"p{n}", {}) for n in range(1001)], actor="li")
        assert await resources.since(revision) is None
        assert await resources.since(revision + 1) is not None

    async def test_every_change_moves_the_revision(self, resources: VersionedResources) -> None:
        seen = [await resources.revision()]
        for edit in (Edit("plan", "p", {"a": 1}), Edit("plan", "p", {"a": 2}), Edit("plan", "p", None)):
            seen.append(await resources.commit([edit], actor="li"))
        assert seen == sorted(set(seen))
        assert await resources.revision() == seen[-1]

    async def test_expected_must_be_the_version_that_is_there(self, resources: VersionedResources) -> None:
        await resources.commit([Edit("plan", "p", {"a": 1}, expected=0)], actor="li")
        first = await resources.get("plan", "p")
        assert first is not None
        await resources.commit([Edit("plan", "p", {"a": 2}, expected=first.version)], actor="li")
        for expected in (first.version, 0, 999):
            with pytest.raises(Conflict, match="plan p"):
                await resources.commit([Edit("plan", "p", {"a": 3}, expected=expected)], actor="wang")
        with pytest.raises(Conflict, match="does not exist"):
            await resources.commit([Edit("plan", "other", {"a": 3}, expected=1)], actor="wang")
        kept = await resources.get("plan", "p")
        assert kept is not None
        assert kept.body == {"a": 2}

    async def test_a_version_is_never_given_again(self, resources: VersionedResources) -> None:
        await resources.commit([Edit("plan", "p", {"a": 1})], actor="li")
        first = await resources.get("plan", "p")
        await resources.commit([Edit("plan", "p", None)], actor="li")
        await resources.commit([Edit("plan", "p", {"a": 1})], actor="li")
        assert first is not None
        with pytest.raises(Conflict):
            await resources.commit([Edit("plan", "p", None, expected=first.version)], actor="wang")

    async def test_all_edits_or_none(self, resources: VersionedResources) -> None:
        await resources.commit([Edit("plan", "old", {})], actor="li")
        before = await resources.all()
        edits = [Edit("plan", "new", {}), Edit("plan", "old", None), Edit("plan", "x", {}, expected=7)]
        with pytest.raises(Conflict):
            await resources.commit(edits, actor="li")
        with pytest.raises(NotFound, match="no plan missing"):
            await resources.commit([Edit("plan", "new", {}), Edit("plan", "missing", None)], actor="li")
        assert await resources.all() == before
        assert len(await resources.audit()) == 1

    async def test_edits_of_one_commit_follow_each_other(self, resources: VersionedResources) -> None:
        edits = [
            Edit("plan", "p", {"a": 1}, expected=0),
            Edit("plan", "p", {"a": 2}),
            Edit("plan", "q", {}),
            Edit("plan", "q", None),
        ]
        await resources.commit(edits, actor="li")
        _, stored = await resources.all()
        assert [(each.name, each.body) for each in stored] == [("p", {"a": 2})]
        assert [entry.action for entry in await resources.audit()] == ["delete", "create", "update", "create"]

    async def test_a_large_commit_is_whole(self, resources: VersionedResources) -> None:
        await resources.commit([Edit("app", f"a{n}", {"n": n}) for n in range(500)], actor="li")
        edits = [Edit("app", f"a{n}", None if n % 2 else {"n": -n}, expected=n + 1) for n in range(500)]
        assert await resources.commit(edits, actor="li") == 1_000
        _, stored = await resources.all()
        assert sorted(each.body["n"] for each in stored) == [-n for n in range(498, -1, -2)]

    async def test_the_audit_tells_who_did_what_newest_first(self, resources: VersionedResources) -> None:
        await resources.commit([Edit("plan", "p", {"a": 1})], actor="li")
        await resources.commit([Edit("plan", "p", {"a": 2}), Edit("app", "shop", {"b": 1})], actor="wang")
        await resources.commit([Edit("plan", "p", None)], actor="zhao")
        entries = await resources.audit()
        assert [(e.actor, e.action, e.name, e.before, e.after) for e in entries] == [
            ("zhao", "delete", "p", {"a": 2}, None),
            ("wang", "create", "shop", None, {"b": 1}),
            ("wang", "update", "p", {"a": 1}, {"a": 2}),
            ("li", "create", "p", None, {"a": 1}),
        ]
        assert entries[0].revision == await resources.revision()

    async def test_the_audit_is_read_page_by_page_without_a_gap(self, resources: VersionedResources) -> None:
        await resources.commit([Edit("plan", f"p{n}", {}) for n in range(7)], actor="li")
        names, before = [], None
        while page := await resources.audit(before=before, limit=3):
            names += [entry.name for entry in page]
            before = page[-1].revision
        assert names == [f"p{n}" for n in reversed(range(7))]

    async def test_a_commit_may_insist_on_the_revision_it_read(self, resources: VersionedResources) -> None:
        revision = await resources.commit([Edit("plan", "p", {})], actor="li", at=0)
        with pytest.raises(RevisionMoved):
            await resources.commit([Edit("app", "a", {})], actor="wang", at=0)
        assert await resources.commit([Edit("app", "a", {}), Edit("app", "b", {})], actor="wang", at=revision) > revision

    async def test_overlapping_commits_all_count_and_of_two_rivals_one_wins(self, resources: VersionedResources) -> None:
        await asyncio.gather(*(resources.commit([Edit("app", f"a{n}", {})], actor="li") for n in range(12)))
        assert await resources.revision() == 12
        rivals = (resources.commit([Edit("plan", "p", {"by": n}, expected=0)], actor="li") for n in range(6))
        outcomes = await asyncio.gather(*rivals, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 5 + ["int"]
        revision, resources_now = await resources.all()
        assert (revision, len(resources_now)) == (13, 13)

    async def test_a_picture_is_never_torn(self, resources: VersionedResources) -> None:
        """Each commit changes both plans to the same number: no reader may see them differ."""

        async def write() -> None:
            for n in range(15):
                await resources.commit([Edit("plan", name, {"n": n}) for name in ("a", "b")], actor="li")

        async def read() -> None:
            for _ in range(40):
                revision, picture = await resources.all()
                assert len({resource.body["n"] for resource in picture}) <= 1
                assert revision == max((resource.version for resource in picture), default=0)

        await asyncio.gather(write(), read())
