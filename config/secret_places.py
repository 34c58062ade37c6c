"""Where secrets stand in a value: found by its type, changed one by one. For sealing, opening and masking; validates nothing."""

from collections.abc import Callable
from functools import cache
from typing import Any

from msgspec import inspect

from config.expectation import bare, has_shape, is_secret, members
from config.problem import Path

Change = Callable[[str, Path, str], Any]
"""From a secret's text, its path in the whole and its sealing context to what stands there instead."""

_type_info = cache(inspect.type_info)


@cache
def may_hold_secrets(kind: type) -> bool:
    """Whether a value of this type can hold any secret."""
    return _holds(_type_info(kind), ())


def change_secrets(kind: Any, value: Any, change: Change, *, path: Path = (), context: str = "") -> Any:
    """The value with each secret changed; what holds none is the same object. `context` grows by the names of fields alone, neither
    by keys nor by positions, so that it survives renaming and reordering."""
    return _walk(_alternatives(_type_info(kind)), value, path, context, change) if may_hold_secrets(kind) else value


def _holds(kind: inspect.Type, above: tuple[type, ...]) -> bool:
    for inner in map(bare, members(kind)):
        if is_secret(inner):
            return True
        if isinstance(inner, inspect.StructType) and inner.cls not in above:
            if any(_holds(field.type, (*above, inner.cls)) for field in inner.fields):
                return True
        elif isinstance(inner, inspect.DictType):
            if _holds(inner.value_type, above):
                return True
        elif isinstance(inner, inspect.ListType | inspect.VarTupleType) and _holds(inner.item_type, above):
            return True
    return False


def _alternatives(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return tuple(map(bare, members(kind)))


@cache
def _fields(kind: type) -> dict[str, tuple[inspect.Type, ...]]:
    """The fields of a Struct that may hold secrets, by their written names, with the alternatives of each."""
    info = _type_info(kind)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: _alternatives(field.type) for field in info.fields if _holds(field.type, ())}


def _walk(kinds: tuple[inspect.Type, ...], value: Any, path: Path, context: str, change: Change) -> Any:
    match _fitting(kinds, value):
        case inspect.CustomType() as found if is_secret(found):
            return change(value, path, context)
        case inspect.StructType(cls=cls):
            changed = {}
            for name, each in _fields(cls).items():
                if name in value:
                    item = _walk(each, value[name], (*path, name), f"{context}/{name}", change)
                    if item is not value[name]:
                        changed[name] = item
            return {**value, **changed} if changed else value
        case inspect.DictType(value_type=each):
            return {name: _walk(_alternatives(each), item, (*path, name), context, change) for name, item in value.items()}
        case inspect.ListType(item_type=each) | inspect.VarTupleType(item_type=each):
            return [_walk(_alternatives(each), item, (*path, str(n)), context, change) for n, item in enumerate(value)]
    return value


def _fitting(kinds: tuple[inspect.Type, ...], value: Any) -> inspect.Type | None:
    """The type, of a union the alternative, that this value is of."""
    for inner in kinds:
        if not has_shape(inner, value):
            continue
        if isinstance(inner, inspect.StructType) and inner.tag_field and value.get(inner.tag_field) != inner.tag:
            continue
        return inner
    return None
