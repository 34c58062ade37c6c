"""The member system: its two operations over the store, free of SOAP (that is `member_soap`)."""

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

Field = tuple[str, str]
MAX_PAGE: Final = 500
DEFAULT_PAGE: Final = 100

# Outward name, column; in the order of the schema.
MEMBER: Final = (
    ("memberId", "member_id"),
    ("name", "name"),
    ("mobile", "mobile"),
    ("email", "email"),
    ("openId", "open_id"),
    ("idCard", "id_card"),
    ("gender", "gender"),
    ("birthday", "birthday"),
    ("level", "level"),
    ("points", "points"),
    ("expiring", "expiring"),
    ("joinedOn", "joined_on"),
    ("status", "status"),
    ("updatedAt", "updated_at"),
)


class ClientFault(Exception):
    """What the caller did wrong, in words for a person; becomes the SOAP Fault `Client`."""


class Members:
    """The operations by name: each takes its arguments as text and gives (element, fields) groups in schema order."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def list_members(self, arguments: Mapping[str, str]) -> tuple[list[list[Field]], bool]:
        """At most `pageSize` members after the position (updatedSince, afterId), and whether there are more."""
        since, after = _since(arguments), arguments.get("afterId", "")
        size = _page_size(arguments)
        columns = ", ".join(column for _, column in MEMBER)
        # Without an id the moment itself belongs to the answer: nothing that changed within it may be lost.
        rows = self._database.execute(
            f"SELECT {columns} FROM member WHERE updated_at > ? OR (updated_at = ? AND member_id > ?) "  # noqa: S608
            "ORDER BY updated_at, member_id LIMIT ?",
            (since, since, after, size + 1),
        ).fetchall()
        return [_outward(row) for row in rows[:size]], len(rows) > size

    def points(self, arguments: Mapping[str, str]) -> list[Field]:
        """Points, level and expiring points of one member. ClientFault if there is no such member."""
        member_id = arguments.get("memberId", "").strip()
        if not member_id:
            raise ClientFault("GetMemberPoints needs memberId")
        row = self._database.execute("SELECT points, level, expiring FROM member WHERE member_id = ?", (member_id,)).fetchone()
        if row is None:
            raise ClientFault(f"no member has the id {member_id[:40]!r}")
        return list(zip(("points", "level", "expiring"), map(str, row), strict=True))


def _outward(row: tuple[object, ...]) -> list[Field]:
    fields = [(name, str(value)) for (name, _), value in zip(MEMBER, row, strict=True)]
    changed = fields[-1][1]
    return [*fields[:-1], ("updatedAt", changed.replace(" ", "T") + "Z")]


def _since(arguments: Mapping[str, str]) -> str:
    """`updatedSince` in the form of the store; times without a zone are UTC."""
    given = arguments.get("updatedSince", "").strip()
    if not given:
        return ""
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise ClientFault(f"updatedSince is not an xs:dateTime: {given[:40]!r}") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")


def _page_size(arguments: Mapping[str, str]) -> int:
    given = arguments.get("pageSize", "").strip() or str(DEFAULT_PAGE)
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= MAX_PAGE:
        raise ClientFault(f"pageSize must be a whole number from 1 to {MAX_PAGE}, not {given[:20]!r}")
    return int(given)
