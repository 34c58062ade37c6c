"""A table that is made twice is one, with its indexes."""

from pathlib import Path

from storage.sqlite import open_sqlite
from storage.tables import make_table


async def test_made_once_with_its_types_and_indexes(tmp_path: Path) -> None:
    database = await open_sqlite(tmp_path / "a.db")
    for _ in range(2):
        await make_table(
            database, "thing", "id {key} PRIMARY KEY, kind {key} NOT NULL, n {integer} NOT NULL, body {blob}", indexes=("kind",)
        )
    async with database.transaction() as session:
        await session.execute("INSERT INTO thing (id, kind, n, body) VALUES (?, ?, ?, ?)", ("a", "k", 2**62, b"\0"))
    assert await database.query("SELECT id, kind, n, body FROM thing") == [("a", "k", 2**62, b"\0")]
    indexes = await database.query("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    assert indexes == [("thing__kind",)]
    await database.close()
