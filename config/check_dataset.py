"""Sense of one dataset's declaration: its key, cursor, indexes, fields and format agree with each other. Pure."""

import codecs
from collections.abc import Iterator

from config.problem import Path, Problem, suggestion
from core.schema import Dataset

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
        if field.format is not None and field.type not in ("date", "datetime"):
            text = f"only a date or datetime field has a format (a strptime pattern); this one is {field.type}"
            yield Problem((*path, "fields", name, "format"), text)
        elif field.format is not None and "%" not in field.format:
            yield Problem((*path, "fields", name, "format"), "expected a strptime pattern such as %Y%m%d")


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
    if dataset.format.type == "fixed_width":
        for name in dataset.fields:
            if dataset.field(name).width is None:
                yield Problem((*path, "fields", name), "needs a width in bytes: the format is fixed_width")
