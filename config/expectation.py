"""What a type expects, in words, and whether a plain value has its shape. Pure; the words of every validation message."""

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from config.scalars import plain_scalar
from config.types import EXPECTED
from core.secret import Secret

_WORDS: dict[type[inspect.Type], str] = {
    inspect.NoneType: "nothing",
    inspect.BoolType: "true or false",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
    inspect.ListType: "a list",
    inspect.VarTupleType: "a list",
    inspect.SetType: "a list",
    inspect.FrozenSetType: "a list",
    inspect.TupleType: "a list",
    inspect.DictType: "a mapping",
    inspect.StructType: "a mapping",
}
_SHAPES: dict[type[inspect.Type], tuple[type, ...]] = {
    inspect.NoneType: (type(None),),
    inspect.BoolType: (bool,),
    inspect.IntType: (int,),
    inspect.FloatType: (int, float),
    inspect.StrType: (str,),
    inspect.CustomType: (str,),
    **dict.fromkeys((kind for kind, words in _WORDS.items() if words == "a list"), (list, tuple)),
    **dict.fromkeys((inspect.DictType, inspect.StructType), (dict,)),
}
_NUMBERS = (inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.LiteralType)


def bare(kind: inspect.Type) -> inspect.Type:
    """The type without the metadata around it."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def members(kind: inspect.Type) -> Iterator[inspect.Type]:
    """The alternatives of a union; else the type itself."""
    inner = bare(kind)
    if isinstance(inner, inspect.UnionType):
        for member in inner.types:
            yield from members(member)
    else:
        yield kind


def expected(kind: inspect.Type) -> str:
    """`a whole number`, `one of csv, xml`, `text or a mapping`."""
    words = []
    for member in map(bare, members(kind)):
        if isinstance(member, inspect.LiteralType):
            words.append(f"{'one of ' if len(member.values) > 1 else ''}{', '.join(map(str, member.values))}")
        elif isinstance(member, inspect.CustomType):
            words.append(EXPECTED.get(member.cls, member.cls.__name__))
        else:
            words.append(_WORDS.get(type(member), type(member).__name__.removesuffix("Type").lower()))
    shown = [word for word in words if word != "nothing"] or words
    return " or ".join(dict.fromkeys(shown))


def given(value: Any, *, hide: bool) -> str:
    """What was given; the content only where it can't be a secret."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    for kind, words in ((str, "text"), (int | float, "a number"), (list, "a list"), (dict, "a mapping")):
        if isinstance(value, kind):
            return words if hide or words.endswith(("list", "mapping")) else f"{words.replace('a n', 'the n')} {_short(value)}"
    return type(value).__name__


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else f"{value:.12g}" if isinstance(value, float) else hex(value)
    if isinstance(value, int) and abs(value) < 10**30:
        text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def has_shape(kind: inspect.Type, value: Any) -> bool:
    """Whether the value is of the right sort for the type, its content aside. A boolean is not a number."""
    inner = bare(kind)
    if type(inner) not in _SHAPES and not isinstance(inner, inspect.LiteralType):
        return True  # any, and what msgspec itself converts (dates, enums): its own check follows
    if isinstance(value, bool):
        return isinstance(inner, inspect.BoolType)
    if isinstance(inner, inspect.LiteralType):
        return type(value) in {type(each) for each in inner.values}
    return isinstance(value, _SHAPES[type(inner)])


def from_text(kind: inspect.Type, value: Any) -> Any:
    """A number or boolean read from the text that a variable held, where only that fits the type; else the value as it is."""
    if not isinstance(value, str) or takes_text(kind):
        return value
    read = plain_scalar(value.strip())
    fits = any(isinstance(bare(each), _NUMBERS) and has_shape(each, read) for each in members(kind))
    return read if fits and not isinstance(read, str) else value


def takes_text(kind: inspect.Type) -> bool:
    """Whether any text may stand here."""
    return any(isinstance(bare(member), inspect.StrType | inspect.CustomType) for member in members(kind))


def is_secret(kind: inspect.Type) -> bool:
    """Whether a secret may stand here."""
    return any(isinstance(inner, inspect.CustomType) and inner.cls is Secret for inner in map(bare, members(kind)))
