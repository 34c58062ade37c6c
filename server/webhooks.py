"""Webhooks with the platform: which are live, on one node under a lease, started anew when what they rest on changes.

Part of the deliveries' process. Gives each feed the view that its owner's grant allows, as the gateway shows it.
"""

import asyncio
from contextlib import suppress

import structlog
from msgspec import Struct

from config.check_webhooks import is_live
from config.model import Platform
from config.policies import Grant
from config.webhooks import Webhook
from core.errors import PlatformError
from core.schema import Dataset, Record
from core.supervise import Tasks
from exchange.change_feed import Feed, Shown, prefix
from exchange.jobs import datasets_of
from exchange.webhooks import WebhookRun
from gateway.views import View
from server.parts import Parts

_log = structlog.get_logger("server.webhooks")
_LEASE = ".webhooks"  # beside those of the jobs, whose names begin with a letter
_LEASE_S = 30.0
_LOOK_S = 5.0


class _Source(Struct, frozen=True):
    """What a feed is made of."""

    service: str
    dataset: str
    key: tuple[str, ...]
    grant: Grant | None


class _Plan(Struct, frozen=True):
    """What a run rests on: another plan is another run."""

    webhook: Webhook
    sources: tuple[_Source, ...]


class Webhooks:
    """`reload` says what is declared; `keep` runs it as long as this node holds the lease."""

    def __init__(self, parts: Parts, tasks: Tasks) -> None:
        self._parts = parts
        self._tasks = tasks
        self._platform: Platform | None = None
        self._running: dict[str, tuple[_Plan, asyncio.Task[None]]] = {}
        self._news = asyncio.Event()

    def reload(self, platform: Platform) -> None:
        """Take a new snapshot's webhooks."""
        self._platform = platform
        self._news.set()

    async def keep(self) -> None:
        """Until it is cancelled; then nothing is being sent any more."""
        try:
            while True:
                self._news.clear()
                await self._turn()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._news.wait()
        finally:
            await self._stop(list(self._running))

    async def _turn(self) -> None:
        try:
            leads = await self._parts.job_states.lease(_LEASE, owner=self._parts.node, ttl_s=_LEASE_S)
        except PlatformError as error:
            _log.warning("webhooks: the lease can't be kept; it is tried again", detail=error.detail)
            return  # the subscriptions have one active reader each: two nodes for a moment send twice, and lose nothing
        platform = self._platform
        if platform is None or not leads:
            await self._stop(list(self._running))
            return
        wanted = plans_of(platform)
        await self._stop([name for name, (plan, _) in self._running.items() if wanted.get(name) != plan])
        await self._forget(platform)
        for name, plan in wanted.items():
            if name not in self._running:
                self._running[name] = (plan, self._start(name, plan))

    def _start(self, name: str, plan: _Plan) -> asyncio.Task[None]:
        feeds = [Feed(each.service, each.dataset, each.key, shown_by(each.grant)) for each in plan.sources]

        async def run() -> None:
            parts = self._parts
            made = WebhookRun(name, plan.webhook, feeds, bus=parts.bus, retries=parts.webhook_retries, states=parts.webhook_states)
            await made.run()

        return self._tasks.keep(run, name=f"webhook {name}")

    async def _stop(self, names: list[str]) -> None:
        tasks = [self._running.pop(name)[1] for name in names]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_LOOK_S)

    async def _forget(self, platform: Platform) -> None:
        """What is kept for webhooks, or services of theirs, that are not declared any more. A disabled one keeps its place."""
        declared = {
            Feed(name, service.dataset, (), _all).subscription(webhook)
            for webhook, each in platform.webhooks.items()
            for name, service in platform.services.items()
            if name in each.services and service.dataset is not None
        }
        try:
            for name in await self._parts.bus.depth():
                if name.startswith(prefix()) and name not in declared:
                    await self._parts.bus.unsubscribe(name)
                    _log.info("a webhook's subscription was removed", subscription=name)
            await self._parts.webhook_retries.forget_others(platform.webhooks)
            await self._parts.webhook_states.forget_others(platform.webhooks)
        except PlatformError as error:
            _log.warning("webhooks that are gone can't be forgotten yet", detail=error.detail)


def plans_of(platform: Platform) -> dict[str, _Plan]:
    """The webhooks that send now: all that each of them rests on is declared, enabled and allowed."""
    datasets = datasets_of(platform)
    found = {}
    for name, webhook in platform.webhooks.items():
        if all(is_live(platform, webhook, service) for service in webhook.services):
            found[name] = _Plan(webhook, tuple(_source(platform, webhook, service, datasets) for service in webhook.services))
    return found


def _source(platform: Platform, webhook: Webhook, name: str, datasets: dict[str, Dataset]) -> _Source:
    dataset = platform.services[name].dataset
    assert dataset is not None
    return _Source(name, dataset, tuple(datasets[dataset].key), platform.apps[webhook.app].grants.get(name))


def shown_by(grant: Grant | None) -> Shown:
    """What a grant lets its app see of a record: all of it where it narrows nothing."""
    if grant is None or not (grant.fields or grant.masks):
        return _all
    view = View(grant)

    def shown(record: Record) -> Record:
        return dict(view.shown(record))

    return shown


def _all(record: Record) -> Record:
    return record
