"""Files dropped on an FTP or FTPS server, read once each in the order of their names and streamed in pieces.

The session is `ftp_client`'s. A file counts as read when its last piece is durable; after a crash before
that it is read again from its start.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from fnmatch import fnmatchcase
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from adapters.ftp_client import Account, hang_up, session, translated
from core.adapter import Adapter, Source
from core.clock import epoch_ms
from core.errors import Forbidden, InvalidInput, NotConnected, NotFound, PlatformError, Unavailable
from core.records import Chunk, Cursor, Transaction
from core.schema import Dataset
from core.secret import Secret

Positive = Annotated[float, Meta(gt=0)]

CHUNK_BYTES = 256 * 1024
MAX_KNOWN_FILES = 10_000
"""How many files may be kept on the server: the cursor names each of them."""

Version = tuple[int, str]
"""Size in bytes and time of modification as the server gives it: what tells whether a file is the one that was read."""


class FtpSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One account. Transfers are passive. `tls: explicit` is FTPS by AUTH TLS (RFC 4217) for commands and data alike; `ca_file` is
    a PEM file of what to trust. `encoding` is that of file names. `timeout_s` bounds each wait for the server."""

    host: str
    user: str
    password: Secret
    port: Annotated[int, Meta(ge=1, le=65535)] = 21
    tls: Literal["none", "explicit"] = "none"
    ca_file: str | None = None
    encoding: str = "utf-8"
    connect_timeout_s: Positive = 10.0
    timeout_s: Positive = 30.0


class FtpOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """When a file is whole and what becomes of it.

    With `done_marker` (`.done`) a file is taken once a file of its name and that ending is there. With `stable_s` it is taken when
    its size and time are the same after so many seconds; these must fit into the source's `guard.timeout_s`. `after` a file is
    read: `keep`, `delete`, or `archive:<folder>` (relative to the file's own), done when all of it is durable; its marker goes
    with it.
    """

    done_marker: Annotated[str, Meta(min_length=1)] | None = None
    stable_s: Positive | None = None
    after: Annotated[str, Meta(pattern=r"^(keep|delete|archive:.+)$")] = "keep"


