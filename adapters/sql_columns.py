"""What a table looks like: the same question to INFORMATION_SCHEMA of each relational source, and what its types hold. Pure."""

from collections.abc import Sequence
from typing import Any

from adapters.sql_statements import Statement
from core.schema import Dataset, FieldType, SourceColumn

_TYPES: dict[str, FieldType] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "integer", "bigint", "year"), "integer"),
    **dict.fromkeys(("decimal", "numeric", "money", "smallmoney"), "decimal"),
    **dict.fromkeys(("float", "double", "real", "double precision"), "number"),
    **dict.fromkeys(("bit", "boolean"), "boolean"),
    "date": "date",
    **dict.fromkeys(("datetime", "datetime2", "smalldatetime", "datetimeoffset", "timestamp"), "datetime"),
    **dict.fromkeys(("timestamp without time zone", "timestamp with time zone"), "datetime"),
    **dict.fromkeys(("json", "jsonb"), "json"),
    **dict.fromkeys(
        ("binary", "varbinary", "blob", "tinyblob", "mediumblob", "longblob", "bytea", "image", "rowversion"), "binary"
    ),
}


def question(dataset: Dataset, *, placeholder: str, schema: str, native: str) -> Statement:
    """For the columns of the dataset's object: name, plain type, and the type in full. `schema` is the default one, as SQL.

    In capitals: a SQL Server with a case-sensitive collation knows no others.
    """
    table, *outer = reversed(dataset.object.split("."))
    of_schema = placeholder if outer else schema
    sql = (
        f"SELECT COLUMN_NAME, DATA_TYPE, {native} FROM INFORMATION_SCHEMA.COLUMNS "  # noqa: S608
        f"WHERE TABLE_SCHEMA = {of_schema} AND TABLE_NAME = {placeholder} ORDER BY ORDINAL_POSITION"
    )
    return Statement(sql, (*outer[:1], table))


def columns(rows: Sequence[Sequence[Any]]) -> list[SourceColumn]:
    """The answer. A type not known here can always be kept as text."""
    return [_column(*map(_text, row)) for row in rows]


def _column(name: str, kind: str, native: str) -> SourceColumn:
    kind, native = kind.lower(), native.lower()
    if kind == "bit" and native.startswith("bit(") and native != "bit(1)":
        return SourceColumn(name, "text", native)
    if kind == "bigint" and "unsigned" in native:
        return SourceColumn(name, "decimal", native)  # more than 64 bits with a sign hold
    return SourceColumn(name, "boolean" if native == "tinyint(1)" else _TYPES.get(kind, "text"), native)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
