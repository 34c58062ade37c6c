"""Public keys of trusted issuers, fetched from their JWKS (RFC 7517) in the background and kept in memory.

One for the process: keys outlive snapshots. No request ever waits for a fetch.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import msgspec
import structlog

from config.model import Issuer
from core.errors import ConfigError, PlatformError, Unavailable
from core.supervise import Tasks
from gateway.access.jwk import Algorithm, Key, key_of

MAX_BYTES = 256 << 10
MAX_KEYS = 100
_TIMEOUT_S = 10.0
_PAUSE_S = 10.0  # between two fetches, whatever tokens come
_log = structlog.get_logger("gateway.key_sets")


class KeySet:
    """The keys of one issuer by kid. A fetch that fails changes nothing."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self._keys = dict(keys)
        self.wanted = asyncio.Event()

    def find(self, kid: str) -> Key | None:
        """A token without kid is checked with the only key, where there is only one. None asks for a fetch."""
        if not kid and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        key = self._keys.get(kid)
        if key is None:
            self.wanted.set()
        return key

    def replace(self, keys: Mapping[str, Key]) -> None:
        self._keys = dict(keys)

    def __len__(self) -> int:
        return len(self._keys)


class _Origin(NamedTuple):
    url: str
    algorithm: Algorithm
    refresh_s: float


class KeySets:
    """Keeps a set for each issuer of the running snapshot, and one task for each JWKS URL."""

    def __init__(self, tasks: Tasks, *, pause_s: float = _PAUSE_S) -> None:
        self._tasks = tasks
        self._pause_s = pause_s
        self._fetched: dict[_Origin, tuple[KeySet, asyncio.Task[Any]]] = {}

    def reload(self, issuers: Mapping[str, Issuer]) -> dict[str, KeySet]:
        """The sets by issuer name; those fetched before keep their keys. Call it in the event loop, with each new snapshot."""
        origins = {name: _origin(issuer) for name, issuer in issuers.items() if issuer.enabled}
        wanted = set(origins.values())
        for origin in [each for each in self._fetched if each not in wanted]:
            self._fetched.pop(origin)[1].cancel()
        return {name: self._set(origin, issuers[name]) for name, origin in origins.items()}

    def _set(self, origin: _Origin, issuer: Issuer) -> KeySet:
        if not origin.url:
            return KeySet(usable(issuer.keys, issuer.algorithm))
        if origin not in self._fetched:
            keys = KeySet({})
            host = urlsplit(origin.url).hostname
            task = self._tasks.keep(lambda: self._follow(keys, origin), name=f"keys of {host}")
            self._fetched[origin] = (keys, task)
        return self._fetched[origin][0]

    async def _follow(self, keys: KeySet, origin: _Origin) -> None:
        retry_s = self._pause_s
        while True:
            keys.wanted.clear()
            if await _refreshed(keys, origin):
                retry_s, pause_s = self._pause_s, origin.refresh_s
            else:
                retry_s, pause_s = min(retry_s * 2, origin.refresh_s), retry_s
            await self._rest(keys, pause_s)

    async def _rest(self, keys: KeySet, pause_s: float) -> None:
        """For `pause_s`, or until a token needs a key that is not there; but not less than the pause between two fetches."""
        await asyncio.sleep(self._pause_s)
        try:
            async with asyncio.timeout(max(0.0, pause_s - self._pause_s)):
                await keys.wanted.wait()
        except TimeoutError:
            return


def _origin(issuer: Issuer) -> _Origin:
    return _Origin(issuer.jwks_url or "", issuer.algorithm, issuer.refresh_s)


async def _refreshed(keys: KeySet, origin: _Origin) -> bool:
    host = urlsplit(origin.url).hostname
    try:
        found = keys_of(await fetched(origin.url), origin.algorithm)
    except PlatformError as error:
        _log.warning("keys of an issuer can't be fetched; those known go on", host=host, known=len(keys), error=error.detail)
        return False
    keys.replace(found)
    _log.debug("keys of an issuer were fetched", host=host, keys=len(found))
    return True


async def fetched(url: str) -> bytes:
    """The document, at most `MAX_BYTES` within 10 s. No redirect is followed: the operator named this address. Unavailable for
    anything but a 200."""
    headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise Unavailable(f"it answered {answer.status}")
            return await _bounded(answer.content)
    except TimeoutError:
        raise Unavailable(f"it took longer than {_TIMEOUT_S:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > MAX_BYTES:
            raise Unavailable(f"the key set is larger than {MAX_BYTES} bytes")
    return bytes(body)


class _Document(msgspec.Struct):
    keys: tuple[dict[str, Any], ...]


def keys_of(document: bytes, algorithm: Algorithm) -> dict[str, Key]:
    """The keys that fit. Unavailable where it is no JWKS, or has none that fits: better the old keys than none."""
    try:
        found = usable(msgspec.json.decode(document, type=_Document).keys, algorithm)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise Unavailable("it is no JSON Web Key Set") from None
    if not found:
        raise Unavailable(f"the key set has no key for {algorithm}")
    return found


def usable(jwks: Iterable[Mapping[str, Any]], algorithm: Algorithm) -> dict[str, Key]:
    """By kid, the first of each; keys of another kind or use, and weak ones, are passed over. At most `MAX_KEYS`."""
    found: dict[str, Key] = {}
    for jwk in jwks:
        kid = jwk.get("kid", "")
        if len(found) == MAX_KEYS:
            break
        try:
            if isinstance(kid, str):
                found.setdefault(kid, key_of(jwk, algorithm))
        except ConfigError:
            continue
    return found
