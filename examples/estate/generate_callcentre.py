"""The call centre's files: ticket history (IF01) and daily increments (IF02) as GBK CSV with all that goes wrong in them."""

import csv
import io
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from examples.estate import dirt, vocabulary
from examples.estate.world import LAST_MOMENT, Ownership, World, moment

HEADER: Final = (
    "工单号",
    "来电号码",
    "客户姓名",
    "项目",
    "房号",
    "类别",
    "内容",
    "处理结果",
    "受理人",
    "受理时间",
    "状态",
)
DAYS: Final = 7
UNDECODABLE: Final = "\ue000"
TRUNCATED: Final = "\ue001"
"""Private-use marks in the text, swapped for broken bytes after encoding."""


def write_tickets(folder: Path, world: World) -> dict[str, int]:
    """Write history/ and daily/ under `folder`; gives the rows in complete files as tickets_history and tickets_daily."""
    rng = Random(f"{world.seed}:tickets")
    for name in ("history", "daily"):
        (folder / name).mkdir(parents=True)
    first, last = datetime(2023, 1, 1), datetime(2023, 12, 31)
    times = sorted(moment(rng, first, last) for _ in range(world.sizes.tickets))
    _write(folder / "history" / "tickets_2023.csv", _rows(rng, world, times), last)
    daily = 0
    for day in (LAST_MOMENT - timedelta(days=back) for back in reversed(range(DAYS))):
        rows = _day(rng, world, day)
        path = folder / "daily" / f"tickets_{day:%Y%m%d}.csv"
        _write(path, rows, day)
        _mark_done(path, day)
        daily += len(rows)
    _write_half(rng, world, folder / "daily", LAST_MOMENT + timedelta(days=1))
    return {"tickets_history": world.sizes.tickets, "tickets_daily": daily}


def _day(rng: Random, world: World, day: datetime) -> list[list[str]]:
    midnight = day.replace(hour=0, minute=0, second=0)
    count = max(4, round(world.sizes.daily_tickets * rng.uniform(0.7, 1.3)))
    return _rows(rng, world, sorted(midnight + _office_hour(rng) for _ in range(count)))


def _office_hour(rng: Random) -> timedelta:
    return timedelta(hours=rng.randrange(8, 20), minutes=rng.randrange(60), seconds=rng.randrange(60))


def _rows(rng: Random, world: World, times: Sequence[datetime]) -> list[list[str]]:
    counts: dict[str, int] = {}
    rows = []
    for at in times:
        day = f"{at:%Y%m%d}"
        counts[day] = counts.get(day, 0) + 1
        ownership = rng.choice(world.ownerships)
        row = _row(rng, f"T{day}-{counts[day]:04d}", ownership, at)
        rows.append(_spoil_columns(rng, row))
    return rows


def _row(rng: Random, number: str, ownership: Ownership, at: datetime) -> list[str]:
    kind, content, result = rng.choice(vocabulary.TICKETS)
    person = ownership.person
    if rng.random() < 0.004:
        content = content[:6] + UNDECODABLE + content[6:]
    elif rng.random() < 0.004:
        content += TRUNCATED
    return [
        number,
        dirt.sometimes(rng, 0.05, dirt.bad_mobile, person.mobile),
        dirt.sometimes(rng, 0.05, dirt.name_variant, person.name) if rng.random() < 0.95 else "",
        vocabulary.PROJECTS[ownership.room.project][1],
        ownership.room.room_id,
        kind,
        content,
        result,
        rng.choice(vocabulary.AGENTS),
        f"{at:%Y-%m-%d %H:%M:%S}" if rng.random() < 0.97 else rng.choice((f"{at:%Y/%m/%d %H:%M}", "2024-02-30 10:00:00", "")),
        rng.choice(vocabulary.TICKET_STATUSES),
    ]


def _spoil_columns(rng: Random, row: list[str]) -> list[str]:
    chance = rng.random()
    if chance < 0.006:
        return row[:7] + row[8:]
    if chance < 0.012:
        return [*row[:7], "重复", *row[7:]]
    return row


def encode(rows: Sequence[Sequence[str]]) -> bytes:
    """GBK with CRLF between rows and a bare LF inside quoted fields; what GBK lacks becomes `?`, as exports do it."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    encoded = b""
    for piece in _split(text.getvalue()):
        if piece == UNDECODABLE:
            encoded += b"\xff"
        elif piece == TRUNCATED:
            # The lead byte of 损 alone: neither a quote nor a comma can be its second byte.
            encoded += "损".encode("gbk")[:1]
        else:
            encoded += piece.encode("gbk", errors="replace")
    return encoded


def _split(text: str) -> list[str]:
    for mark in (UNDECODABLE, TRUNCATED):
        text = text.replace(mark, f"\x00{mark}\x00")
    return text.split("\x00")


def _write(path: Path, rows: Sequence[Sequence[str]], at: datetime) -> None:
    path.write_bytes(encode([HEADER, *rows]))
    _set_time(path, at)


def _mark_done(path: Path, at: datetime) -> None:
    marker = path.with_name(path.name + ".done")
    marker.write_bytes(b"")
    _set_time(marker, at)


def _write_half(rng: Random, world: World, folder: Path, day: datetime) -> None:
    """A file that the call centre is still writing: cut inside a row, and without a marker."""
    path = folder / f"tickets_{day:%Y%m%d}.csv"
    whole = encode([HEADER, *_day(rng, world, day)])
    path.write_bytes(whole[: len(whole) * 3 // 5])
    _set_time(path, day)


def _set_time(path: Path, at: datetime) -> None:
    seconds = (at - datetime(1970, 1, 1)).total_seconds()
    os.utime(path, (seconds, seconds))
