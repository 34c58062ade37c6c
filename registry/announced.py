"""Resources whose changes are told on the control bus, so that nodes ask for them at once and not at their next turn."""

from collections.abc import Sequence

import structlog

from core.bus import Envelope, Transport
from core.clock import epoch_ms
from core.database import Database
from core.errors import PlatformError
from core.ids import new_id
from core.stores import Edit
from registry.sql_resources import SqlResources

CHANGED = "registry.changed"
_log = structlog.get_logger("registry")


class AnnouncedResources(SqlResources):
    """The message only says that there is something: what it is, nodes read from the registry. A bus that is down costs them the
    quarter of a second until they ask by themselves."""

    def __init__(self, database: Database, bus: Transport, *, node: str) -> None:
        super().__init__(database)
        self._bus = bus
        self._node = node

    async def commit(self, edits: Sequence[Edit], *, actor: str, at: int | None = None) -> int:
        revision = await super().commit(edits, actor=actor, at=at)
        message = Envelope(new_id("evt_"), CHANGED, self._node, epoch_ms(), "registry", 1, "application/json", b"%d" % revision)
        try:
            await self._bus.publish([message], channel="control")
        except PlatformError as error:
            _log.warning("a change of the registry could not be told on the bus; nodes find it by themselves", detail=error.detail)
        return revision
