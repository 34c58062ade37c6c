"""API keys: `X-Api-Key: <AppKey>.<AppSecret>`, or the same two by HTTP Basic (RFC 7617).

No memo: the secrets stand ready as bytes, and comparing them costs less than hashing a credential to look it up.
"""

import binascii
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from core.errors import Unauthenticated
from gateway.identity import Identity
from gateway.identity import Means as Kind
from gateway.means import Means
from gateway.stage import Request
from registry.snapshot import Credential

_NOBODY = secrets.token_urlsafe(32).encode()
_NEVER = -1.0
_WRONG = "AppKey or AppSecret is wrong"


class _Holder(NamedTuple):
    """Always two secrets, so that every key costs two comparisons; `…_until` in epoch milliseconds."""

    identity: Identity | None
    newest: bytes
    newest_until: float
    older: bytes
    older_until: float


_STRANGER = _Holder(None, _NOBODY, _NEVER, _NOBODY, _NEVER)


class ApiKey:
    """Of one snapshot: a secret ends with its overlap, a key with the next snapshot."""

    kind: Kind = "key"
    challenge = 'Basic realm="zhiyun", charset="UTF-8"'

    def __init__(self, credentials: Mapping[str, Credential], *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._holders = {key.encode(): _holder(each) for key, each in credentials.items() if each.owner_kind == "app"}

    def is_used(self, request: Request) -> bool:
        return request.api_key != b"" or request.authorization[:6].lower() == b"basic "

    def needs_body(self, request: Request) -> bool:
        return False

    def identify(self, request: Request) -> Identity:
        """Raises Unauthenticated (key_invalid)."""
        if request.api_key:
            if request.authorization[:6].lower() == b"basic ":
                raise _refused("the API key is given more than once")
            key, _, secret = request.api_key.partition(b".")
        else:
            key, secret = _pair(request.authorization)
        holder = self._holders.get(key, _STRANGER)
        now_ms = self._now() * 1000
        is_newest = hmac.compare_digest(holder.newest, secret) and now_ms < holder.newest_until
        is_older = hmac.compare_digest(holder.older, secret) and now_ms < holder.older_until
        if holder.identity is None or not (is_newest or is_older):
            raise _refused(_WRONG)
        return holder.identity

    def holds_until(self, request: Request) -> float:
        """Raises as `identify` does."""
        self.identify(request)
        key, secret = request.api_key.split(b".", 1) if request.api_key else _pair(request.authorization)
        holder = self._holders[key]
        return (holder.newest_until if hmac.compare_digest(holder.newest, secret) else holder.older_until) / 1000


def _pair(authorization: bytes) -> tuple[bytes, bytes]:
    """Both empty where it is no base64."""
    try:
        key, _, secret = binascii.a2b_base64(authorization[6:].strip(b" "), strict_mode=True).partition(b":")
    except ValueError:
        return b"", b""
    return key, secret


def _refused(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, code="key_invalid")


def _holder(credential: Credential) -> _Holder:
    kept = [
        (each.secret.reveal().encode(), float("inf") if each.expires_ms is None else float(each.expires_ms))
        for each in credential.secrets[:2]
    ]
    (newest, newest_until), (older, older_until) = [*kept, (_NOBODY, _NEVER), (_NOBODY, _NEVER)][:2]
    identity = Identity(credential.owner, credential.key, means="key")
    return _Holder(identity, newest, newest_until, older, older_until)


def _conforms(means: ApiKey) -> Means:
    return means
