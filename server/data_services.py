"""Declared services → data services, over the parts of this process (DESIGN §4, §5)."""

from dataclasses import dataclass, field

from cache.app import AppCache
from cache.coalesce import Coalescer
from config.model import Platform, Service
from core.schema import Dataset
from core.service import DataService
from exchange.jobs import datasets_of
from exchange.services.key_locks import KeyLocks
from exchange.services.live import LiveService
from exchange.services.records import RecordService
from exchange.services.tiers import Tiers
from exchange.services.transactions import Party, Transactions
from exchange.services.writes import Completion, WriteService
from server.parts import Parts, unless_down
from server.sources import SourcePool

APP_CACHE_BYTES = 32 << 20
APP_CACHE_ENTRIES = 20_000


@dataclass(slots=True)
class DataServices:
    """The services of one snapshot by name, the completions that finish the writes of the synchronous ones, and those of these that
    take part in transactions."""

    services: dict[str, DataService] = field(default_factory=dict)
    completions: dict[str, Completion] = field(default_factory=dict)
    parties: dict[str, Party] = field(default_factory=dict)


def make_tiers(parts: Parts) -> Tiers:
    """The caches of this process."""
    return Tiers(AppCache(max_bytes=APP_CACHE_BYTES, max_entries=APP_CACHE_ENTRIES), parts.cache, Coalescer())


async def prepare_mirror(platform: Platform, parts: Parts, *, may_be_down: bool = False) -> None:
    """A mirror table for each dataset that a job or a service uses."""
    datasets = datasets_of(platform)
    used = {job.dataset for job in platform.jobs.values()} | {s.dataset for s in platform.services.values() if s.dataset}
    for name in sorted(used):
        await unless_down(parts.mirror.prepare(name, datasets[name]), may_be_down=may_be_down)


def make_transactions(made: DataServices, parts: Parts) -> Transactions:
    """Over the services that take part."""
    return Transactions(made.parties, parts.sagas, parts.incidents, owner=parts.node)


def make_services(platform: Platform, parts: Parts, pool: SourcePool, tiers: Tiers) -> DataServices:
    """Every enabled service of the platform."""
    datasets = datasets_of(platform)
    made = DataServices()
    for name, service in platform.services.items():
        if service.enabled:
            _add(made, name, service, datasets, parts, pool, tiers)
    return made


def _add(
    made: DataServices, name: str, service: Service, datasets: dict[str, Dataset], parts: Parts, pool: SourcePool, tiers: Tiers
) -> None:
    if service.dataset is None:
        made.services[name] = LiveService(name, service, tiers=tiers, connections=pool.get)
        return
    dataset = datasets[service.dataset]
    reader = RecordService(service, service.dataset, dataset, mirror=parts.mirror, tiers=tiers, connections=pool.get)
    if service.kind != "synchronous":
        made.services[name] = reader
        return
    completion = Completion(
        service.dataset, dataset, connections=pool.get, journal=parts.journal, mirror=parts.mirror, bus=parts.bus
    )
    made.completions[name] = completion
    locks = KeyLocks()
    if service.transactional:
        source, _, table = service.dataset.partition(".")
        made.parties[name] = Party(name, table, dataset, service.writable, source, pool.get, completion, reader, locks, tiers)
    made.services[name] = WriteService(
        service.dataset,
        service.writable,
        dataset,
        reader,
        completion,
        service=name,
        journal=parts.journal,
        mirror=parts.mirror,
        tiers=tiers,
        locks=locks,
    )
