"""Files dropped on a server that speaks SFTP: `file_drop` over sessions of asyncssh, each with its host key checked."""

import asyncio
import hmac
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import PurePosixPath
from typing import Annotated, Any

from msgspec import Meta, Struct

from adapters.file_drop import DropOptions, FileDrop, Positive, Reading, Store, Version
from core.adapter import Adapter, Source
from core.errors import DeadlineExceeded, Forbidden, NotConnected, NotFound, Unauthenticated, Unavailable
from core.secret import Secret

_CLOSE_S = 2.0


class SftpSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One account, known by `password` or by `private_key` (PEM or OpenSSH, with its `passphrase`). `host_key` is the SHA-256
    fingerprint of the server's key as `ssh-keygen -lf` shows it (`SHA256:…`): another key is refused. `timeout_s` bounds each
    wait."""

    host: str
    user: str
    host_key: Annotated[str, Meta(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$", description="a fingerprint, SHA256:…")]
    password: Secret | None = None
    private_key: Secret | None = None
    passphrase: Secret | None = None
    port: Annotated[int, Meta(ge=1, le=65535)] = 22
    connect_timeout_s: Positive = 10.0
    timeout_s: Positive = 30.0

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"


class SftpConnection(FileDrop):
    """Each read has a connection of its own."""

    def __init__(self, settings: SftpSettings) -> None:
        super().__init__(self._store)
        self._settings = settings
        self._open: set[Any] = set()
        self._is_closed = False

    async def check(self) -> None:
        async with self._store() as store:
            await store.exists(PurePosixPath("."))

    async def close(self) -> None:
        self._is_closed = True
        for connection in list(self._open):
            connection.abort()

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[Store]:
        if self._is_closed:
            raise NotConnected(f"{self._settings.where}: this connection is closed")
        connection = await self._connect()
        self._open.add(connection)
        try:
            with _translated(self._settings, ""):
                async with asyncio.timeout(self._settings.timeout_s):
                    client = await connection.start_sftp_client()
            yield _SftpStore(self._settings, client)
        except Unavailable as error:
            if self._is_closed:
                raise NotConnected(f"{self._settings.where}: this connection was closed during the call") from error
            raise
        finally:
            self._open.discard(connection)
            connection.abort()

    async def _connect(self) -> Any:
        import asyncssh

        settings, seen = self._settings, list[str]()

        class Client(asyncssh.SSHClient):
            def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
                seen.append(key.get_fingerprint())
                return hmac.compare_digest(seen[-1], settings.host_key)

        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                connection, _ = await asyncssh.create_connection(
                    Client,
                    settings.host,
                    settings.port,
                    username=settings.user,
                    password=settings.password.reveal() if settings.password else None,
                    client_keys=self._keys(),
                    known_hosts=b"",  # none but the one above
                    config=None,
                    agent_path=None,
                    gss_host=None,
                )
                return connection
        except asyncssh.HostKeyNotVerifiable as error:
            shown = seen[-1] if seen else "of an unknown kind"
            text = f"{settings.where}: its host key is {shown}, not the one of `host_key`; somebody may be in between"
            raise NotConnected(text) from error
        except asyncssh.PermissionDenied as error:
            raise Unauthenticated(f"{settings.where}: the login of {settings.user} is refused") from error
        except TimeoutError as error:
            raise NotConnected(f"{settings.where}: no connection within {settings.connect_timeout_s:g} s") from error
        except (asyncssh.Error, OSError) as error:
            words = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
            raise NotConnected(f"{settings.where}: can't connect: {words}") from error

    def _keys(self) -> list[Any] | None:
        import asyncssh

        if self._settings.private_key is None:
            return None
        passphrase = self._settings.passphrase
        try:
            key = asyncssh.import_private_key(self._settings.private_key.reveal(), passphrase.reveal() if passphrase else None)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise Unauthenticated(f"{self._settings.where}: `private_key` can't be read; is its `passphrase` right?") from error
        return [key]


class _SftpStore:
    """One session."""

    def __init__(self, settings: SftpSettings, client: Any) -> None:
        self.where = settings.where
        self._settings = settings
        self._client = client

    @asynccontextmanager
    async def _asking(self, path: PurePosixPath) -> AsyncIterator[None]:
        with _translated(self._settings, str(path)):
            async with asyncio.timeout(self._settings.timeout_s):
                yield

    async def listing(self, folder: PurePosixPath) -> dict[str, Version]:
        async with self._asking(folder):
            entries = await self._client.readdir(str(folder))
        found = {}
        for entry in entries:
            name, facts = str(entry.filename), entry.attrs
            if facts.permissions is not None and stat.S_ISREG(facts.permissions) and "/" not in name:  # no link: it may lead out
                found[name] = (int(facts.size or 0), str(facts.mtime or ""))
        return found

    async def open(self, path: PurePosixPath) -> Reading | None:
        try:
            async with self._asking(path):
                return _Stream(self, await self._client.open(str(path), "rb"), path)
        except NotFound:
            return None

    async def exists(self, path: PurePosixPath) -> bool:
        async with self._asking(path):
            return bool(await self._client.lexists(str(path)))

    async def remove(self, path: PurePosixPath) -> None:
        async with self._asking(path):
            await self._client.remove(str(path))

    async def make_folder(self, path: PurePosixPath) -> None:
        async with self._asking(path):
            await self._client.makedirs(str(path), exist_ok=True)

    async def rename(self, path: PurePosixPath, target: PurePosixPath) -> None:
        async with self._asking(path):
            await self._client.rename(str(path), str(target))


class _Stream:
    """A file that is being read."""

    def __init__(self, store: _SftpStore, file: Any, path: PurePosixPath) -> None:
        self._store = store
        self._file = file
        self._path = path

    async def read(self, size: int) -> bytes:
        async with self._store._asking(self._path):
            data: bytes = await self._file.read(size)
            return data

    async def finish(self) -> None:
        async with self._store._asking(self._path):
            await self._file.close()

    def abort(self) -> None:
        """The session's end closes it: a reading that is given up ends its session."""


@contextmanager
def _translated(settings: SftpSettings, what: str) -> Iterator[None]:
    """asyncssh's and the system's errors as ours."""
    import asyncssh

    place = f"{settings.where}{': ' if what else ''}{what}"
    try:
        yield
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
        raise NotFound(f"{place}: no such file or folder") from error
    except asyncssh.SFTPPermissionDenied as error:
        raise Forbidden(f"{place}: permission denied") from error
    except asyncssh.SFTPError as error:
        raise Unavailable(f"{place}: {' '.join(error.reason.split())[:200]}") from error
    except asyncssh.Error as error:
        raise Unavailable(f"{place}: broke off: {' '.join(error.reason.split())[:200]}") from error
    except TimeoutError as error:
        raise DeadlineExceeded(f"{place}: nothing came for {settings.timeout_s:g} s") from error
    except OSError as error:
        raise Unavailable(f"{place}: broke off: {error.strerror or type(error).__name__}") from error


def _open(settings: SftpSettings) -> SftpConnection:
    return SftpConnection(settings)


ADAPTER = Adapter(
    name="sftp",
    title="Files on SFTP",
    settings=SftpSettings,
    options=DropOptions,
    abilities=frozenset({"read"}),
    open=_open,
)

_reads: type[Source] = SftpConnection
