"""The schema of a served SQLite file: its tables for schema discovery, its date columns for the translators.

INFORMATION_SCHEMA is an attached database in memory, refilled before each statement that reads it.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from examples.estate.wire.declared import TEMPORAL, ColumnType, TypeKind, parse_declared

_TABLES = "TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE"
_COLUMNS = (
    "TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, COLUMN_DEFAULT, IS_NULLABLE, DATA_TYPE,"
    " CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, DATETIME_PRECISION,"
    " COLUMN_TYPE, COLUMN_KEY, EXTRA, COLUMN_COMMENT"
)
_KEYS = "CONSTRAINT_CATALOG, CONSTRAINT_SCHEMA, CONSTRAINT_NAME, TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME"
_VIEWS = (
    ("TABLES", _TABLES),
    ("COLUMNS", _COLUMNS),
    ("TABLE_CONSTRAINTS", _KEYS + ", CONSTRAINT_TYPE"),
    ("KEY_COLUMN_USAGE", _KEYS + ", COLUMN_NAME, ORDINAL_POSITION"),
    ("SCHEMATA", "CATALOG_NAME, SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME"),
)
_NUMBERS = frozenset({"ORDINAL_POSITION", "CHARACTER_MAXIMUM_LENGTH", "CHARACTER_OCTET_LENGTH", "NUMERIC_PRECISION"})
_SMALL_NUMBERS = frozenset({"NUMERIC_SCALE", "DATETIME_PRECISION"})
_INTEGER_DIGITS = {1: 3, 2: 5, 4: 10, 8: 19}
_UNBOUNDED = 2147483647


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the schema presents itself: catalog and schema names, and whether types are read as MySQL's."""

    catalog: str
    schema: str
    is_mysql: bool
    primary_key: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column as declared; `key` is its place in the primary key from 1, or 0."""

    name: str
    declared: str
    is_nullable: bool
    default: str | None
    key: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view with its columns in order."""

    name: str
    is_view: bool
    columns: tuple[Column, ...]


def read_tables(connection: sqlite3.Connection) -> list[Table]:
    """Return the tables and views of the file, by name."""
    found = connection.execute(
        "SELECT name, type = 'view' FROM main.sqlite_master"
        " WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    ).fetchall()
    return [Table(name, bool(is_view), tuple(_columns(connection, name))) for name, is_view in found]


def _columns(connection: sqlite3.Connection, table: str) -> Iterable[Column]:
    rows = connection.execute('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', (table,))
    for name, declared, is_bound, default, key in rows.fetchall():
        yield Column(name, declared, not is_bound and not key, default, key)


def temporal_columns(tables: Iterable[Table], *, is_mysql: bool) -> Mapping[str, str]:
    """Return lower-case column name → declaration of date and time columns; a name with two meanings is left out.

    Also `table.position` (from 0) → declaration, for an INSERT that names no columns.
    """
    declared: dict[str, set[str]] = {}
    for table in tables:
        for position, column in enumerate(table.columns):
            type_ = parse_declared(column.declared, is_mysql=is_mysql)
            meaning = f"{_plain_name(type_)}({type_.scale})" if type_.kind in TEMPORAL else ""
            declared.setdefault(column.name.lower(), set()).add(meaning)
            declared[f"{table.name.lower()}.{position}"] = {meaning}
    return {name: next(iter(found)) for name, found in declared.items() if len(found) == 1 and found != {""}}


def _plain_name(type_: ColumnType) -> str:
    return {TypeKind.DATE: "date", TypeKind.TIME: "time"}.get(type_.kind, "datetime2")


def attach_information_schema(connection: sqlite3.Connection) -> None:
    """Attach the empty INFORMATION_SCHEMA."""
    connection.execute("ATTACH ':memory:' AS INFORMATION_SCHEMA")
    for view, names in _VIEWS:
        columns = ", ".join(f"{name} {_declaration(name)}" for name in names.split(", "))
        connection.execute(f"CREATE TABLE INFORMATION_SCHEMA.{view} ({columns})")


def _declaration(name: str) -> str:
    if name in _NUMBERS:
        return "int"
    return "smallint" if name in _SMALL_NUMBERS else "nvarchar(4000)"


def fill_information_schema(connection: sqlite3.Connection, tables: Iterable[Table], dialect: Dialect) -> None:
    """Replace the contents of INFORMATION_SCHEMA."""
    where = (dialect.catalog, dialect.schema)
    rows: dict[str, list[tuple[object, ...]]] = {view: [] for view, _ in _VIEWS}
    rows["SCHEMATA"] = [(*where, "utf8mb4" if dialect.is_mysql else "iso_1")]
    for table in tables:
        rows["TABLES"].append((*where, table.name, "VIEW" if table.is_view else "BASE TABLE"))
        rows["COLUMNS"] += [
            (*where, table.name, *_described(column, position, dialect)) for position, column in enumerate(table.columns, start=1)
        ]
        keys = sorted((column for column in table.columns if column.key), key=lambda column: column.key)
        if keys:
            name = dialect.primary_key.format(table=table.name)
            rows["TABLE_CONSTRAINTS"].append((*where, name, *where, table.name, "PRIMARY KEY"))
            rows["KEY_COLUMN_USAGE"] += [(*where, name, *where, table.name, key.name, key.key) for key in keys]
    for view, names in _VIEWS:
        connection.execute(f"DELETE FROM INFORMATION_SCHEMA.{view}")  # noqa: S608 - a name of ours
        marks = ", ".join("?" * len(names.split(", ")))
        connection.executemany(f"INSERT INTO INFORMATION_SCHEMA.{view} VALUES ({marks})", rows[view])  # noqa: S608


def _described(column: Column, position: int, dialect: Dialect) -> tuple[object, ...]:
    type_ = parse_declared(column.declared, is_mysql=dialect.is_mysql)
    name = type_.name or "nvarchar"
    is_nullable = "YES" if column.is_nullable else "NO"
    key = "PRI" if column.key else ""
    characters, octets = _lengths(type_, dialect)
    precision, scale = _numeric(type_)
    fraction = type_.scale if type_.kind in TEMPORAL else None
    default = column.default
    return (
        *(column.name, position, default, is_nullable, name, characters, octets, precision, scale, fraction),
        *(column.declared.lower(), key, "", ""),
    )


def _lengths(type_: ColumnType, dialect: Dialect) -> tuple[int | None, int | None]:
    if type_.kind not in (TypeKind.TEXT, TypeKind.FIXED_TEXT, TypeKind.BYTES):
        return None, None
    if type_.length is None:
        return (_UNBOUNDED, _UNBOUNDED) if dialect.is_mysql else (-1, -1)
    width = 1 if type_.kind is TypeKind.BYTES else 4 if dialect.is_mysql else 2
    return type_.length, type_.length * width


def _numeric(type_: ColumnType) -> tuple[int | None, int | None]:
    if type_.kind is TypeKind.INTEGER:
        return _INTEGER_DIGITS[type_.length or 8], 0
    if type_.kind is TypeKind.FLOAT:
        return 24 if type_.length == 4 else 53, None
    return (type_.precision, type_.scale) if type_.kind is TypeKind.DECIMAL else (None, None)
