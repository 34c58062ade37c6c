"""Sense of one dataset's declaration: its key, cursor, indexes, fields and format agree with each other. Pure."""

import codecs
from collections.abc import Iterator
from zoneinfo import available_timezones

from config.problem import Path, Problem, suggestion
from core.errors import InvalidInput
from core.expression import Expression
from core.schema import Dataset, Field, Unit
from core.units import UNITS

_EPOCHS = ("epoch", "epoch_ms")
_UNORDERED = ("boolean", "json", "binary")  # types that can't be a key, grow as a cursor, or be indexed


def dataset_problems(dataset: Dataset, path: Path) -> Iterator[Problem]:
    """Everything wrong inside one dataset."""
    if not dataset.fields:
        yield Problem((*path, "fields"), "a dataset needs at least one field")
        return
    yield from _named_fields(dataset, path)
    yield from _field_formats(dataset, path)
    yield from _format(dataset, path)


def _named_fields(dataset: Dataset, path: Path) -> Iterator[Problem]:
    named = [("key", name, (*path, "key", str(index))) for index, name in enumerate(dataset.key)]
    named += [("indexes", name, (*path, "indexes", str(index))) for index, name in enumerate(dataset.indexes)]
    if dataset.cursor is not None:
        named.append(("cursor", dataset.cursor, (*path, "cursor")))
    seen: set[tuple[str, str]] = set()
    for use, name, at in named:
        if name not in dataset.fields:
            yield Problem(at, f"field '{name}' is not declared in fields{suggestion(name, dataset.fields)}")
        elif (kind := dataset.field(name).type) in _UNORDERED:
            yield Problem(at, f"field '{name}' is {kind}, which can't serve as {use}")
        if (use, name) in seen:
            yield Problem(at, f"field '{name}' stands in {use} twice; remove one")
        seen.add((use, name))


def _field_formats(dataset: Dataset, path: Path) -> Iterator[Problem]:
    for name in dataset.fields:
        field = dataset.field(name)
        at = (*path, "fields", name)
        if field.format is not None and field.type not in ("date", "datetime"):
            yield Problem(
                (*at, "format"), f"only a date or datetime field has a format (a strptime pattern); this one is {field.type}"
            )
        elif not all("%" in pattern or pattern in _EPOCHS for pattern in field.formats):
            yield Problem((*at, "format"), "expected a strptime pattern such as %Y%m%d, or epoch, epoch_ms")
        yield from _mapping(dataset, name, field, at)


def _mapping(dataset: Dataset, name: str, field: Field, at: Path) -> Iterator[Problem]:
    if field.timezone is not None and (field.type != "datetime" or field.timezone not in available_timezones()):
        yield Problem((*at, "timezone"), "an IANA name, such as Asia/Shanghai, of a datetime field")
    if field.unit is not None:
        yield from _unit(field.unit, field.type, (*at, "unit"))
    if field.is_mapped and name in (*dataset.key, dataset.cursor):
        yield Problem(at, "key and cursor are taken as the source gives them: no codes, unit or expression")
    if field.expression is None:
        return
    others = {other for other in dataset.fields if dataset.field(other).expression is None}
    try:
        unknown = sorted(Expression(field.expression).names - others)
    except InvalidInput as error:
        yield Problem((*at, "expression"), error.detail)
        return
    for other in unknown:
        text = f"'{other}' is no field that the source gives{suggestion(other, others)}"
        yield Problem((*at, "expression"), text)


def _unit(unit: Unit, kind: str, at: Path) -> Iterator[Problem]:
    unknown = [name for name in (unit.source, unit.target) if name not in UNITS]
    for name in unknown:
        yield Problem(at, f"unknown unit '{name}'{suggestion(name, UNITS)}")
    if not unknown and UNITS[unit.source].kind != UNITS[unit.target].kind:
        yield Problem(at, f"{unit.source} is {UNITS[unit.source].kind}, {unit.target} is {UNITS[unit.target].kind}")
    if kind not in ("integer", "number", "decimal"):
        yield Problem(at, f"only a number has a unit; this field is {kind}")


def _format(dataset: Dataset, path: Path) -> Iterator[Problem]:
    if dataset.format is None:
        return
    at = (*path, "format")
    try:
        codecs.lookup(dataset.format.encoding)
    except (LookupError, ValueError):
        yield Problem((*at, "encoding"), f"unknown encoding '{dataset.format.encoding}'; such as utf-8, gb18030, big5, utf-16")
    if dataset.format.type == "csv" and dataset.format.delimiter == dataset.format.quote:
        yield Problem((*at, "quote"), "is the same as the delimiter")
    if dataset.format.sheet is not None and dataset.format.type != "excel":
        yield Problem((*at, "sheet"), "only an excel format has sheets")
    if dataset.format.members != "*" and dataset.format.compression != "zip":
        yield Problem((*at, "members"), "only a zip archive has members; declare `compression: zip`")
    if dataset.format.type == "fixed_width":
        for name in dataset.fields:
            if dataset.field(name).width is None:
                yield Problem((*path, "fields", name), "needs a width in bytes: the format is fixed_width")
