"""A source kept in memory, so that a gateway under test has something real to look up, write to and call."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from core.adapter import Adapter, Connection
from core.errors import NotFound, Unavailable
from core.records import Rows
from core.schema import Dataset, Record, Value


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Ledger:
    """Records by key. `is_down` makes every call fail as a broken system would."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Value, ...], Record] = {}
        self.is_down = False

    def _answer(self) -> None:
        if self.is_down:
            raise Unavailable("the ledger is down")

    async def check(self) -> None:
        self._answer()

    async def close(self) -> None:
        self.rows.clear()

    async def fetch(self, dataset: Dataset, key: Mapping[str, Value]) -> Rows | None:
        self._answer()
        record = self.rows.get(tuple(key.values()))
        return Rows(tuple(record), [tuple(record.values())]) if record else None

    async def upsert(self, dataset: Dataset, key: Mapping[str, Value], changes: Record) -> None:
        self._answer()
        place = tuple(key.values())
        self.rows[place] = {**dict.fromkeys(dataset.columns), **self.rows.get(place, {}), **key, **changes}

    async def delete(self, dataset: Dataset, key: Mapping[str, Value]) -> None:
        self._answer()
        self.rows.pop(tuple(key.values()), None)

    async def call(self, operation: str, arguments: Mapping[str, Value]) -> Any:
        self._answer()
        if arguments["member"] == "nobody":
            raise NotFound("there is no member nobody")
        return {"member": arguments["member"], "points": 120}


def _open(_: Any) -> Connection:
    return Ledger()


ADAPTER = Adapter("ledger", "Ledger in memory", Settings, Options, frozenset({"lookup", "write", "call"}), _open)
