"""Writes the whole estate into a folder, once and atomically: the same seed and scale give the same bytes."""

import asyncio
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from examples.estate import generate_property as property_rows
from examples.estate import generate_sales as sales_rows
from examples.estate.generate_broker import write_broker
from examples.estate.generate_callcentre import write_tickets
from examples.estate.generate_marketing import write_marketing
from examples.estate.generate_member import write_members
from examples.estate.tables import BUILDING, CUSTOMER, DEAL, FOLLOW_UP, OWNER, RESIDENT, ROOM, Row, Table
from examples.estate.world import Sizes, World, make_world

DEFAULT_SEED: Final = 20240510
MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
"""Grows when the generator changes what it writes, so that an old folder is made anew."""


def ensure_estate(folder: Path, *, seed: int = DEFAULT_SEED, scale: float = 1.0) -> dict[str, int]:
    """The counts of the estate in `folder`, generated now if there is none (or one of an older format).

    A folder that is there is kept, whatever its seed: the systems live on between starts. OSError if it cannot be written.
    """
    manifest = folder / MANIFEST
    if manifest.is_file():
        kept = json.loads(manifest.read_text(encoding="utf-8"))
        if kept["format"] == FORMAT:
            return dict(kept["counts"])
    half = folder.with_name(folder.name + ".partial")
    for leftover in (half, folder):
        if leftover.exists():
            shutil.rmtree(leftover)
    counts = generate(half, seed=seed, scale=scale)
    half.replace(folder)
    return counts


async def ensure_estate_apart(folder: Path, *, seed: int, scale: float) -> dict[str, int]:
    """The same in a process of its own, so that the memory of generating ends with it. OSError with its last line."""
    command = [sys.executable, "-m", "examples.estate.generate", str(folder), str(seed), str(scale)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    counts, trouble = await process.communicate()
    if process.returncode:
        raise OSError(trouble.decode(errors="replace").strip().rpartition("\n")[2] or "the estate was not generated")
    return dict(json.loads(counts))


def generate(folder: Path, *, seed: int = DEFAULT_SEED, scale: float = 1.0) -> dict[str, int]:
    """Write all six systems into the new `folder`, the manifest last. Gives the rows per table or kind."""
    world = make_world(seed, Sizes.scaled(scale))
    folder.mkdir(parents=True)
    counts = _write_sql(folder, world)
    with closing(sqlite3.connect(folder / "member.db")) as connection, connection:
        counts["members"] = write_members(connection, world)
    counts |= write_tickets(folder / "callcentre", world)
    with closing(sqlite3.connect(folder / "broker.db")) as connection, connection:
        counts |= write_broker(connection, world)
    with closing(sqlite3.connect(folder / "marketing.db")) as connection, connection:
        counts |= write_marketing(connection, world)
    manifest = {"format": FORMAT, "seed": seed, "scale": scale, "counts": counts}
    _write_durably(folder / MANIFEST, json.dumps(manifest, indent=1))
    return counts


def _write_sql(folder: Path, world: World) -> dict[str, int]:
    sales: dict[str, tuple[Table, Iterable[Row]]] = {
        "customers": (CUSTOMER, sales_rows.customers(world)),
        "follow_ups": (FOLLOW_UP, sales_rows.follow_ups(world)),
        "deals": (DEAL, sales_rows.deals(world)),
    }
    estate: dict[str, tuple[Table, Iterable[Row]]] = {
        "buildings": (BUILDING, property_rows.buildings(world)),
        "rooms": (ROOM, property_rows.rooms(world)),
        "owners": (OWNER, property_rows.owners(world)),
        "residents": (RESIDENT, property_rows.residents(world)),
    }
    return _write_database(folder / "sales.db", sales) | _write_database(folder / "property.db", estate)


def _write_database(path: Path, content: dict[str, tuple[Table, Iterable[Row]]]) -> dict[str, int]:
    counts = {}
    with closing(sqlite3.connect(path)) as connection, connection:
        for kind, (table, rows) in content.items():
            connection.execute(table.create())
            connection.execute(table.index())
            counts[kind] = connection.executemany(table.insert(), rows).rowcount
    return counts


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    print(json.dumps(ensure_estate(Path(sys.argv[1]), seed=int(sys.argv[2]), scale=float(sys.argv[3]))))
