"""The client's side of RFC 9421, for tests: requests from bytes, and a signer that shares no code with the verifier."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

import pytest

from cache.replays_memory import MemoryReplays
from config.model import App, Device, Platform
from core.errors import Unauthenticated
from core.ids import AppKey
from core.secret import Secret
from gateway.access.signature import SignatureMeans
from gateway.http1.head import parse_request
from gateway.http1.message import Request, made_request
from gateway.identity import Identity
from gateway.means import Means
from registry.snapshot import Credential, LiveSecret, Snapshot

NOW = 1_800_000_000.0
KEY = "ak_shop"
SECRET = "secret-of-shop-0123456789abcdefghij"
OLD_SECRET, ENDED_SECRET = f"older-{SECRET}", f"ended-{SECRET}"
Sign = Callable[[bytes], bytes]


def snapshot(devices: Mapping[str, Device] | None = None) -> Snapshot:
    """App `shop` with three secrets, of which the last has ended, a proxy's key, and the devices given."""
    now_ms = int(NOW * 1000)
    secrets = (
        LiveSecret(Secret(SECRET), None),
        LiveSecret(Secret(OLD_SECRET), now_ms + 1_000_000),
        LiveSecret(Secret(ENDED_SECRET), now_ms),
    )
    credentials = {
        KEY: Credential(AppKey(KEY), "app", "shop", secrets),
        "pk_partner": Credential(AppKey("pk_partner"), "proxy", "partner", secrets[:1]),
    }
    platform = Platform(apps={"shop": App(plan="gold")}, devices=dict(devices or {}))
    return Snapshot(1, platform, credentials, {}, (), ())


def identified_by(means: Means, request: Request) -> Identity:
    """Whom it names at once; one that had to wait fails the test."""
    answer = means.identify(request)
    assert isinstance(answer, Identity)
    return answer


def code_by(means: Means, request: Request) -> str:
    """With which code it refuses, and that no secret is told with it."""
    with pytest.raises(Unauthenticated) as refused:
        identified_by(means, request)
    for secret in (SECRET, OLD_SECRET, ENDED_SECRET):
        assert secret not in refused.value.detail
    return refused.value.specific_code


def request_from(head: bytes, body: bytes = b"", *, scheme: str = "https") -> Request:
    """The request that a listener makes of these bytes."""
    request = parse_request(head)
    request.scheme = scheme
    request.content = body
    request.body_length = len(body)
    return request


def digest(body: bytes, algorithm: str = "sha-256") -> str:
    hashed = hashlib.new(algorithm.replace("-", ""), body).digest()
    return f"{algorithm}=:{base64.b64encode(hashed).decode()}:"


def hmac_with(secret: str) -> Sign:
    return lambda base: hmac.new(secret.encode(), base, hashlib.sha256).digest()


COVERED = ("@method", "@authority", "@path", "@query")


def signed_request(
    method: str = "GET",
    url: str = "https://gateway/v1/customers?limit=2",
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    sign: Sign | None = None,
    covered: Sequence[str] = COVERED,
    parameters: str | None = None,
    keyid: str = KEY,
    nonce: str = "n-1",
    created: int = int(NOW),
    label: str = "sig1",
) -> Request:
    """A request that is signed as its author meant; `parameters` replaces all of them."""
    parts = urlsplit(url)
    fields = {name.lower(): value for name, value in (headers or {}).items()}
    if body:
        fields.setdefault("content-digest", digest(body))
        covered = covered if "content-digest" in covered or covered is not COVERED else (*covered, "content-digest")
    derived = {
        "@method": method,
        "@authority": parts.netloc,
        "@scheme": parts.scheme,
        "@target-uri": url,
        "@request-target": parts.path + (f"?{parts.query}" if parts.query else ""),
        "@path": parts.path,
        "@query": f"?{parts.query}",
    }
    lines = [f'"{name}": {derived[name] if name in derived else fields[name]}\n' for name in covered]
    inner = f"({' '.join(f'{chr(34)}{name}{chr(34)}' for name in covered)})"
    inner += parameters if parameters is not None else f';created={created};keyid="{keyid}";nonce="{nonce}"'
    base = "".join(lines) + f'"@signature-params": {inner}'
    signature = base64.b64encode((sign or hmac_with(SECRET))(base.encode())).decode()
    fields |= {"host": parts.netloc, "signature-input": f"{label}={inner}", "signature": f"{label}=:{signature}:"}
    request = made_request(method, derived["@request-target"], headers=fields, body=body)
    request.scheme = parts.scheme
    return request


def signature_means(devices: Mapping[str, Device] | None = None, now: float = NOW) -> SignatureMeans:
    return SignatureMeans(snapshot(devices), MemoryReplays(), lambda: now)
