"""Plain values against a msgspec type: every problem with its path, not only the first, and the values made ready to convert.

msgspec itself stops at the first error and knows no nearest name; it has the last word after this has found nothing.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from config.expectation import bare, expected, from_text, given, has_shape, is_secret, members, takes_text
from config.problem import Path, Problem, refuse, suggestion
from config.types import FROM_TEXT, decode
from core.secret import Secret

_MSGSPEC_PLACE = re.compile(r"^(?P<text>.*?)(?: - at `(?:key in )?\$(?P<place>[^`]*)`)?$", re.DOTALL)
type_info = cache(inspect.type_info)


@dataclass(slots=True)
class Validation:
    """One walk over one document. `on_secret` gives what a secret's text becomes, or raises ValueError; `is_variable` tells that
    the text at a path came from a variable, so it may serve a number field, and with `hides_variables` is never shown."""

    on_secret: Callable[[str], str] = str
    is_variable: Callable[[Path], bool] = lambda _: False
    hides_variables: bool = True
    problems: list[Problem] = field(default_factory=list)

    def run(self, kind: Any, value: Any, path: Path = ()) -> Any:
        """The value, its secrets and variables replaced; what is wrong is added to `problems`. `kind` is any type msgspec knows."""
        before = len(self.problems)
        result = self._check(type_info(kind), value, path)
        if len(self.problems) == before:
            self._last_word(kind, result, path)
        return result

    def _last_word(self, kind: Any, value: Any, path: Path) -> None:
        try:
            msgspec.convert(value, kind, dec_hook=decode)
        except msgspec.ValidationError as error:
            found = _MSGSPEC_PLACE.match(str(error))
            place = (found and found["place"]) or ""
            keys = tuple(key for key in re.split(r"[.\[\]]+", place) if key)
            text = found["text"] if found else "not valid"
            self.problems.append(Problem((*path, *keys), text[:1].lower() + text[1:]))

    def _add(self, path: Path, text: str) -> None:
        self.problems.append(Problem(path, text))

    def _check(self, kind: inspect.Type, value: Any, path: Path) -> Any:
        is_variable = self.is_variable(path)
        if is_variable:
            value = from_text(kind, value)
        hide = (is_variable and self.hides_variables) or is_secret(kind)
        fitting = [member for member in members(kind) if has_shape(member, value)]
        if not fitting:
            quote = "; put it in quotes" if takes_text(kind) and isinstance(value, int | float) else ""
            self._add(path, f"expected {expected(kind)}, got {given(value, hide=hide)}{quote}")
            return value
        return self._one(fitting[0], value, path, hide) if len(fitting) == 1 else self._best(fitting, value, path)

    def _best(self, kinds: list[inspect.Type], value: Any, path: Path) -> Any:
        """Of several types that fit: the one that the tag names, else the one with the fewest problems."""
        structs = [inner for inner in map(bare, kinds) if isinstance(inner, inspect.StructType) and inner.tag_field]
        if structs and isinstance(value, dict):
            return self._tagged(structs, value, path)
        attempts = []
        for kind in kinds:
            attempt = Validation(self.on_secret, self.is_variable, self.hides_variables)
            attempts.append((attempt, attempt._check(kind, value, path)))
        best, result = min(attempts, key=lambda pair: len(pair[0].problems))
        self.problems += best.problems
        return result

    def _tagged(self, structs: list[inspect.StructType], value: dict[str, Any], path: Path) -> Any:
        tag_field = str(structs[0].tag_field)
        tags = [str(struct.tag) for struct in structs]
        tag = value.get(tag_field)
        for struct in structs:
            if struct.tag == tag:
                return self._struct(struct, value, path)
        if tag is None:
            self._add((*path, tag_field), f"required field is missing; one of {', '.join(tags)}")
        else:
            hide = self.is_variable((*path, tag_field)) and self.hides_variables
            self._add((*path, tag_field), f"{given(tag, hide=hide)} is unknown{suggestion('' if hide else str(tag), tags)}")
        return value

    def _one(self, kind: inspect.Type, value: Any, path: Path, hide: bool) -> Any:
        inner = bare(kind)
        match inner:
            case inspect.StructType():
                return value if inner.array_like else self._struct(inner, value, path)
            case inspect.DictType():
                return self._dict(inner, value, path)
            case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
                self._size(inner, value, path, "entry", "entries")
                return [self._check(inner.item_type, item, (*path, str(index))) for index, item in enumerate(value)]
            case inspect.CustomType():
                return self._custom(inner, value, path, hide)
            case inspect.LiteralType():
                self._literal(inner, value, path, hide)
            case inspect.StrType():
                self._size(inner, value, path, "character", "characters")
                self._pattern(kind, value, path, hide)
            case inspect.IntType() | inspect.FloatType():
                self._range(inner, value, path, hide)
        return value

    def _struct(self, kind: inspect.StructType, value: Mapping[str, Any], path: Path) -> dict[str, Any]:
        before = len(self.problems)
        fields = {each.encode_name: each for each in kind.fields}
        result: dict[str, Any] = {}
        for name, item in value.items():
            if name in fields:
                result[name] = self._check(fields[name].type, item, (*path, name))
                continue
            result[name] = item
            if kind.forbid_unknown_fields and name != kind.tag_field:
                missing = [each for each in fields if each not in value]
                self._add((*path, name), f"unknown field{suggestion(name, missing)}")
        for name, each in fields.items():
            if each.required and name not in value:
                self._add((*path, name), f"required field is missing; expected {expected(each.type)}")
        if len(self.problems) == before and hasattr(kind.cls, "__post_init__"):
            self._last_word(kind.cls, result, path)  # here: from further out, msgspec does not name the keys of mappings
        return result

    def _dict(self, kind: inspect.DictType, value: Mapping[str, Any], path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, item in value.items():
            if isinstance(bare(kind.key_type), inspect.StrType):
                self._pattern(kind.key_type, name, (*path, name), hide=False)
            result[name] = self._check(kind.value_type, item, (*path, name))
        return result

    def _custom(self, kind: inspect.CustomType, value: str, path: Path, hide: bool) -> str:
        try:
            if kind.cls is Secret:
                return self.on_secret(value)
            if kind.cls in FROM_TEXT:
                FROM_TEXT[kind.cls](value)
        except ValueError as error:
            is_shown = kind.cls is Secret or not hide  # what reads a secret shows none; an address shows what it was given
            self._add(path, str(error) if is_shown else f"expected {expected(kind)}, got {given(value, hide=True)}")
        return value

    def _literal(self, kind: inspect.LiteralType, value: Any, path: Path, hide: bool) -> None:
        if value not in kind.values:
            near = suggestion(str(value), map(str, kind.values)) if not hide else ""
            hint = near if "did you mean" in near else ""
            self._add(path, f"expected {expected(kind)}, got {given(value, hide=hide)}{hint}")

    def _pattern(self, kind: inspect.Type, value: str, path: Path, hide: bool) -> None:
        inner = bare(kind)
        pattern = inner.pattern if isinstance(inner, inspect.StrType) else None
        # A `$` of ours means the end; Python's also matches before a last newline.
        if pattern is None or re.search(re.sub(r"\$$", r"\\Z", pattern), value):
            return
        schema = kind.extra_json_schema if isinstance(kind, inspect.Metadata) else None
        rule = (schema or {}).get("description") or f"it must match {pattern}"
        self._add(path, f"{given(value, hide=hide)} is not valid here: {rule}")

    def _size(self, kind: Any, value: Any, path: Path, one: str, many: str) -> None:
        for limit, is_met, words in (
            (kind.min_length, kind.min_length is None or len(value) >= kind.min_length, "needs at least"),
            (kind.max_length, kind.max_length is None or len(value) <= kind.max_length, "may have at most"),
        ):
            if not is_met:
                self._add(path, f"{words} {limit} {one if limit == 1 else many}, has {len(value)}")

    def _range(self, kind: inspect.IntType | inspect.FloatType, value: float, path: Path, hide: bool) -> None:
        for limit, is_met, words in (
            (kind.gt, kind.gt is None or value > kind.gt, "more than"),
            (kind.ge, kind.ge is None or value >= kind.ge, "at least"),
            (kind.lt, kind.lt is None or value < kind.lt, "less than"),
            (kind.le, kind.le is None or value <= kind.le, "at most"),
        ):
            if not is_met:
                self._add(path, f"must be {words} {limit}, got {given(value, hide=hide)}")


def map_secrets(kind: Any, value: Any, change: Callable[[str], str]) -> Any:
    """A document valid for `kind` with each secret's text changed: to seal, to unseal, to mask.

    Raises InvalidDocument where it is not valid or `change` raises ValueError; other errors of `change` come through.
    """
    validation = Validation(on_secret=change)
    result = validation.run(kind, value)
    refuse(validation.problems)
    return result
