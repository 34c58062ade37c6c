"""The table of the full-load measurement: 12 columns of mixed types, about 150 bytes a row, served as SQL Server or in MariaDB."""

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COLUMNS = (
    ("deal_id", "nvarchar(20)", "varchar(20)", "text"),
    ("name", "nvarchar(50)", "varchar(50)", "text"),
    ("mobile", "nvarchar(20)", "varchar(20)", "text"),
    ("city", "nvarchar(20)", "varchar(20)", "text"),
    ("channel", "nvarchar(20)", "varchar(20)", "text"),
    ("status", "nvarchar(10)", "varchar(10)", "text"),
    ("points", "int", "int", "integer"),
    ("amount", "decimal(18,2)", "decimal(18,2)", "decimal"),
    ("score", "float", "double", "number"),
    ("is_active", "bit", "tinyint(1)", "boolean"),
    ("created_on", "date", "date", "date"),
    ("updated_at", "datetime2(3)", "datetime(3)", "datetime"),
)
USER, PASSWORD = "bench", "bench-password"


def rows(count: int) -> Iterator[tuple[Any, ...]]:
    """The same rows each time."""
    for i in range(count):
        day = f"2024-{i % 12 + 1:02d}-{i % 28 + 1:02d}"
        yield (
            f"D{i:08d}",
            f"王小明{i % 977}",
            f"138{i % 10**8:08d}",
            "成都",
            "线上广告",
            "跟进中",
            i % 9999,
            f"{i * 1.37:.2f}",
            i / 7,
            i % 2,
            day,
            f"{day} 08:{i % 60:02d}:{i // 60 % 60:02d}.123",
        )


def make_sqlite(path: Path, count: int) -> None:
    """As the file behind the SQL Server protocol of the sample estate."""
    declared = ", ".join(f'{name} "{kind}"' for name, kind, _, _ in COLUMNS)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(f"CREATE TABLE deal ({declared}, PRIMARY KEY (deal_id))")
        connection.executemany(f"INSERT INTO deal VALUES ({', '.join('?' * len(COLUMNS))})", rows(count))  # noqa: S608
    connection.close()


def fill_mariadb(port: int, user: str, password: str, database: str, count: int) -> None:
    """The same rows in a real MariaDB."""
    import pymysql

    declared = ", ".join(f"{name} {kind}" for name, _, kind, _ in COLUMNS)
    connection = pymysql.connect(host="127.0.0.1", port=port, user=user, password=password, database=database, charset="utf8mb4")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE deal ({declared}, PRIMARY KEY (deal_id))")
        marks = ", ".join(["%s"] * len(COLUMNS))
        cursor.executemany(f"INSERT INTO deal VALUES ({marks})", rows(count))  # noqa: S608
    connection.commit()
    connection.close()


def dataset() -> dict[str, Any]:
    """Its declaration for `platform.yaml`."""
    fields = {name: {"type": kind} for name, _, _, kind in COLUMNS}
    return {"object": "deal", "key": ["deal_id"], "cursor": "updated_at", "indexes": ["mobile"], "fields": fields}


async def _serve(path: Path) -> None:
    from examples.estate.wire.tds import serve_tds

    server = await serve_tds(path, host="127.0.0.1", port=0, users={USER: PASSWORD})
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
