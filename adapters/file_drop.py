"""Files that are dropped in a folder somewhere, read once each in the order of their names and streamed in pieces: what FTP, SFTP
and a mounted folder have in common.

Knows no protocol: an adapter gives sessions of a `Store`. A file counts as read when its last piece is durable; after a crash
before that it is read again from its start.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from fnmatch import fnmatchcase
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta, Struct

from core.clock import epoch_ms
from core.errors import InvalidInput, Unavailable
from core.records import Chunk, Cursor, Transaction
from core.schema import Dataset

Positive = Annotated[float, Meta(gt=0)]

CHUNK_BYTES = 1 << 20
MAX_KNOWN_FILES = 10_000
"""How many files may be kept on the server: the cursor names each of them."""

Version = tuple[int, str]
"""Size in bytes and time of modification as the server gives it: what tells whether a file is the one that was read."""


class DropOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """When a file is whole and what becomes of it.

    With `done_marker` (`.done`) a file is taken once a file of its name and that ending is there. With `stable_s` it is taken when
    its size and time are the same after so many seconds; these must fit into the source's `guard.timeout_s`. `after` a file is
    read: `keep`, `delete`, or `archive:<folder>` (relative to the file's own), done when all of it is durable; its marker goes
    with it.
    """

    done_marker: Annotated[str, Meta(min_length=1)] | None = None
    stable_s: Positive | None = None
    after: Annotated[str, Meta(pattern=r"^(keep|delete|archive:.+)$")] = "keep"


class Reading(Protocol):
    """One file that is being read."""

    async def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        ...

    async def finish(self) -> None:
        """The other side's word that this was all of it."""
        ...

    def abort(self) -> None:
        """Let go of it at once. Also after `finish`."""
        ...


class Store(Protocol):
    """One session. Its methods raise the platform's errors; `where` names the other side in them."""

    where: str

    async def listing(self, folder: PurePosixPath) -> dict[str, Version]:
        """The plain files of a folder. NotFound for one that is not there."""
        ...

    async def open(self, path: PurePosixPath) -> Reading | None:
        """None for a file that has gone; Forbidden for one that is there."""
        ...

    async def exists(self, path: PurePosixPath) -> bool: ...

    async def remove(self, path: PurePosixPath) -> None: ...

    async def make_folder(self, path: PurePosixPath) -> None:
        """Nothing for one that is there."""
        ...

    async def rename(self, path: PurePosixPath, target: PurePosixPath) -> None: ...


class FileDrop:
    """core.adapter.Source's two methods over sessions of a store. A reading has a session of its own."""

    def __init__(self, session: Callable[[], AbstractAsyncContextManager[Store]]) -> None:
        self._session = session

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        """Rows can't be told from file sizes."""
        return None

    async def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncIterator[Transaction]:
        """Pieces of files of at most 1 MiB. The cursor moves with each file's last piece."""
        options = options_of(dataset)
        pattern = _pattern(dataset)
        async with self._session() as store:
            listing = await store.listing(pattern.parent)
            done = {name: version for name, version in _known(cursor).items() if listing.get(name) == version}
            for name in list(done) if options.after != "keep" else ():
                await self._tidy(pattern.with_name(name), done[name], options)  # a crash came before it was done
            for name, version in await self._whole(store, pattern, listing, done, options):
                async with aclosing(self._file(store, pattern.with_name(name), version, done, options)) as pieces:
                    async for transaction in pieces:
                        yield transaction

    async def _file(
        self, store: Store, path: PurePosixPath, version: Version, done: dict[str, Version], options: DropOptions
    ) -> AsyncGenerator[Transaction, None]:
        """The pieces of one file; `done` gains it with the last. Nothing for a file that has gone since it was listed."""
        observed_ms = epoch_ms()
        before = _cursor(done)
        stream = await store.open(path)
        if stream is None:
            return
        try:
            size = 0
            piece = await self._piece(stream)
            while len(following := await self._piece(stream) if len(piece) == CHUNK_BYTES else b""):
                size += len(piece)
                yield Transaction(Chunk(str(path), piece, False), before, observed_ms)
                piece = following
            size += len(piece)
            await stream.finish()
            if size < version[0]:  # one that grew meanwhile is read again by the next run
                raise Unavailable(f"{store.where}: {path}: ended after {size} of {version[0]} bytes")
        finally:
            stream.abort()
        done[path.name] = version
        is_put_away = options.after != "keep" and size == version[0]
        acknowledge = partial(self._durable, path, version, done, options) if is_put_away else _nothing
        yield Transaction(Chunk(str(path), piece, True), _cursor(done), observed_ms, acknowledge)

    async def _durable(self, path: PurePosixPath, version: Version, done: dict[str, Version], options: DropOptions) -> None:
        await self._tidy(path, version, options)
        done.pop(path.name, None)  # a file that is not there need not be known: the cursor stays small

    async def _piece(self, stream: Reading) -> bytes:
        """The next 1 MiB; less only at the end of the data."""
        piece = bytearray()
        while len(piece) < CHUNK_BYTES and (data := await stream.read(CHUNK_BYTES - len(piece))):
            piece += data
        return bytes(piece)

    async def _whole(
        self, store: Store, pattern: PurePosixPath, listing: dict[str, Version], done: dict[str, Version], options: DropOptions
    ) -> list[tuple[str, Version]]:
        """The files to read: not read yet, and whole by now. In the order of their names."""
        fresh = {name: version for name, version in listing.items() if fnmatchcase(name, pattern.name) and name not in done}
        if options.after == "keep" and len(fresh) + len(done) > MAX_KNOWN_FILES:
            raise InvalidInput(
                f"{pattern}: more than {MAX_KNOWN_FILES} files are kept there; let `after` archive or delete what is read"
            )
        if options.done_marker is not None:
            marker = options.done_marker
            fresh = {name: v for name, v in fresh.items() if not name.endswith(marker) and name + marker in listing}
        elif options.stable_s is not None and fresh:
            await asyncio.sleep(options.stable_s)
            again = await store.listing(pattern.parent)
            fresh = {name: version for name, version in fresh.items() if again.get(name) == version}
        return sorted(fresh.items())

    async def _tidy(self, path: PurePosixPath, version: Version, options: DropOptions) -> None:
        """Delete or archive a file that is durable here, marker first: left alone, it would let the next file in too early.

        On a session of its own, because the reading one may be in the middle of a transfer.
        """
        async with self._session() as store:
            if (await store.listing(path.parent)).get(path.name) != version:
                return  # gone already, or changed since: then it is read again
            if options.done_marker is not None:
                await self._put_away(store, path.with_name(path.name + options.done_marker), version, options.after)
            await self._put_away(store, path, version, options.after)

    async def _put_away(self, store: Store, path: PurePosixPath, version: Version, after: str) -> None:
        if not await store.exists(path):
            return
        if after == "delete":
            await store.remove(path)
            return
        folder = path.parent / after.removeprefix("archive:")
        await store.make_folder(folder)
        target = folder / path.name
        if await store.exists(target):  # an earlier file of the same name
            target = target.with_name(f"{path.name}.{version[1]}")
        await store.rename(path, target)


def options_of(dataset: Dataset) -> DropOptions:
    """The dataset's options; InvalidInput names what is wrong with them."""
    try:
        return msgspec.convert(dataset.options, DropOptions)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{dataset.object}: options: {error}") from error


def _pattern(dataset: Dataset) -> PurePosixPath:
    pattern = PurePosixPath(dataset.object)
    if not pattern.name or any(sign in str(pattern.parent) for sign in "*?["):
        raise InvalidInput(f"{dataset.object!r}: expected a folder and a pattern of file names, such as /daily/tickets_*.csv")
    return pattern


async def _nothing() -> None:
    return None


def _known(cursor: Cursor | None) -> dict[str, Version]:
    files: Mapping[str, Any] = (cursor or {}).get("done", {})
    return {name: (size, modified) for name, (size, modified) in files.items()}


def _cursor(done: Mapping[str, Version]) -> Cursor:
    return {"done": {name: list(version) for name, version in done.items()}}
