"""Following the registry through changes, outages and configurations that can't be run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import pytest

from core.database import Dialect, Params, Session
from core.errors import ConfigError, Unavailable
from core.stores import Edit
from registry.registry import Registry
from registry.snapshot import Snapshot
from registry.snapshot_file import SnapshotFile
from registry.snapshot_watcher import SnapshotWatcher
from registry.sql_resources import SqlResources
from registry.vault import Vault
from storage.sqlite import SqliteDatabase, open_sqlite
from tests.gateway.rig import until
from tests.registry.sample import ADAPTERS, document

_INTERVAL_S = 0.02


class RestartableDatabase:
    """A database that can be stopped and started again on the same file, as a server would be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: SqliteDatabase | None = None

    async def start(self) -> None:
        self._opened = await open_sqlite(self._path)

    def _current(self) -> SqliteDatabase:
        assert self._opened is not None
        return self._opened

    @property
    def dialect(self) -> Dialect:
        return self._current().dialect

    async def query(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        return await self._current().query(sql, params)

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        return self._current().transaction()

    async def check(self) -> None:
        await self._current().check()

    async def close(self) -> None:
        await self._current().close()


class Node:
    """A node's watcher, the registry it follows, and what it reports."""

    def __init__(self, database: RestartableDatabase, folder: Path, vault: Vault) -> None:
        self.database = database
        self.resources = SqlResources(database)
        self.registry = Registry(self.resources, vault, ADAPTERS)
        self.file = SnapshotFile(folder / "node" / "snapshot", vault)
        self.reports: list[str] = []
        self._vault = vault
        self.watcher = self.new_watcher()

    def new_watcher(self) -> SnapshotWatcher:
        return SnapshotWatcher(self.resources, self.file, self._vault, ADAPTERS, _INTERVAL_S, report=self.reports.append)


@pytest.fixture
async def node(tmp_path: Path, vault: Vault) -> AsyncIterator[Node]:
    database = RestartableDatabase(tmp_path / "r.db")
    await database.start()
    node = Node(database, tmp_path, vault)
    await node.registry.apply(document(), actor="li")
    yield node
    await node.database.close()


async def _next(changes: AsyncIterator[Snapshot]) -> Snapshot:
    return await asyncio.wait_for(anext(changes), 60)


@pytest.mark.req("0.40")
async def test_a_change_reaches_the_node(node: Node) -> None:
    first = await node.watcher.current()
    async with aclosing(node.watcher.changes()) as changes:
        await node.registry.put("plan", "silver", {"per_s": 1, "burst": 1}, actor="li")
        snapshot = await _next(changes)
        assert snapshot.revision > first.revision
        assert "silver" in snapshot.platform.plans
        await node.registry.delete("plan", "silver", actor="li")
        assert "silver" not in (await _next(changes)).platform.plans
    assert node.reports == []
    saved, _ = await node.file.load(ADAPTERS)
    assert saved is not None
    assert saved.revision == await node.registry.revision()


async def test_nothing_is_given_while_nothing_moves(node: Node) -> None:
    await node.watcher.current()
    async with aclosing(node.watcher.changes()) as changes:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(changes), _INTERVAL_S * 10)


@pytest.mark.req("0.02")
async def test_an_outage_is_reported_once_and_survived(node: Node) -> None:
    await node.watcher.current()
    async with aclosing(node.watcher.changes()) as changes:
        await node.database.close()
        waiting = asyncio.ensure_future(_next(changes))
        await until(lambda: bool(node.reports))
        await asyncio.sleep(_INTERVAL_S * 20)
        assert [report.partition(",")[0] for report in node.reports] == ["the registry can't be reached"]
        await node.database.start()
        await node.registry.put("plan", "silver", {"per_s": 1, "burst": 1}, actor="li")
        assert "silver" in (await waiting).platform.plans
    assert node.reports[1:] == ["the registry is back"]


@pytest.mark.req("0.02")
async def test_a_node_starts_from_its_file_while_the_database_is_down(node: Node) -> None:
    await node.watcher.current()
    await node.database.close()
    restarted = node.new_watcher()
    snapshot = await restarted.current()
    assert snapshot.platform.apps["shop"].plan == "gold"
    assert "starting from the snapshot of revision" in node.reports[-1]
    async with aclosing(restarted.changes()) as changes:
        await node.database.start()
        await node.registry.delete("app", "shop", actor="li")
        assert "shop" not in (await _next(changes)).platform.apps


async def test_without_registry_and_file_a_node_says_why_it_cannot_start(node: Node) -> None:
    await node.database.close()
    with pytest.raises(Unavailable, match="closed"):
        await node.watcher.current()
    assert "has never reached the registry" in node.reports[0]


async def test_a_configuration_that_cannot_be_run_leaves_the_old_one(node: Node) -> None:
    await node.watcher.current()
    async with aclosing(node.watcher.changes()) as changes:
        await node.resources.commit([Edit("plan", "odd", {"per_s": "many"})], actor="a newer version")
        waiting = asyncio.ensure_future(_next(changes))
        await until(lambda: bool(node.reports))
        await asyncio.sleep(_INTERVAL_S * 10)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    assert len(node.reports) == 1
    assert "can't be run, the one before stays" in node.reports[0]
    restarted = node.new_watcher()
    assert "odd" not in (await restarted.current()).platform.plans
    async with aclosing(restarted.changes()) as changes:
        await node.resources.commit([Edit("plan", "odd", None)], actor="li")
        await _next(changes)


async def test_a_broken_configuration_without_a_file_is_an_error(node: Node) -> None:
    await node.resources.commit([Edit("plan", "odd", {"per_s": "many"})], actor="a newer version")
    with pytest.raises(ConfigError, match="does not understand"):
        await node.watcher.current()


async def test_a_full_disk_does_not_keep_a_change_from_running(node: Node) -> None:
    await node.watcher.current()
    node.file.path = node.file.path / "below-a-file"
    async with aclosing(node.watcher.changes()) as changes:
        await node.registry.put("plan", "silver", {"per_s": 1, "burst": 1}, actor="li")
        assert "silver" in (await _next(changes)).platform.plans
    assert "a restart while the database is down would miss it" in node.reports[0]


async def test_who_is_told_of_a_change_does_not_wait_for_the_interval(node: Node) -> None:
    patient = SnapshotWatcher(node.resources, node.file, Vault(bytes(range(32))), ADAPTERS, 3600.0, report=node.reports.append)
    before = await patient.current()
    async with aclosing(patient.changes()) as changes:
        waiting = asyncio.ensure_future(_next(changes))
        patient.tell()  # too early: there is nothing new, and it goes on waiting
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await node.registry.put("plan", "silver", {"per_s": 1, "burst": 1}, actor="li")
        patient.tell()
        after = await waiting
    assert "silver" in after.platform.plans
    assert after.platform.apps["shop"] is before.platform.apps["shop"]  # only the change was read
