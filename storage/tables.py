"""Tables of the stores, made where they are not there yet, in the types of whichever database it is."""

from core.database import Database

_KINDS = ("key", "integer", "blob")


async def make_table(database: Database, name: str, columns: str, *, indexes: tuple[str, ...] = ()) -> None:
    """`columns` as in CREATE TABLE, with `{key}`, `{integer}` and `{blob}` for the types of columns (`Dialect.column`); `indexes`
    are columns of the type key, with an index each. Idempotent, also where several nodes do it at once."""
    kinds = {kind: database.dialect.column(kind) for kind in _KINDS}
    async with database.transaction() as session:
        await session.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns.format(**kinds)})")
        for column in indexes:
            await session.execute(database.dialect.index(name, column, "key"))
