"""The replay store that all processes of one node share: a table in a memory-mapped file, which outlives them.

Buckets of 64 places, each the keyed 64-bit hash of a key and the second (of the wall clock, as in proofs) in which it ends. A
bucket is locked by its own byte of the file, so that processes meet only at the same bucket, and a lock ends with its process.
"""

import fcntl
import math
import mmap
import os
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from struct import Struct

import structlog

from cache.replays_memory import check_ttl
from core.cache import Replays
from core.errors import Limited, Unavailable

_PLACES = 64
_HASH_BYTES, _END_BYTES = 8, 4
_BUCKET_BYTES = _PLACES * (_HASH_BYTES + _END_BYTES)
_ENDS = Struct(f"<{_PLACES}I")
_END = Struct("<I")
_MAGIC = b"zhiyun replays 1"
_HEADER_BYTES = 4096
_KEY_BYTES = 32
_PATIENCE_S = 0.5  # a bucket is locked for microseconds, unless its holder is not run meanwhile
_PAUSE_S = 0.0002
_log = structlog.get_logger("cache.replays")


class FileReplays:
    """See core.cache.Replays. It holds about `max_entries`, at most twice as many; where a bucket is full of keys that may not be
    forgotten yet, it refuses (Limited, replays_full). Two keys with one hash mean a refusal, never that one passes.

    The disk's room is taken when the file is made. After a power cut the last seconds may be missing. Raises Unavailable, that
    names the file, where it can't be made."""

    def __init__(self, path: Path, *, max_entries: int = 1_000_000, wall: Callable[[], float] = time.time) -> None:
        self._buckets = max(1, math.ceil(max_entries * 2 / _PLACES))
        self._path = path
        self._wall = wall
        try:
            self._file = self._opened()
            self._map = mmap.mmap(self._file, _HEADER_BYTES + self._buckets * _BUCKET_BYTES)
        except OSError as error:
            raise Unavailable(f"{path}: used nonces can't be kept there: {error.strerror or error}", code="data_dir") from error
        self._key = self._map[len(_MAGIC) : len(_MAGIC) + _KEY_BYTES]

    def _opened(self) -> int:
        """The file's descriptor. One that is of another form or size is replaced, under a lock that all starting processes take."""
        with open(self._path.with_suffix(".lock"), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            size = _HEADER_BYTES + self._buckets * _BUCKET_BYTES
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return self._made(size)
            if os.fstat(file).st_size == size and os.pread(file, len(_MAGIC), 0) == _MAGIC:
                return file
            os.close(file)
            _log.error("the file of used nonces is damaged or of another version; it begins afresh", file=str(self._path))
            return self._made(size)

    def _made(self, size: int) -> int:
        """Whole or not at all: others may have the one before mapped, which must not shrink under them."""
        draft = self._path.with_suffix(".draft")
        file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, size)  # else a full disk would end the process that touches a page
            os.pwrite(file, _MAGIC + os.urandom(_KEY_BYTES), 0)
            os.replace(draft, self._path)
        except OSError:
            os.close(file)
            draft.unlink(missing_ok=True)
            raise
        return file

    def is_new(self, key: str, ttl_s: float) -> bool:
        check_ttl(ttl_s)
        digest = blake2b(key.encode(errors="surrogatepass"), digest_size=16, key=self._key).digest()
        bucket = int.from_bytes(digest[_HASH_BYTES:], "little") % self._buckets
        self._lock(bucket)
        try:
            return self._put(_HEADER_BYTES + bucket * _BUCKET_BYTES, digest[:_HASH_BYTES], ttl_s)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, bucket)

    def _lock(self, bucket: int) -> None:
        until = 0.0
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, bucket)
            except BlockingIOError:
                now = time.monotonic()
                until = until or now + _PATIENCE_S
                if now >= until:
                    text = "whether a nonce is new can't be told now: another process of this node holds its place"
                    raise Unavailable(text) from None
                time.sleep(_PAUSE_S)
            else:
                return

    def _put(self, start: int, entry: bytes, ttl_s: float) -> bool:
        table, now = self._map, self._wall()
        ends_at = start + _PLACES * _HASH_BYTES
        ends = _ENDS.unpack_from(table, ends_at)
        place = self._place(start, entry)
        if place is not None and ends[place] > now:
            return False
        if place is None:
            first = min(ends)
            if first > now:
                text = "as many nonces are remembered as can be, and none may be forgotten yet; try again soon"
                raise Limited(text, retry_after_s=first - now, code="replays_full")
            place = ends.index(first)
            at = start + place * _HASH_BYTES
            table[at : at + _HASH_BYTES] = entry
        _END.pack_into(table, ends_at + place * _END_BYTES, math.ceil(now + ttl_s))
        return True

    def _place(self, start: int, entry: bytes) -> int | None:
        """Where in the bucket the hash stands, expired or not. It stands there once at most."""
        ends_at = start + _PLACES * _HASH_BYTES
        at = self._map.find(entry, start, ends_at)
        while at >= 0:
            place, rest = divmod(at - start, _HASH_BYTES)
            if not rest:
                return place
            at = self._map.find(entry, at + 1, ends_at)  # the end of one hash and the beginning of the next
        return None

    def close(self) -> None:
        self._map.close()
        os.close(self._file)


def _conforms(replays: FileReplays) -> Replays:
    return replays