class FtpConnection:
    """Each read has a control connection of its own: FTP carries one transfer at a time."""

    def __init__(self, settings: FtpSettings) -> None:
        self._account = Account(
            settings.host,
            settings.port,
            settings.user,
            settings.password,
            settings.tls == "explicit",
            settings.ca_file,
            settings.encoding,
            settings.connect_timeout_s,
            settings.timeout_s,
        )
        self._clients: set[Any] = set()
        self._is_closed = False

    async def check(self) -> None:
        async with self._session() as client:
            with translated(self._account, "work", "PWD"):
                await client.get_current_directory()

    async def close(self) -> None:
        self._is_closed = True
        for client in list(self._clients):
            hang_up(client)

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        """Rows can't be told from file sizes."""
        return None

    async def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncIterator[Transaction]:
        """Pieces of files of at most 256 KiB. The cursor moves with each file's last piece."""
        options = options_of(dataset)
        pattern = _pattern(dataset)
        async with self._session() as client:
            listing = await self._listing(client, pattern.parent)
            done = {name: version for name, version in _known(cursor).items() if listing.get(name) == version}
            for name in list(done) if options.after != "keep" else ():
                await self._tidy(pattern.with_name(name), done[name], options)  # a crash came before it was done
            for name, version in await self._whole(client, pattern, listing, done, options):
                async with aclosing(self._file(client, pattern.with_name(name), version, done, options)) as pieces:
                    async for transaction in pieces:
                        yield transaction

    async def _file(
        self, client: Any, path: PurePosixPath, version: Version, done: dict[str, Version], options: FtpOptions
    ) -> AsyncGenerator[Transaction, None]:
        """The pieces of one file; `done` gains it with the last. Nothing for a file that has gone since it was listed."""
        observed_ms = epoch_ms()
        before = _cursor(done)
        stream = await self._opened(client, path)
        if stream is None:
            return
        try:
            size = 0
            piece = await self._piece(stream, path)
            while len(following := await self._piece(stream, path) if len(piece) == CHUNK_BYTES else b""):
                size += len(piece)
                yield Transaction(Chunk(str(path), piece, False), before, observed_ms)
                piece = following
            size += len(piece)
            await self._finished(stream, path, size, version[0])
        finally:
            stream.writer.transport.abort()
        done[path.name] = version
        is_put_away = options.after != "keep" and size == version[0]
        acknowledge = partial(self._durable, path, version, done, options) if is_put_away else _nothing
        yield Transaction(Chunk(str(path), piece, True), _cursor(done), observed_ms, acknowledge)

    async def _durable(self, path: PurePosixPath, version: Version, done: dict[str, Version], options: FtpOptions) -> None:
        await self._tidy(path, version, options)
        done.pop(path.name, None)  # a file that is not there need not be known: the cursor stays small

    async def _opened(self, client: Any, path: PurePosixPath) -> Any:
        try:
            with self._translated(f"{path}"):
                return await client.download_stream(path)
        except NotFound as error:
            with self._translated(f"{path}"):
                still_there = await client.exists(path)
            if still_there:
                raise Forbidden(error.detail) from error
            return None

    async def _piece(self, stream: Any, path: PurePosixPath) -> bytes:
        """The next 256 KiB; less only at the end of the data."""
        piece = bytearray()
        with self._translated(f"{path}"):
            while len(piece) < CHUNK_BYTES and (data := await stream.read(CHUNK_BYTES - len(piece))):
                piece += data
        return bytes(piece)

    async def _finished(self, stream: Any, path: PurePosixPath, size: int, listed: int) -> None:
        """The server's word that this was all of it. A file that grew meanwhile is read again by the next run."""
        with self._translated(f"{path}"):
            await stream.finish()
        if size < listed:
            raise Unavailable(f"{self._account.where}: {path}: ended after {size} of {listed} bytes")

    async def _whole(
        self, client: Any, pattern: PurePosixPath, listing: dict[str, Version], done: dict[str, Version], options: FtpOptions
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
            again = await self._listing(client, pattern.parent)
            fresh = {name: version for name, version in fresh.items() if again.get(name) == version}
        return sorted(fresh.items())

    async def _listing(self, client: Any, folder: PurePosixPath) -> dict[str, Version]:
        with self._translated(f"{folder}"):
            entries = await client.list(folder)
            return {
                path.name: (int(facts["size"]), facts.get("modify", ""))
                for path, facts in entries
                # A name with a slash in it would lead elsewhere.
                if facts.get("type", "").lower() == "file" and folder / path.name == path
            }

    async def _tidy(self, path: PurePosixPath, version: Version, options: FtpOptions) -> None:
        """Delete or archive a file that is durable here, marker first: left alone, it would let the next file in too early.

        On a session of its own, because the reading one may be in the middle of a transfer.
        """
        async with self._session() as client:
            if (await self._listing(client, path.parent)).get(path.name) != version:
                return  # gone already, or changed since: then it is read again
            if options.done_marker is not None:
                await self._put_away(client, path.with_name(path.name + options.done_marker), version, options.after)
            await self._put_away(client, path, version, options.after)

    async def _put_away(self, client: Any, path: PurePosixPath, version: Version, after: str) -> None:
        with self._translated(f"{path}"):
            if not await client.exists(path):
                return
            if after == "delete":
                await client.remove_file(path)
                return
            folder = path.parent / after.removeprefix("archive:")
            await client.make_directory(folder)
            target = folder / path.name
            if await client.exists(target):  # an earlier file of the same name
                target = target.with_name(f"{path.name}.{version[1]}")
            await client.rename(path, target)

    def _translated(self, what: str) -> Any:
        return translated(self._account, "work", what)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Any]:
        if self._is_closed:
            raise NotConnected(f"{self._account.where}: this connection is closed")
        async with session(self._account) as client:
            self._clients.add(client)
            try:
                yield client
            except PlatformError as error:
                if self._is_closed:
                    raise NotConnected(f"{self._account.where}: this connection was closed during the call") from error
                raise
            finally:
                self._clients.discard(client)


def options_of(dataset: Dataset) -> FtpOptions:
    """The dataset's options; InvalidInput names what is wrong with them."""
    try:
        return msgspec.convert(dataset.options, FtpOptions)
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


def _open(settings: FtpSettings) -> FtpConnection:
    return FtpConnection(settings)


ADAPTER = Adapter(
    name="ftp",
    title="Files on FTP or FTPS",
    settings=FtpSettings,
    options=FtpOptions,
    abilities=frozenset({"read"}),
    open=_open,
)

_reads: type[Source] = FtpConnection
