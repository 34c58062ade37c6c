"""HTTP as the `http_json` and `soap` adapters use it: one lazy session, bounded bodies, our own errors, no foreign redirects.

It knows nothing of JSON or SOAP. Imports aiohttp on first use only.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from core.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    NotConnected,
    NotFound,
    PlatformError,
    Unauthenticated,
    Unavailable,
)
from core.retry_after import retry_after_s
from core.secret import Secret

if TYPE_CHECKING:
    import aiohttp

MAX_REDIRECTS = 3
MAX_MESSAGE_CHARACTERS = 300
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Busy(Unavailable):
    """The service asks us to come again after `retry_after_s` seconds (429 or 503 with Retry-After, RFC 9110 §10.2.3)."""

    def __init__(self, detail: str, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one exchange may cost: seconds to connect, seconds in all, bytes of the answer's body after decompression."""

    connect_timeout_s: float
    timeout_s: float
    max_body_bytes: int


def basic(user: str, password: Secret | None) -> Mapping[str, Secret]:
    """The header of basic authentication (RFC 7617, UTF-8)."""
    clear = f"{user}:{password.reveal() if password else ''}"
    return {"Authorization": Secret("Basic " + base64.b64encode(clear.encode()).decode())}


def checked_url(url: str) -> str:
    """The URL, if it is http or https with a host and no user in it; InvalidInput otherwise."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise InvalidInput("a source's URL must begin with http:// or https://, name a host and carry no user or password")
    return url


class HTTPClient:
    """A session to one service. Calls may overlap. `credentials` are headers sent to that service's host alone."""

    def __init__(self, url: str, credentials: Mapping[str, Secret], bounds: Bounds) -> None:
        self._where = urlsplit(url).netloc.rpartition("@")[2] or "the service"
        self._credentials = credentials
        self._bounds = bounds
        self.hidden: Secret | None = None  # of what a caller sends by itself: no error shows it
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def close(self) -> None:
        """Close every socket. Idempotent."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send and give the answer, whatever its status; redirects of a GET are followed on the same host.

        Raises NotConnected, DeadlineExceeded, or Unavailable (broken off, too large, redirected elsewhere).
        """
        sent = {**(headers or {}), **{name: secret.reveal() for name, secret in self._credentials.items()}}
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._once(method, url, body, sent)
            if answer.status not in _REDIRECTS:
                return answer
            url = self._redirected(method, url, answer.headers.get("location", ""))
        raise Unavailable(f"{self._where}: redirects more than {MAX_REDIRECTS} times; set the final URL")

    def refusal(self, answer: Answer, what: str) -> PlatformError:
        """The error that an answer of 4xx or 5xx means, with the service's own words, bounded and without our credentials."""
        said = self._said(answer)
        detail = f"{self._where}: {what}: HTTP {answer.status}{': ' if said else ''}{said}"
        wait = retry_after_s(answer.headers.get("retry-after", ""), datetime.now(UTC))
        if answer.status in (429, 503) and wait is not None:
            return Busy(f"{detail}; it asks to wait {wait:g} s", wait)
        kind = _KINDS.get(answer.status)
        if kind is None:
            kind = InvalidInput if 400 <= answer.status < 500 else Unavailable
        return kind(detail)

    async def _once(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        from yarl import URL

        with _translated(self._where, lambda: self._is_closed, self._bounds):
            target = URL(checked_url(url), encoded=True)
            async with self._open_session().request(method, target, data=body, headers=headers, allow_redirects=False) as response:
                content = bytearray()
                async for piece in response.content.iter_chunked(64 * 1024):
                    content += piece
                    if len(content) > self._bounds.max_body_bytes:
                        raise Unavailable(
                            f"{self._where}: the answer is larger than {self._bounds.max_body_bytes} bytes (max_body_bytes)"
                        )
                kept = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, kept, bytes(content))

    def _open_session(self) -> "aiohttp.ClientSession":
        import aiohttp

        if self._is_closed:
            raise NotConnected(f"{self._where}: this connection is closed")
        if self._session is None:
            limits = aiohttp.ClientTimeout(total=self._bounds.timeout_s, sock_connect=self._bounds.connect_timeout_s)
            # A cookie of one call must not change the next; how many calls run at once is the guard's business, not the pool's.
            self._session = aiohttp.ClientSession(
                timeout=limits, cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=0)
            )
        return self._session

    def _redirected(self, method: str, url: str, location: str) -> str:
        target = urljoin(url, location)
        old, new = urlsplit(url), urlsplit(target)
        is_same = (old.scheme, old.netloc) == (new.scheme, new.netloc)
        is_upgrade = (old.scheme, new.scheme) == ("http", "https") and old.hostname == new.hostname
        if method == "GET" and location and (is_same or is_upgrade):
            return target
        raise Unavailable(
            f"{self._where}: a {method} is redirected to {new.netloc[:100] or 'nowhere'}, which is not followed; set the final URL"
        )

    def _said(self, answer: Answer) -> str:
        text = _message(answer.body)
        for secret in (*self._credentials.values(), *([self.hidden] if self.hidden else [])):
            for word in (secret.reveal(), secret.reveal().partition(" ")[2]):
                text = text.replace(word, "***") if len(word) > 3 else text
        return "".join(letter if letter.isprintable() else " " for letter in text)[:MAX_MESSAGE_CHARACTERS].strip()


_KINDS: dict[int, type[PlatformError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    410: NotFound,
    425: Unavailable,
    429: Unavailable,
}


def _message(body: bytes) -> str:
    """The words for a person in an error's body: RFC 9457's detail, or what services commonly use, or the text itself."""
    text = body[:8192].decode("utf-8", errors="replace")
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        return "" if text.lstrip().startswith("<") else text  # a page for browsers says nothing in one line
    for _ in range(2):
        if not isinstance(document, dict):
            break
        named = (document.get(name) for name in ("detail", "message", "error_description", "msg", "error", "title"))
        document = next((value for value in named if value), "")
    return document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)


@contextmanager
def _translated(where: str, is_closed: Callable[[], bool], bounds: Bounds) -> Iterator[None]:
    import aiohttp

    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise NotConnected(f"{where}: no connection within {bounds.connect_timeout_s:g} s") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise NotConnected(f"{where}: its certificate is not trusted: {str(error.certificate_error)[:200]}") from error
    except aiohttp.ClientConnectorError as error:
        raise NotConnected(f"{where}: can't connect: {error.os_error.strerror or error.os_error}") from error
    except TimeoutError as error:
        raise DeadlineExceeded(f"{where}: no whole answer within {bounds.timeout_s:g} s") from error
    except aiohttp.ClientError as error:
        if is_closed():
            raise NotConnected(f"{where}: this connection was closed during the call") from error
        raise Unavailable(f"{where}: broke off during the call ({type(error).__name__})") from error
    except OSError as error:
        raise Unavailable(f"{where}: {error.strerror or type(error).__name__}") from error
    except ValueError as error:  # a header or URL that HTTP does not allow
        raise InvalidInput(f"{where}: can't be sent: a header or the URL has characters that HTTP does not allow") from error
