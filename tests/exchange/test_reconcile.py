"""What differs between a source and the mirror is found, counted and shown, in whatever order the source gives its rows."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Conflict, NotFound
from core.records import ChangeSet
from core.stores import Reconciliation
from exchange.reconcile import Reconciler, reconcile
from storage.mirror import SqlMirror
from storage.sqlite import open_sqlite
from tests.exchange.feed import CUSTOMERS, NAME, Feed, exchange_on, platform

ROWS = st.dictionaries(st.integers(0, 40), st.text(max_size=5), max_size=30)


async def compared(folder: Path, source: dict[int, str], mirrored: dict[int, str]) -> Reconciliation:
    database = await open_sqlite(folder / "mirror.db")
    mirror = SqlMirror(database)
    await mirror.prepare(NAME, CUSTOMERS)
    if mirrored:
        await mirror.apply(ChangeSet(NAME, "upsert", CUSTOMERS.columns, [(key, name, key) for key, name in mirrored.items()], 1))
    found = await reconcile(NAME, CUSTOMERS, Feed([(key, name, key) for key, name in source.items()]), mirror)
    await database.close()
    return found


@given(source=ROWS, mirrored=ROWS)
async def test_counts_and_keys_are_those_of_the_sets(
    source: dict[int, str], mirrored: dict[int, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = await compared(tmp_path_factory.mktemp("compared"), source, mirrored)
    missing, vanished = source.keys() - mirrored.keys(), mirrored.keys() - source.keys()
    different = {key for key in source.keys() & mirrored.keys() if source[key] != mirrored[key]}
    assert (found.source_rows, found.mirror_rows) == (len(source), len(mirrored))
    assert (found.missing, found.vanished, found.different) == (len(missing), len(vanished), len(different))
    assert found.state == ("equal" if source == mirrored else "differs")
    assert (found.source_checksum == found.mirror_checksum) == (source == mirrored)
    shown = [
        f"{kind} {key}" for kind, keys in (("missing", missing), ("vanished", vanished), ("different", different)) for key in keys
    ]
    assert set(found.examples) <= set(shown)
    assert len(found.examples) == min(20, len(shown))


async def test_a_row_that_cannot_be_converted_is_counted(tmp_path: Path) -> None:
    database = await open_sqlite(tmp_path / "mirror.db")
    mirror = SqlMirror(database)
    await mirror.prepare(NAME, CUSTOMERS)
    found = await reconcile(NAME, CUSTOMERS, Feed([("x", "bad", 1)]), mirror)
    await database.close()
    assert (found.state, found.source_rows, found.bad_rows) == ("equal", 0, 1)


@pytest.mark.req("0.41")
async def test_after_a_load_both_sides_are_equal_and_a_ghost_is_shown(tmp_path: Path) -> None:
    feed = Feed([(n, f"人{n}", n) for n in range(35)])
    async with exchange_on(tmp_path, feed) as exchange:
        exchange.runner.reload(platform())
        await exchange.ended()
        await exchange.mirrored()
        reconciler = Reconciler(lambda _: feed, exchange.mirror, lambda: {NAME: CUSTOMERS}, exchange.tasks)
        with pytest.raises(NotFound, match="not been compared"):
            reconciler.last(NAME)
        assert (await _outcome(reconciler)).state == "equal"
        del feed.rows[7]
        reconciler.start(NAME)
        with pytest.raises(Conflict, match="one at a time"):
            reconciler.start(NAME)
        found = await _outcome(reconciler, start=False)
        assert (found.state, found.vanished, found.examples) == ("differs", 1, ["vanished 7"])
        feed.breaks = [0]
        found = await _outcome(reconciler)
        assert (found.state, found.detail) == ("failed", "the sales system at 10.0.0.1:1433 does not answer")
        with pytest.raises(NotFound, match="no dataset sales"):
            reconciler.start("sales.nobody")


async def _outcome(reconciler: Reconciler, *, start: bool = True) -> Reconciliation:
    if start:
        reconciler.start(NAME)
    async with asyncio.timeout(60):
        while reconciler.last(NAME).state == "running":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return reconciler.last(NAME)
