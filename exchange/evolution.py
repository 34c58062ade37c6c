"""New columns of a source become fields of its dataset, through the registry: versioned, audited, and undone like any change."""

import re
from collections.abc import Sequence
from typing import Any

from config.types import convert
from core.errors import Conflict
from core.schema import Dataset, SourceColumn
from registry.registry import Registry

ACTOR = "platform"
MAX_FIELDS = 500
_ATTEMPTS = 5
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def field_name(column: str) -> str | None:
    """`ModifiedAt`, `MODIFIED_AT`, `modified at` → `modified_at`; None where no letter of ASCII begins it."""
    if not column.isascii():
        return None
    name = "_".join(word.lower() for word in _WORD.findall(column))
    return name if _NAME.fullmatch(name) else None


def can_be_field(column: SourceColumn) -> bool:
    """Bytes are left to a person: they may be pictures."""
    return column.type != "binary" and field_name(column.name) is not None


def with_fields(body: dict[str, Any], columns: Sequence[SourceColumn]) -> dict[str, Any]:
    """A dataset's document with a field for each column that can be one and is none yet."""
    fields = dict(body["fields"])
    sources = set(convert(body, Dataset).read_columns)
    for column in columns:
        name = field_name(column.name)
        if name is None or name in fields or column.name in sources or not can_be_field(column) or len(fields) >= MAX_FIELDS:
            continue
        fields[name] = column.type if name == column.name else {"type": column.type, "from": column.name}
    return {**body, "fields": fields}


class Evolution:
    """See exchange.drift.Evolve."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def __call__(self, dataset: str, columns: Sequence[SourceColumn]) -> Dataset:
        """Raises Conflict where the source is being changed all the time, NotFound where it is gone."""
        source, _, name = dataset.partition(".")
        for _ in range(_ATTEMPTS):
            stored = await self._registry.get("source", source)
            body = stored.body["datasets"][name]
            evolved = with_fields(body, columns)
            if evolved != body:
                changed = {**stored.body, "datasets": {**stored.body["datasets"], name: evolved}}
                try:
                    await self._registry.put("source", source, changed, expected=stored.version, actor=ACTOR)
                except Conflict:
                    continue  # somebody else was quicker
            return convert(evolved, Dataset)
        raise Conflict(f"source {source} keeps changing; new columns of {dataset} wait for the next run")
