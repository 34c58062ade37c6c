"""The parts of a process, opened as the settings say: embedded by default, real where an address is given (DESIGN §3)."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from adapters.loader import load_adapters
from bus.embedded import EmbeddedTransport
from cache.limiter_memory import MemoryLimiter
from cache.limiter_redis import RedisLimiter
from cache.limiter_synced import SyncedLimiter
from cache.memory import MemorySharedCache
from cache.redis import RedisSharedCache
from cache.replays_file import FileReplays
from cache.replays_memory import MemoryReplays
from cache.replays_redis import RedisReplays
from config.settings import Settings
from core.adapter import Adapter
from core.bus import Transport
from core.cache import Limiter, Replays, SharedCache
from core.clock import SystemClock
from core.database import Database
from core.errors import PlatformError, Unavailable
from core.ids import new_id
from registry.announced import AnnouncedResources
from registry.app_sessions import SqlAppSessions
from registry.purges import SqlPurges
from registry.sql_nodes import SqlNodes
from registry.vault import Vault, vault_under
from storage.incidents import SqlIncidents
from storage.job_states import SqlJobStates
from storage.journal import SqlJournal
from storage.mirror import SqlMirror
from storage.mysql import open_mysql
from storage.quarantine import SqlQuarantine
from storage.sagas import SqlSagas
from storage.sqlite import open_sqlite
from storage.usage import SqlUsage
from storage.webhooks import SqlWebhookRetries, SqlWebhookStates

BACK_OFFICE, DELIVERIES = "back-office", "deliveries"
_EMBEDDED_CACHE_BYTES = 32 << 20
_log = structlog.get_logger("server.parts")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limiter as the node is set to, and this process's own."""

    shared: Limiter
    local: MemoryLimiter


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a process may need, each behind its protocol. Closed by the stack that opened it."""

    settings: Settings
    node: str
    clock: SystemClock
    adapters: dict[str, Adapter]
    vault: Vault
    database: Database
    mirror_database: Database
    resources: AnnouncedResources
    nodes: SqlNodes
    app_sessions: SqlAppSessions
    purges: SqlPurges
    usage: SqlUsage
    mirror: SqlMirror
    job_states: SqlJobStates
    quarantine: SqlQuarantine
    incidents: SqlIncidents
    journal: SqlJournal
    sagas: SqlSagas
    webhook_retries: SqlWebhookRetries
    webhook_states: SqlWebhookStates
    bus: Transport
    cache: SharedCache
    limits: Limits
    replays: Replays

    async def check(self) -> dict[str, str]:
        """Part → `ok`, or what is wrong with it."""
        checks: dict[str, Callable[[], Awaitable[object]]] = {
            "database": self.database.check,
            "mirror": self.mirror_database.check,
            "bus": self.bus.depth,
            "cache": self.cache.check,
        }
        return {name: await _health(check) for name, check in checks.items()}


async def _health(check: Callable[[], Awaitable[object]]) -> str:
    try:
        await check()
    except PlatformError as error:
        return error.detail
    return "ok"


async def open_parts(settings: Settings, stack: AsyncExitStack, *, role: str) -> Parts:
    """Open all parts; they close with the stack, in reverse order. Raises PlatformError that names the part."""
    assert settings.master_key is not None
    is_office = role in (BACK_OFFICE, DELIVERIES)
    _writable(settings.data_dir)
    cache, limits, replays = await _cache_and_limits(settings, stack, counts=not is_office)
    database, mirror_database = await _databases(settings, stack, connects=is_office)
    node = node_name(settings.data_dir, role)
    bus = await _bus(settings, stack, node)
    parts = Parts(
        settings=settings,
        node=node,
        clock=SystemClock(),
        adapters=load_adapters(settings.plugins),
        vault=vault_under(settings.master_key),
        database=database,
        mirror_database=mirror_database,
        resources=AnnouncedResources(database, bus, node=node),
        nodes=SqlNodes(database),
        app_sessions=SqlAppSessions(database),
        purges=SqlPurges(database),
        usage=SqlUsage(database),
        mirror=SqlMirror(mirror_database),
        job_states=SqlJobStates(database),
        quarantine=SqlQuarantine(database),
        incidents=SqlIncidents(database),
        journal=SqlJournal(database),
        sagas=SqlSagas(database),
        webhook_retries=SqlWebhookRetries(database),
        webhook_states=SqlWebhookStates(database),
        bus=bus,
        cache=cache,
        limits=limits,
        replays=replays,
    )
    for store in (parts.job_states, parts.quarantine, parts.incidents, parts.journal, parts.sagas, parts.usage):
        await unless_down(store.prepare(), may_be_down=not is_office)
    if is_office:
        for webhooks in (parts.webhook_retries, parts.webhook_states):
            await webhooks.prepare()
    return parts


async def unless_down(work: Awaitable[object], *, may_be_down: bool) -> None:
    """A gateway starts from its last snapshot while the database is down (DESIGN §2); the back office made the tables before."""
    try:
        await work
    except Unavailable as error:
        if not may_be_down:
            raise
        _log.warning("starting without the database", detail=error.detail)


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{new_id()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        text = f"data folder {folder}: {error.strerror}; choose another with --data-dir, or make it writable for this user"
        raise Unavailable(text, code="data_dir") from error


async def _databases(settings: Settings, stack: AsyncExitStack, *, connects: bool) -> tuple[Database, Database]:
    """Registry and mirror apart in two files, so that a full load never makes an operator wait; together on MySQL."""
    address = settings.database.reveal()
    if address != "sqlite":
        shared = await open_mysql(address, connects=connects)
        stack.push_async_callback(shared.close)
        return shared, shared
    opened = []
    for name in ("platform.db", "mirror.db"):
        database = await open_sqlite(settings.data_dir / name)
        stack.push_async_callback(database.close)
        opened.append(database)
    return opened[0], opened[1]


async def _bus(settings: Settings, stack: AsyncExitStack, node: str) -> Transport:
    address = settings.bus.reveal()
    if address == "embedded":
        embedded = EmbeddedTransport(settings.data_dir / "bus.db", keep_s=settings.bus_keep_s)
        await embedded.open()
        stack.push_async_callback(embedded.close)
        return embedded
    from bus.rabbitmq import RabbitTransport  # its driver takes memory that an embedded node has no use for

    rabbit = RabbitTransport(address, node=node, keep_s=settings.bus_keep_s)
    await rabbit.open()
    stack.push_async_callback(rabbit.close)
    return rabbit


async def _cache_and_limits(settings: Settings, stack: AsyncExitStack, *, counts: bool) -> tuple[SharedCache, Limits, Replays]:
    """A process that `counts` connects now: else its first requests would be counted as while Redis is down."""
    address = settings.cache.reveal()
    local = MemoryLimiter()
    own = _own_replays(settings, stack) if counts else MemoryReplays()  # only gateways are asked
    if address == "memory":
        return MemorySharedCache(max_bytes=_EMBEDDED_CACHE_BYTES), Limits(local, local), own
    cache = RedisSharedCache(address)
    stack.push_async_callback(cache.close)
    limiter: RedisLimiter | SyncedLimiter
    if settings.limits == "exact":
        limiter = RedisLimiter(address, local, when_down=settings.limits_when_down)
    else:
        limiter = SyncedLimiter(address, when_down=settings.limits_when_down)
    replays = RedisReplays(address, fallback=own if settings.limits_when_down == "local" else None)
    stack.push_async_callback(limiter.close)
    stack.push_async_callback(replays.close)
    await asyncio.gather(cache.open(), *((limiter.open(), replays.open()) if counts else ()))
    return cache, Limits(limiter, local), replays


def _own_replays(settings: Settings, stack: AsyncExitStack) -> FileReplays:
    """Shared by the workers of this node."""
    replays = FileReplays(settings.data_dir / "replays.table")
    stack.callback(replays.close)
    return replays


def node_name(data_dir: Path, role: str) -> str:
    """The same after each restart on the same data folder, so that a process takes back its own leases at once."""
    path = data_dir / "node.id"
    draft = data_dir / f".node.id.{new_id()}"
    draft.write_text(f"node-{new_id()[-6:]}", encoding="ascii")  # short: people read it in the console
    try:
        # Linked, not written in place: a process that starts at the same moment never reads half a name.
        os.link(draft, path)
    except FileExistsError:
        pass  # it has its name from an earlier start, or from the other process
    finally:
        draft.unlink()
    return f"{path.read_text(encoding='ascii').strip()}-{role}"
