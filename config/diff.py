"""What an `apply` would change: two platforms compared resource by resource, field by field. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from config.model import KINDS, Platform
from config.secret_places import change_secrets
from config.types import convert, plain
from config.validation import map_secrets
from core.adapter import Adapter
from core.schema import Dataset

Action = Literal["create", "update", "delete", "same"]
MASK = "***"
_ABSENT = object()


class Change(Struct, frozen=True):
    """One field before and after; None where it is absent. Secrets are masked."""

    field: str  # dotted path inside the resource
    before: Any
    after: Any


class Difference(Struct, frozen=True):
    """What happens to one resource. `fields` are the dotted paths that change (an update only), `changes` the same with values."""

    kind: str
    name: str
    action: Action
    fields: list[str] = []
    changes: list[Change] = []


def differences(
    old: Platform | Mapping[str, Any], new: Platform | Mapping[str, Any], adapters: Mapping[str, Adapter] | None = None
) -> list[Difference]:
    """Every resource of both, in an order in which references hold: created and updated by kind, then deleted in reverse.

    Secrets are compared in clear and shown as `***`; without `adapters` it is not known which settings are secret, and all texts
    among them are masked. Documents are unsealed and valid. Raises InvalidInput for one that is not of the model.
    """
    kept: list[Difference] = []
    deleted: list[Difference] = []
    before_all, after_all = _document(old), _document(new)
    for kind, (section, _) in KINDS.items():
        before, after = before_all.get(section, {}), after_all.get(section, {})
        kept += [_compare(kind, name, before.get(name), body, adapters or {}) for name, body in after.items()]
        deleted += [Difference(kind, name, "delete") for name in before if name not in after]
    return kept + deleted[::-1]


def lines(found: list[Difference]) -> Iterator[str]:
    """For a terminal: `~ service customers: filters, max_limit`; resources that stay the same are left out."""
    signs = {"create": "+", "update": "~", "delete": "-"}
    for each in found:
        if each.action != "same":
            yield f"{signs[each.action]} {each.kind} {each.name}{': ' if each.fields else ''}{', '.join(each.fields)}"


def _document(platform: Platform | Mapping[str, Any]) -> dict[str, Any]:
    """One form for equal meanings: defaults written out, dataset fields in the long form."""
    model = platform if isinstance(platform, Platform) else convert(plain(platform), Platform)
    document: dict[str, Any] = _full(model)
    return document


def _full(value: Any) -> Any:
    if isinstance(value, Dataset):
        value = msgspec.structs.replace(value, fields={name: value.field(name) for name in value.fields})
    if isinstance(value, Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return {written: _full(getattr(value, name)) for written, name in names}
    if isinstance(value, dict):
        return {key: _full(item) for key, item in value.items()}
    return [_full(item) for item in value] if isinstance(value, list | tuple) else plain(value)


def _compare(kind: str, name: str, before: Any, after: Any, adapters: Mapping[str, Adapter]) -> Difference:
    if before is None:
        return Difference(kind, name, "create")
    paths = list(_changed(before, after, ()))
    if not paths:
        return Difference(kind, name, "same")
    shown_before, shown_after = (_masked(kind, body, adapters) for body in (before, after))
    changes = [Change(".".join(path), _at(shown_before, path), _at(shown_after, path)) for path in paths]
    return Difference(kind, name, "update", [change.field for change in changes], changes)


def _changed(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The deepest paths at which the two differ; a list differs as a whole. The order of a mapping's keys has no meaning."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _changed(before.get(key, _ABSENT), after.get(key, _ABSENT), (*path, str(key)))
    elif before != after:
        yield path


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _masked(kind: str, body: dict[str, Any], adapters: Mapping[str, Adapter]) -> dict[str, Any]:
    """The body fit to be shown: its secrets replaced by the mask."""
    if kind != "source":
        shown: dict[str, Any] = change_secrets(KINDS[kind][1], body, lambda text, path, context: MASK)
        return shown
    adapter = adapters.get(body["adapter"])
    if adapter is None:
        return {**body, "settings": _all_texts(body["settings"])}
    return {**body, "settings": map_secrets(adapter.settings, body["settings"], lambda _: MASK)}


def _all_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _all_texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_all_texts(item) for item in value]
    return value if value is None or isinstance(value, bool) else MASK
