"""Files dropped in a folder of this machine, or one that is mounted here: `file_drop` over the system's own calls, in a thread."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from msgspec import Struct

from adapters.file_drop import DropOptions, FileDrop, Reading, Store, Version
from core.adapter import Adapter, Source
from core.errors import Forbidden, NotConnected, NotFound, Unavailable

T = TypeVar("T")


class FilesSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`root` is the folder that the objects of datasets start from; nothing outside it is read, moved or deleted, whatever a
    pattern or a link says."""

    root: str


class FilesConnection(FileDrop):
    """Knows no session: each call stands for itself."""

    def __init__(self, settings: FilesSettings) -> None:
        super().__init__(self._store)
        self._root = Path(settings.root)
        self._is_closed = False

    async def check(self) -> None:
        async with self._store() as store:
            await store.listing(PurePosixPath("/"))

    async def close(self) -> None:
        self._is_closed = True

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[Store]:
        if self._is_closed:
            raise NotConnected(f"{self._root}: this connection is closed")
        if not await asyncio.to_thread(self._root.is_dir):
            raise NotConnected(f"{self._root}: there is no such folder on this machine; is it mounted?")
        yield _Folder(self._root.resolve())


class _Folder:
    def __init__(self, root: Path) -> None:
        self.where = str(root)
        self._root = root

    async def listing(self, folder: PurePosixPath) -> dict[str, Version]:
        return await self._do(folder, _listed)

    async def open(self, path: PurePosixPath) -> Reading | None:
        try:
            return _Stream(self, await self._do(path, _opened), path)
        except NotFound:
            return None

    async def exists(self, path: PurePosixPath) -> bool:
        return await self._do(path, os.path.lexists)

    async def remove(self, path: PurePosixPath) -> None:
        await self._do(path, os.remove)

    async def make_folder(self, path: PurePosixPath) -> None:
        await self._do(path, lambda place: place.mkdir(parents=True, exist_ok=True))

    async def rename(self, path: PurePosixPath, target: PurePosixPath) -> None:
        there = self._place(target)
        await self._do(path, lambda place: place.rename(there))

    def _place(self, path: PurePosixPath) -> Path:
        """Where it is on this machine. Forbidden where that is outside the root: by `..`, or by a folder that is a link."""
        place = self._root / str(path).lstrip("/")
        if not (place.parent.resolve() / place.name).is_relative_to(self._root) or place.name == "..":
            raise Forbidden(f"{self.where}: {path} leads out of it")
        return place

    async def _do(self, path: PurePosixPath, work: Callable[[Path], T]) -> T:
        with _translated(f"{self.where}: {path}"):
            return await asyncio.to_thread(lambda: work(self._place(path)))


class _Stream:
    """A file that is being read."""

    def __init__(self, folder: _Folder, file: BinaryIO, path: PurePosixPath) -> None:
        self._file = file
        self._what = f"{folder.where}: {path}"

    async def read(self, size: int) -> bytes:
        with _translated(self._what):
            return await asyncio.to_thread(self._file.read, size)

    async def finish(self) -> None:
        """The system has no more to say: the caller compares the sizes."""

    def abort(self) -> None:
        self._file.close()


def _listed(place: Path) -> dict[str, Version]:
    found = {}
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                facts = entry.stat(follow_symlinks=False)
                found[entry.name] = (facts.st_size, str(facts.st_mtime_ns))
    return found


def _opened(place: Path) -> BinaryIO:
    return os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"{what}: no such file or folder") from error
    except PermissionError as error:
        raise Forbidden(f"{what}: permission denied for this user") from error
    except OSError as error:
        raise Unavailable(f"{what}: {error.strerror or type(error).__name__}") from error


def _open(settings: FilesSettings) -> FilesConnection:
    return FilesConnection(settings)


ADAPTER = Adapter(
    name="files",
    title="Files in a folder",
    settings=FilesSettings,
    options=DropOptions,
    abilities=frozenset({"read"}),
    open=_open,
)

_reads: type[Source] = FilesConnection
