"""Kind c: an interface that is already fit, wrapped: cached, coalesced, guarded, stale while its source is down."""

import re
from collections.abc import Sequence

import msgspec

from config.model import Service
from core.adapter import Backend
from core.clock import epoch_ms
from core.errors import ConfigError, InvalidInput
from core.service import Answer, Caller, DataService, Write
from exchange.jobs import Connections
from exchange.services.tiers import Kept, Tiers

_ENCODER = msgspec.json.Encoder()
_KEY = re.compile(r"[\w.@:+-]{1,128}")


class LiveService:
    """See core.service.DataService. Only single records; the key becomes one argument of the operation."""

    def __init__(self, name: str, service: Service, *, tiers: Tiers, connections: Connections) -> None:
        if service.call is None:
            raise ConfigError(f"service {name}: kind realtime needs a `call`")
        self._name = name
        self._service = service
        self._call = service.call
        self._tiers = tiers
        self._connections = connections

    async def get(self, key: str, caller: Caller) -> Answer:
        if not _KEY.fullmatch(key):
            raise InvalidInput("the key may have letters, digits and . @ : + - _, at most 128")
        return await self._tiers.read(
            f"call {key}", lambda: self._ask(key), tag=f"live.{self._name}", freshness=self._service.freshness, caller=caller
        )

    async def _ask(self, key: str) -> Kept:
        connection = self._connections(self._call.source)
        if not isinstance(connection, Backend):
            raise ConfigError(f"source {self._call.source} takes no calls")
        observed_ms = epoch_ms()
        value = await connection.call(self._call.operation, {**self._call.arguments, self._call.key: key})
        return Kept(_ENCODER.encode(value), observed_ms, "source")

    async def query(self, filters: Sequence[tuple[str, str]], *, limit: int, cursor: str | None, caller: Caller) -> Answer:
        raise InvalidInput(f"this service answers one record at a time: GET /v1/{self._name}/<key>", code="no_query")

    async def write(self, write: Write, caller: Caller) -> Answer:
        raise InvalidInput("this service is read-only", code="read_only")

    async def changes(self, *, since: int, limit: int, wait_s: float, caller: Caller) -> Answer:
        raise InvalidInput("a real-time service has no changes feed", code="no_changes")


def _conforms(service: LiveService) -> DataService:
    return service
