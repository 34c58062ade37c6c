"""Files that come packed: gzip (RFC 1952) in a stream, zip archives member by member. What unpacks to more than the limits say is a
bomb: refused in one bad row, with what it gave before."""

import io
import zipfile
import zlib
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Protocol

from core.records import BadRow
from exchange.conversion import Converted
from exchange.formats.documents import WholeDocument

MAX_UNPACKED_BYTES = 1 << 30
MAX_RATIO = 200  # text packs to a tenth, a log to a fiftieth
MAX_MEMBERS = 1_000
_PIECE_BYTES = 256 * 1024
_FREE_BYTES = 1 << 20  # a small file may pack as well as it likes
_GZIP = 16 + zlib.MAX_WBITS


class _Inner(Protocol):
    def feed(self, data: bytes) -> Converted: ...

    def finish(self) -> Converted: ...


class _Bomb(ValueError):
    """It unpacks to too much."""


class _Measure:
    """What has been unpacked of how much."""

    def __init__(self) -> None:
        self._packed = 0
        self._unpacked = 0

    def add(self, *, packed: int = 0, unpacked: int = 0) -> None:
        self._packed += packed
        self._unpacked += unpacked
        if self._unpacked > MAX_UNPACKED_BYTES:
            raise _Bomb(f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        if self._unpacked > _FREE_BYTES and self._unpacked > MAX_RATIO * self._packed:
            raise _Bomb(f"it unpacks to more than {MAX_RATIO} times its size")


class GzipDecoder:
    """See exchange.formats.decoder.Decoder: `inner` gets what is in it. Several members, one behind the other, are one file."""

    def __init__(self, inner: _Inner) -> None:
        self._inner = inner
        self._unpacker = zlib.decompressobj(_GZIP)
        self._measure = _Measure()
        self._first = b""
        self._is_inside = False  # a member that has begun and not ended
        self._is_begun = False  # a member has ended
        self._is_broken = False

    def feed(self, data: bytes) -> Converted:
        result = Converted()
        if self._is_broken:
            return result
        self._first = self._first or data[:_PIECE_BYTES]
        try:
            self._measure.add(packed=len(data))
            while data := self._member(data):
                piece = self._unpacker.decompress(data, _PIECE_BYTES)
                self._measure.add(unpacked=len(piece))
                if piece:
                    result.extend(self._inner.feed(piece))
                data = self._unpacker.unconsumed_tail
                if self._unpacker.eof:
                    data, self._unpacker = self._unpacker.unused_data, zlib.decompressobj(_GZIP)
                    self._is_inside, self._is_begun = False, True
        except (zlib.error, ValueError) as error:
            result.extend(self._broken(error if isinstance(error, ValueError) else ValueError("it is no gzip file, or damaged")))
        return result

    def finish(self) -> Converted:
        result = Converted()
        if self._is_broken:
            return result
        result.extend(self._inner.finish())
        if not self._first:
            result.extend(self._broken(ValueError("it is empty")))
        elif self._is_inside:
            result.extend(self._broken(ValueError("it ends before it is whole")))
        return result

    def _member(self, data: bytes) -> bytes:
        """The data from the next member's beginning on, where none is under way; zeros between and behind them are padding."""
        if self._is_inside:
            return data
        if self._is_begun:
            data = data.lstrip(b"\0")
            if data and data[:1] != b"\x1f":
                raise ValueError("there is something behind its end")
        self._is_inside = bool(data)
        return data

    def _broken(self, error: ValueError) -> Converted:
        self._is_broken = True
        return Converted(bad=[BadRow(f"gzip: {error}", "document", self._first[:65_536])])


class ZipDecoder:
    """The members whose names fit `pattern`, in the archive's order, each by an `inner` of its own. The archive is held whole, for
    its table of contents stands at its end; members are unpacked piece by piece."""

    def __init__(self, pattern: str, inner: Callable[[], _Inner]) -> None:
        self._pattern = pattern
        self._inner = inner
        self._document = WholeDocument()

    def feed(self, data: bytes) -> Converted:
        self._document.add(data)
        return Converted()

    def finish(self) -> Converted:
        result = Converted()
        try:
            data = self._document.data()
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                files = [each for each in archive.infolist() if not each.is_dir()]
                members = [each for each in files if fnmatchcase(each.filename, self._pattern)]
                if len(members) > MAX_MEMBERS:
                    raise ValueError(f"it has more than {MAX_MEMBERS} members")
                if not members:
                    raise ValueError(f"no member fits {self._pattern!r}")
                measure = _Measure()
                measure.add(packed=len(data))
                for member in members:
                    self._member(archive, member, measure, result)
        except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError):
            result.extend(self._document.bad(ValueError("zip: it is no zip archive, or damaged, or of a kind that is not read")))
        except RuntimeError:  # zipfile's word for a member that needs a password
            result.extend(self._document.bad(ValueError("zip: it is encrypted")))
        except ValueError as error:
            result.extend(self._document.bad(ValueError(f"zip: {error}")))
        return result

    def _member(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, measure: _Measure, result: Converted) -> None:
        inner = self._inner()
        found = Converted()
        try:
            with archive.open(member) as file:
                while piece := file.read(_PIECE_BYTES):
                    measure.add(unpacked=len(piece))
                    found.extend(inner.feed(piece))
            found.extend(inner.finish())
        finally:
            for bad in found.bad:
                bad.place = f"{member.filename} {bad.place}"
            result.extend(found)
