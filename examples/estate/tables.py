"""The tables of the two SQL systems: one declaration, written out as SQLite (to be served), MySQL or SQL Server DDL."""

from dataclasses import dataclass
from typing import Final

Value = str | int | float | bytes | None
Row = tuple[Value, ...]
Quote = tuple[str, str]
ANSI: Final[Quote] = ('"', '"')
BARE: Final[Quote] = ("", "")
"""None of our names is a reserved word, so that one statement without quotes does for all three databases."""


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` are names with the types of the system that it stands for; the first column is the primary key."""

    name: str
    columns: tuple[tuple[str, str], ...]
    changed: str

    def create(self, quote: Quote = ANSI, schema: str = "", ending: str = "") -> str:
        """CREATE TABLE with identifiers between the two marks of `quote`; the types go through unchanged."""
        opening, closing = quote
        lines = [
            f"{opening}{name}{closing} {kind} {'NOT NULL PRIMARY KEY' if position == 0 else 'NULL'}"
            for position, (name, kind) in enumerate(self.columns)
        ]
        return f"CREATE TABLE {schema}{opening}{self.name}{closing} (\n  " + ",\n  ".join(lines) + f"\n){ending}"

    def index(self, quote: Quote = ANSI, schema: str = "") -> str:
        """CREATE INDEX on the column of the last change, by which increments are read."""
        opening, closing = quote
        name = f"ix_{self.name}_{self.changed}"
        return (
            f"CREATE INDEX {opening}{name}{closing} ON {schema}{opening}{self.name}{closing} "
            f"({opening}{self.changed}{closing}, {opening}{self.columns[0][0]}{closing})"
        )

    def insert(self, quote: Quote = ANSI, schema: str = "", placeholder: str = "?") -> str:
        """INSERT of one row. The blank after VALUES is needed: without it aiomysql sends row by row."""
        opening, closing = quote
        names = ", ".join(f"{opening}{name}{closing}" for name, _ in self.columns)
        marks = ", ".join([placeholder] * len(self.columns))
        return f"INSERT INTO {schema}{opening}{self.name}{closing} ({names}) VALUES ({marks})"  # noqa: S608


CUSTOMER: Final = Table(
    "Customer",
    (
        ("CustomerID", "nvarchar(20)"),
        ("CustomerName", "nvarchar(50)"),
        ("Mobile", "nvarchar(20)"),
        ("IDCard", "nvarchar(18)"),
        ("Email", "nvarchar(100)"),
        ("Gender", "nvarchar(2)"),
        ("Birthday", "nvarchar(10)"),
        ("Channel", "nvarchar(20)"),
        ("Consultant", "nvarchar(30)"),
        ("ProjectCode", "nvarchar(10)"),
        ("Status", "nvarchar(10)"),
        ("Budget", "decimal(18,2)"),
        ("CreatedOn", "date"),
        ("UpdatedAt", "datetime2(3)"),
    ),
    "UpdatedAt",
)
FOLLOW_UP: Final = Table(
    "FollowUp",
    (
        ("FollowUpID", "int"),
        ("CustomerID", "nvarchar(20)"),
        ("Consultant", "nvarchar(30)"),
        ("Method", "nvarchar(10)"),
        ("Content", "nvarchar(500)"),
        ("NextAction", "nvarchar(100)"),
        ("FollowedAt", "datetime2(3)"),
        ("UpdatedAt", "datetime2(3)"),
    ),
    "UpdatedAt",
)
DEAL: Final = Table(
    "Deal",
    (
        ("DealID", "nvarchar(20)"),
        ("CustomerID", "nvarchar(20)"),
        ("RoomID", "nvarchar(20)"),
        ("Status", "nvarchar(10)"),
        ("Amount", "decimal(18,2)"),
        ("SignedOn", "date"),
        ("UpdatedAt", "datetime2(3)"),
    ),
    "UpdatedAt",
)
BUILDING: Final = Table(
    "building",
    (
        ("building_id", "varchar(20)"),
        ("project_code", "varchar(10)"),
        ("project_name", "varchar(50)"),
        ("city", "varchar(20)"),
        ("address", "varchar(200)"),
        ("building_no", "varchar(10)"),
        ("floors", "int"),
        ("delivered_on", "date"),
        ("updated_at", "datetime(3)"),
    ),
    "updated_at",
)
ROOM: Final = Table(
    "room",
    (
        ("room_id", "varchar(20)"),
        ("building_id", "varchar(20)"),
        ("floor", "int"),
        ("door_no", "varchar(10)"),
        ("layout", "varchar(20)"),
        ("area", "decimal(10,2)"),
        ("list_price", "decimal(18,2)"),
        ("status", "varchar(10)"),
        ("handover_on", "date"),
        ("updated_at", "datetime(3)"),
    ),
    "updated_at",
)
OWNER: Final = Table(
    "owner",
    (
        ("owner_id", "varchar(20)"),
        ("owner_name", "varchar(50)"),
        ("id_card", "varchar(18)"),
        ("mobile", "varchar(20)"),
        ("backup_mobile", "varchar(20)"),
        ("birthday", "varchar(10)"),
        ("room_id", "varchar(20)"),
        ("ownership", "varchar(10)"),
        ("address", "varchar(200)"),
        ("since", "date"),
        ("is_active", "tinyint(1)"),
        ("updated_at", "datetime(3)"),
    ),
    "updated_at",
)
RESIDENT: Final = Table(
    "resident",
    (
        ("resident_id", "varchar(20)"),
        ("resident_name", "varchar(50)"),
        ("mobile", "varchar(20)"),
        ("id_card", "varchar(18)"),
        ("room_id", "varchar(20)"),
        ("relation", "varchar(10)"),
        ("owner_id", "varchar(20)"),
        ("moved_in", "varchar(10)"),
        ("moved_out", "varchar(10)"),
        ("updated_at", "datetime(3)"),
    ),
    "updated_at",
)
SALES: Final = (CUSTOMER, FOLLOW_UP, DEAL)
PROPERTY: Final = (BUILDING, ROOM, OWNER, RESIDENT)
