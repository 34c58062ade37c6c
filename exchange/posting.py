"""One POST of a webhook: signed (Standard Webhooks 1.0), to an address that is looked at when the socket is made.

Names are resolved anew for each connection and what they resolve to is checked there, so that a name can't lead elsewhere between
the check and the call; redirects are not followed and no proxy is used. URL and secrets stand in no error and no log.
"""

import base64
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from config.check_webhooks import webhook_key
from config.webhooks import Webhook
from core.public_address import is_allowed, is_public
from core.retry_after import retry_after_s

if TYPE_CHECKING:
    import aiohttp

_MAX_ANSWER_BYTES = 16_384
_GONE = 410


class Outcome(Struct, frozen=True):
    """What became of a POST. `cause` is empty where it was taken (status 200 to 299); `is_gone`: the receiver answered 410 and
    wants no more; `retry_after_s` is what it asked to be waited."""

    cause: str = ""
    is_gone: bool = False
    retry_after_s: float | None = None


class RefusedAddressError(OSError):
    """The URL leads to an address that this webhook must not call."""


class Poster:
    """Posts for one webhook, over connections that are kept."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook
        self._keys = [webhook_key(secret.reveal()) for secret in webhook.secrets]
        self._networks = [ipaddress.ip_network(each) for each in webhook.allow_private]
        self._is_plain = webhook.url.startswith("http://")
        self._session: aiohttp.ClientSession | None = None

    async def post(self, message_id: str, body: bytes, content_type: str, *, now_s: int) -> Outcome:
        """Send it once. Never raises but for being cancelled."""
        import aiohttp

        headers = {
            "Content-Type": content_type,
            "User-Agent": "Zhiyun-Webhooks",
            "webhook-id": message_id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": signatures(self._keys, message_id, now_s, body),
        }
        try:
            async with self._opened().post(self._webhook.url, data=body, headers=headers, allow_redirects=False) as answer:
                outcome = _judged(answer.status, answer.headers.get("Retry-After", ""))
                content = await answer.content.read(_MAX_ANSWER_BYTES)
                if len(content) == _MAX_ANSWER_BYTES:
                    answer.close()  # nobody waits for the rest
                return outcome
        except TimeoutError:
            return Outcome(f"no answer within {self._webhook.timeout_s:g} s")
        except (aiohttp.ClientError, ValueError, OSError) as error:
            return Outcome(_cause(error))

    def _opened(self) -> "aiohttp.ClientSession":
        import aiohttp

        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=self._webhook.concurrency, use_dns_cache=False, socket_factory=self._socket, keepalive_timeout=30.0
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._webhook.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """A socket for an address that was resolved, if it may be called (the address that is then connected to)."""
        family, kind, protocol, _, place = info
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        if not is_allowed(address, self._networks):
            if not is_public(address):
                raise RefusedAddressError("private address")
            if self._is_plain:
                raise RefusedAddressError("plain http")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def signatures(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, one for each key, blanks between (Standard Webhooks 1.0)."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)


def _judged(status: int, retry_after: str) -> Outcome:
    if 200 <= status < 300:
        return Outcome()
    if 300 <= status < 400:
        return Outcome(f"it answered {status}; redirects are not followed")
    return Outcome(f"it answered {status}", is_gone=status == _GONE, retry_after_s=retry_after_s(retry_after, datetime.now(UTC)))


def _cause(error: "aiohttp.ClientError | ValueError | OSError") -> str:
    """Its kind alone: the text of most holds the URL."""
    inner = error.__cause__ or getattr(error, "os_error", None)
    if isinstance(inner, RefusedAddressError):
        if str(inner) == "plain http":
            return "its address is public, and plain http:// goes only to networks that allow_private lists"
        return "its address is not public; list its network in allow_private if that is meant"
    return f"it could not be reached ({type(error).__name__})"
