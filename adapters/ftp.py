"""Files dropped on an FTP or FTPS server: `file_drop` over sessions of `ftp_client`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from adapters.file_drop import DropOptions, FileDrop, Positive, Reading, Store, Version
from adapters.ftp_client import Account, hang_up, session, translated
from core.adapter import Adapter, Source
from core.errors import Forbidden, NotConnected, NotFound, PlatformError
from core.secret import Secret


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


class _Stream:
    """A transfer of one file."""

    def __init__(self, account: Account, stream: Any, path: PurePosixPath) -> None:
        self._account = account
        self._stream = stream
        self._path = path

    async def read(self, size: int) -> bytes:
        with translated(self._account, "work", str(self._path)):
            data: bytes = await self._stream.read(size)
            return data

    async def finish(self) -> None:
        with translated(self._account, "work", str(self._path)):
            await self._stream.finish()

    def abort(self) -> None:
        self._stream.writer.transport.abort()


class _FtpStore:
    """A logged-in session: FTP carries one transfer at a time."""

    def __init__(self, account: Account, client: Any) -> None:
        self.where = account.where
        self._account = account
        self._client = client

    def _translated(self, path: PurePosixPath) -> Any:
        return translated(self._account, "work", str(path))

    async def listing(self, folder: PurePosixPath) -> dict[str, Version]:
        with self._translated(folder):
            entries = await self._client.list(folder)
            return {
                path.name: (int(facts["size"]), facts.get("modify", ""))
                for path, facts in entries
                # A name with a slash in it would lead elsewhere.
                if facts.get("type", "").lower() == "file" and folder / path.name == path
            }

    async def open(self, path: PurePosixPath) -> Reading | None:
        try:
            with self._translated(path):
                return _Stream(self._account, await self._client.download_stream(path), path)
        except NotFound as error:
            if await self.exists(path):
                raise Forbidden(error.detail) from error
            return None

    async def exists(self, path: PurePosixPath) -> bool:
        with self._translated(path):
            return bool(await self._client.exists(path))

    async def remove(self, path: PurePosixPath) -> None:
        with self._translated(path):
            await self._client.remove_file(path)

    async def make_folder(self, path: PurePosixPath) -> None:
        with self._translated(path):
            await self._client.make_directory(path)

    async def rename(self, path: PurePosixPath, target: PurePosixPath) -> None:
        with self._translated(path):
            await self._client.rename(path, target)


class FtpConnection(FileDrop):
    """Each read has a control connection of its own: FTP carries one transfer at a time."""

    def __init__(self, settings: FtpSettings) -> None:
        super().__init__(self._store)
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
        async with self._opened() as client:
            with translated(self._account, "work", "PWD"):
                await client.get_current_directory()

    async def close(self) -> None:
        self._is_closed = True
        for client in list(self._clients):
            hang_up(client)

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[Store]:
        async with self._opened() as client:
            yield _FtpStore(self._account, client)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Any]:
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


def _open(settings: FtpSettings) -> FtpConnection:
    return FtpConnection(settings)


ADAPTER = Adapter(
    name="ftp",
    title="Files on FTP or FTPS",
    settings=FtpSettings,
    options=DropOptions,
    abilities=frozenset({"read"}),
    open=_open,
)

_reads: type[Source] = FtpConnection
