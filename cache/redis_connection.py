"""Connections to Redis with short timeouts and a breaker; its errors as the platform's. The driver is imported at first use."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from core.errors import ConfigError, Unavailable
from core.guard import Breaker

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")
_TIMEOUT_S = 0.5


class RedisConnection:
    """`url` is redis:// or rediss://. A call that fails shuts the breaker off for `pause_s`: later ones then cost no wait."""

    def __init__(self, url: str, *, timeout_s: float = _TIMEOUT_S, max_connections: int = 64, pause_s: float = 1.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise ConfigError("the URL of Redis must look like redis://host:6379/0 (or rediss:// for TLS)")
        self.where = f"Redis at {parts.hostname}:{parts.port or 6379}"
        self._url = url
        self._timeout_s = timeout_s
        self._max_connections = max_connections
        self._pause_s = pause_s
        self._breaker = self._closed_breaker()
        self._redis: Redis | None = None

    def _closed_breaker(self) -> Breaker:
        return Breaker(failures=1, open_s=self._pause_s)

    def _client(self) -> "Redis":
        if self._redis is None:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import ConnectionError

            pool = BlockingConnectionPool.from_url(
                self._url,
                timeout=self._timeout_s,
                max_connections=self._max_connections,
                socket_timeout=self._timeout_s,
                socket_connect_timeout=self._timeout_s,
                # Once more at once, for a pooled connection that died while it lay idle; not after a timeout.
                retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
                health_check_interval=0,
            )
            self._redis = Redis.from_pool(pool)
        return self._redis

    @contextmanager
    def _watched(self, admitted_at: float) -> Iterator[None]:
        """Driver's errors as Unavailable; the breaker hears how it ended. An answer that refuses is an answer."""
        from redis.exceptions import RedisError, ResponseError

        try:
            yield
        except ResponseError as error:
            self._breaker.succeeded(admitted_at)
            raise Unavailable(f"{self.where} refused: {error}") from error
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.failed(admitted_at, time.monotonic(), type(error).__name__)
            raise Unavailable(f"{self.where}: {type(error).__name__}: {error}") from error
        except BaseException:
            self._breaker.abandoned(admitted_at)
            raise
        self._breaker.succeeded(admitted_at)

    async def call(self, work: Callable[["Redis"], Awaitable[T]]) -> T:
        """The result of `work`. Raises Unavailable at once while the breaker is open, or after at most the timeout."""
        now = time.monotonic()
        if self._breaker.admit(now) is not None:
            raise Unavailable(f"{self.where} does not answer; it is tried again within a second or so")
        with self._watched(now):
            return await work(self._client())

    async def ping(self) -> None:
        """Raise Unavailable unless Redis answers now, whatever the breaker says."""
        with self._watched(time.monotonic()):
            await self._client().ping()
        self._breaker = self._closed_breaker()

    async def close(self) -> None:
        client, self._redis = self._redis, None
        if client is not None:
            await client.aclose()
