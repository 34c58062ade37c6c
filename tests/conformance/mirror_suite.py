"""What every implementation of core.stores.Mirror must do. A test module makes `mirror` a fixture and inherits."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from core.errors import Conflict, NotFound
from core.records import ChangeSet
from core.schema import Dataset, Value
from core.stores import Applied, Mirror

NAME = "sales.customers"
PEOPLE = Dataset(
    object="Customer",
    key=("id",),
    fields={
        "id": "text",
        "name": "text",
        "age": "integer",
        "vip": "boolean",
        "score": "number",
        "budget": "decimal",
        "since": "date",
        "tags": "json",
    },
    indexes=("name", "age"),
)
ROOMS = Dataset(object="Room", key=("building", "room"), fields={"building": "text", "room": "integer", "area": "decimal"})
WHOLE: list[Any] = ["K1", "张三丰𠮷", 41, True, 1.5, "12345678.90", "2024-02-29", {"a": [1, None, "x"]}]
EMPTY: list[Any] = ["K2", None, None, None, None, None, None, None]


def upsert(rows: list[Sequence[Any]], at: int, *, fields: tuple[str, ...] = PEOPLE.columns, name: str = NAME) -> ChangeSet:
    return ChangeSet(name, "upsert", fields, rows, at)


def delete(keys: list[Sequence[Any]], at: int, *, fields: tuple[str, ...] = ("id",), name: str = NAME) -> ChangeSet:
    return ChangeSet(name, "delete", fields, keys, at)


def named(key: str, name: str, at: int) -> ChangeSet:
    return upsert([[key, name]], at, fields=("id", "name"))


async def name_of(mirror: Mirror, key: str) -> Value:
    row = await mirror.get(NAME, [key])
    return None if row is None else row.record["name"]


class MirrorSuite:
    """`mirror` is empty at the start of each test."""

    async def test_every_type_comes_back_as_it_was(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        assert await mirror.apply(upsert([WHOLE, EMPTY], 100)) == Applied(changed=2, version=2)
        for values in (WHOLE, EMPTY):
            row = await mirror.get(NAME, [values[0]])
            assert row is not None
            assert list(row.record.items()) == list(zip(PEOPLE.columns, values, strict=True))
            assert row.observed_ms == 100
        assert isinstance((await mirror.query(NAME, {"id": "K1"}, limit=1))[0].record["vip"], bool)

    async def test_a_replay_changes_nothing_and_the_version_stands_still(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(upsert([WHOLE, EMPTY], 100))
        version = await mirror.version(NAME)
        for at in (100, 100, 300):
            assert (await mirror.apply(upsert([WHOLE, EMPTY], at))).changed == 0
        assert await mirror.version(NAME) == version
        assert await mirror.changes(NAME, since=version, limit=10) == []

    async def test_a_sweep_deletes_what_was_not_seen_again_each_as_a_change_of_its_own(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        keys = [f"K{number:05}" for number in range(6_000)]
        await mirror.apply(upsert([[key, "old"] for key in keys], 100, fields=("id", "name")))
        await mirror.apply(upsert([[key, "old"] for key in keys[4_500:]], 200, fields=("id", "name")))
        version = await mirror.version(NAME)
        with pytest.raises(Conflict, match=r"4500 of 6000 rows were not in the full load, more than 50%: they stay"):
            await mirror.sweep(NAME, before_ms=200, max_share=0.5)
        assert (await mirror.count(NAME), await mirror.version(NAME)) == (6_000, version)
        assert (await mirror.sweep(NAME, before_ms=200, max_share=0.75)).changed == 4_500
        assert await mirror.count(NAME) == 1_500
        assert (await mirror.sweep(NAME, before_ms=200, max_share=0.0)).changed == 0
        gone = await mirror.changes(NAME, since=version, limit=10_000)
        assert [row.record["id"] for row in gone] == keys[:4_500]
        assert all(row.deleted for row in gone)
        await mirror.apply(named("K00000", "back", 300))
        assert await name_of(mirror, "K00000") == "back"

    async def test_only_the_rows_that_differ_count(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(upsert([WHOLE, EMPTY], 100))
        applied = await mirror.apply(upsert([WHOLE, ["K2", "新", *EMPTY[2:]]], 200))
        assert applied.changed == 1
        assert [row.record["id"] for row in await mirror.changes(NAME, since=2, limit=10)] == ["K2"]

    async def test_older_news_never_overwrites(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(named("K", "new", 200))
        assert (await mirror.apply(named("K", "old", 100))).changed == 0
        assert await name_of(mirror, "K") == "new"

    async def test_what_was_seen_again_is_guarded_from_then_on(self, mirror: Mirror) -> None:
        """A at 100, B at 150, A again at 200: B comes last, and is old."""
        await mirror.prepare(NAME, PEOPLE)
        for name, at in (("A", 100), ("A", 200), ("B", 150)):
            await mirror.apply(named("K", name, at))
        assert await name_of(mirror, "K") == "A"

    async def test_fields_that_are_not_given_keep_their_value(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(upsert([WHOLE], 100))
        await mirror.apply(upsert([["K1", False]], 200, fields=("id", "vip")))
        row = await mirror.get(NAME, ["K1"])
        assert row is not None
        assert row.record == dict(zip(PEOPLE.columns, WHOLE, strict=True)) | {"vip": False}

    async def test_a_patch_changes_some_fields_of_known_rows_and_makes_none(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(upsert([WHOLE, EMPTY], 100))
        await mirror.apply(delete([["K2"]], 110))
        rows: list[Sequence[Any]] = [["K1", False, {"b": 2}], ["K2", True, None], ["K3", True, None]]
        patch = ChangeSet(NAME, "patch", ("id", "vip", "tags"), rows, 120)
        assert (await mirror.apply(patch)).changed == 1
        row = await mirror.get(NAME, ["K1"])
        assert row is not None
        assert list(row.record.values()) == [*WHOLE[:3], False, *WHOLE[4:7], {"b": 2}]
        assert row.observed_ms == 100  # as a whole it was not seen
        assert await mirror.count(NAME) == 1
        assert await mirror.get(NAME, ["K2"]) is None
        assert (await mirror.apply(patch)).changed == 0
        older = ChangeSet(NAME, "patch", ("id", "name"), [["K1", "older"]], 99)
        assert (await mirror.apply(older)).changed == 0
        nothing = ChangeSet(NAME, "patch", ("id", "name"), [["K1", None]], 100)
        assert (await mirror.apply(nothing)).changed == 1
        assert await name_of(mirror, "K1") is None
        assert (await mirror.apply(ChangeSet(NAME, "patch", ("id", "name"), [["K1", "now"]], 130))).changed == 1
        assert [each.version for each in await mirror.changes(NAME, since=0, limit=9)][-1] == await mirror.version(NAME)

    async def test_a_field_that_is_not_known_yet_is_not_found(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        with pytest.raises(NotFound, match="has no field mobile"):
            await mirror.apply(upsert([["K1", "138"]], 100, fields=("id", "mobile")))
        assert await mirror.version(NAME) == 0

    async def test_a_deletion_is_a_change_of_its_own(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(upsert([WHOLE, EMPTY], 100))
        version = await mirror.version(NAME)
        assert (await mirror.apply(delete([["K1"]], 200))).changed == 1
        assert await mirror.get(NAME, ["K1"]) is None
        assert [row.record["id"] for row in await mirror.query(NAME, {}, limit=10)] == ["K2"]
        assert await mirror.count(NAME) == 1
        feed = await mirror.changes(NAME, since=version, limit=10)
        assert [(row.record["id"], row.deleted) for row in feed] == [("K1", True)]
        assert (await mirror.apply(delete([["K1"]], 200))).changed == 0

    async def test_a_deleted_row_may_come_back_and_only_with_newer_news(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(named("K", "first", 100))
        await mirror.apply(delete([["K"]], 200))
        await mirror.apply(named("K", "late", 150))
        assert await mirror.get(NAME, ["K"]) is None
        await mirror.apply(named("K", "again", 300))
        assert await name_of(mirror, "K") == "again"
        assert [row.deleted for row in await mirror.changes(NAME, since=0, limit=10)] == [False]

    async def test_a_deletion_that_overtakes_its_row_holds(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(delete([["K"]], 200))
        await mirror.apply(named("K", "late", 150))
        assert await mirror.get(NAME, ["K"]) is None
        assert await mirror.count(NAME) == 0

    async def test_pages_by_a_compound_key_visit_every_row_once_in_order(self, mirror: Mirror) -> None:
        name = "estate.rooms"
        await mirror.prepare(name, ROOMS)
        keys = [[building, room] for building in ("A", "B", "a", "楼") for room in (1, 2, 9, 10, 101)]
        await mirror.apply(upsert([[*key, "88.50"] for key in reversed(keys)], 100, fields=ROOMS.columns, name=name))
        seen: list[list[Value]] = []
        while page := await mirror.query(name, {}, limit=3, after=seen[-1] if seen else None):
            seen += [[row.record["building"], row.record["room"]] for row in page]
        assert seen == keys
        row = await mirror.get(name, ["B", 10])
        assert row is not None
        assert row.record == {"building": "B", "room": 10, "area": "88.50"}
        await mirror.apply(delete([["B", 10]], 200, fields=ROOMS.key, name=name))
        assert await mirror.count(name) == len(keys) - 1

    async def test_filters_are_exact_also_for_null_and_together(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        rows: list[Sequence[Any]] = [["1", "Li", 20, True], ["2", "li", 20, False], ["3", None, 20, True], ["4", "Li", None, None]]
        await mirror.apply(upsert(rows, 100, fields=("id", "name", "age", "vip")))

        async def found(**filters: Value) -> str:
            return "".join(str(row.record["id"]) for row in await mirror.query(NAME, filters, limit=10))

        assert await found(name="Li") == "14"
        assert await found(age=20) == "123"
        assert await found(age=20, vip=True) == "13"
        assert await found(name=None) == "3"
        assert await found(name="Li' OR '1'='1") == ""

    async def test_a_field_added_later_is_null_until_it_comes(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(upsert([WHOLE], 100))
        wider = replace(PEOPLE, fields={**PEOPLE.fields, "city": "text"}, indexes=("name", "city"))
        for _ in range(2):
            await mirror.prepare(NAME, wider)
        row = await mirror.get(NAME, ["K1"])
        assert row is not None
        assert row.record["city"] is None
        await mirror.apply(upsert([["K1", "上海"]], 200, fields=("id", "city")))
        assert [r.record["id"] for r in await mirror.query(NAME, {"city": "上海"}, limit=5)] == ["K1"]
        await mirror.prepare(NAME, PEOPLE)  # a field taken out of the declaration loses nothing
        await mirror.prepare(NAME, wider)
        assert [r.record["city"] for r in await mirror.query(NAME, {}, limit=5)] == ["上海"]

    async def test_versions_grow_over_all_datasets_and_stand_per_dataset(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.prepare("estate.rooms", ROOMS)
        await mirror.apply(named("K", "a", 100))
        first = await mirror.version(NAME)
        await mirror.apply(upsert([["A", 1, "1"]], 100, fields=ROOMS.columns, name="estate.rooms"))
        assert await mirror.version(NAME) == first < await mirror.version("estate.rooms")
        await mirror.apply(named("K", "b", 200))
        assert await mirror.version(NAME) > await mirror.version("estate.rooms")

    async def test_the_changes_feed_in_pages_misses_nothing(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(upsert([[f"K{n}", "x"] for n in range(10)], 100, fields=("id", "name")))
        await mirror.apply(upsert([["K3", "y"], ["K5", "y"]], 200, fields=("id", "name")))
        since, seen = 0, []
        while page := await mirror.changes(NAME, since=since, limit=3):
            seen += [row.record["id"] for row in page]
            assert [row.version for row in page] == sorted({row.version for row in page})
            since = page[-1].version
        assert seen == ["K0", "K1", "K2", "K4", "K6", "K7", "K8", "K9", "K3", "K5"]

    async def test_a_complete_synchronisation_freshens_the_age(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(named("K", "a", 100))
        version = await mirror.version(NAME)
        assert (await mirror.apply(upsert([], 500))).changed == 0
        row = await mirror.get(NAME, ["K"])
        assert row is not None
        assert (row.observed_ms, row.version) == (500, version)
        await mirror.apply(named("K", "b", 400))  # read before the synchronisation ended: still news
        assert await name_of(mirror, "K") == "b"

    async def test_a_dataset_that_was_not_prepared_is_not_found(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        for ask in (mirror.get("x.y", ["1"]), mirror.version("x.y"), mirror.apply(upsert([], 1, name="x.y"))):
            with pytest.raises(NotFound, match=r"x\.y"):
                await ask

    async def test_overlapping_change_sets_each_get_versions_of_their_own(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await asyncio.gather(*(mirror.apply(named(f"K{n}", "x", 100)) for n in range(12)))
        feed = await mirror.changes(NAME, since=0, limit=100)
        assert [row.version for row in feed] == list(range(1, 13))
        assert await mirror.version(NAME) == 12

    async def test_the_same_row_twice_in_one_change_set_keeps_the_last(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(upsert([["K", "a"], ["K", "b"]], 100, fields=("id", "name")))
        assert await name_of(mirror, "K") == "b"
        assert await mirror.count(NAME) == 1

    async def test_preparing_again_keeps_rows_and_version(self, mirror: Mirror) -> None:
        await mirror.prepare(NAME, PEOPLE)
        await mirror.apply(upsert([WHOLE], 100))
        await asyncio.gather(*(mirror.prepare(NAME, PEOPLE) for _ in range(4)))
        assert (await mirror.version(NAME), await mirror.count(NAME)) == (1, 1)
