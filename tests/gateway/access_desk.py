"""A snapshot with apps, devices, proxies and issuers that needs no database, and tokens of every origin made by PyJWT."""

import base64
import time
from collections.abc import Awaitable, Mapping
from types import MappingProxyType
from typing import Any

import jwt as pyjwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config.model import Platform
from core.errors import PlatformError
from core.ids import AppKey
from core.secret import Secret
from gateway.access.bearer import Bearer, Proofs, Revocations
from gateway.access.jwk import Key, packed, thumbprint
from gateway.access.key_sets import usable
from gateway.access.sources import AppTokens, token_sources
from gateway.http1.message import made_request
from gateway.identity import Identity
from gateway.means import Means
from gateway.stage import Request
from gateway.tokens import Tokens
from registry.credentials import OwnerKind
from registry.snapshot import Credential, LiveSecret, Snapshot
from registry.tokens import SigningKey, jwk

SIGNING = SigningKey("2026", Ed25519PrivateKey.generate(), 0)
DEVICE = jwk(Ed25519PrivateKey.generate().public_key())
JKT = thumbprint(DEVICE)
PARTNER: EllipticCurvePrivateKey = generate_private_key(SECP256R1())
SHOP_KEY, SHOP_SECRET = "ak_shop", "s" * 43
OLD_SECRET = "o" * 43
ISSUER = "https://login.partner.example"
SCOPES = ("customers:read", "customers:write")


def ec_jwk(private: EllipticCurvePrivateKey, kid: str) -> dict[str, str]:
    numbers = private.public_key().public_numbers()
    x, y = (packed(number.to_bytes(32, "big")).decode() for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": x, "y": y}


def document() -> dict[str, Any]:
    return {
        "plans": {"gold": {"per_s": 10, "burst": 10}},
        "proxies": {"partner": {}, "closed": {"enabled": False}},
        "apps": {
            "shop": {"plan": "gold", "scopes": SCOPES, "subjects": {"login": ["shop-client"]}},
            "carried": {"plan": "gold", "scopes": SCOPES, "proxy": "partner"},
            "stranded": {"plan": "gold", "proxy": "closed"},
        },
        "devices": {
            "till": {"app": "shop", "key": DEVICE},
            "off": {"app": "shop", "key": DEVICE, "enabled": False},
            "bare": {"app": "shop", "key": {"kty": "OKP"}},
        },
        "issuers": {"login": {"issuer": ISSUER, "audience": "zhiyun-api", "algorithm": "ES256", "keys": [ec_jwk(PARTNER, "k1")]}},
    }


def credential(key: str, owner: str, *secrets: LiveSecret, kind: OwnerKind = "app") -> Credential:
    return Credential(AppKey(key), kind, owner, secrets)


def credentials() -> dict[str, Credential]:
    """`shop` has two secrets, the older one until a minute from now."""
    soon = int(time.time() + 60) * 1000
    held = [
        credential(SHOP_KEY, "shop", LiveSecret(Secret(SHOP_SECRET), None), LiveSecret(Secret(OLD_SECRET), soon)),
        credential("ak_carried", "carried", LiveSecret(Secret("c" * 43), None)),
        credential("ak_weak", "shop", LiveSecret(Secret("short"), None)),
        credential("pk_partner", "partner", LiveSecret(Secret("p" * 43), None), kind="proxy"),
        credential("pk_closed", "closed", LiveSecret(Secret("q" * 43), None), kind="proxy"),
    ]
    return {each.key: each for each in held}


def snapshot_of(declared: dict[str, Any] | None = None, held: Mapping[str, Credential] | None = None) -> Snapshot:
    platform = msgspec.convert(declared or document(), Platform)
    kept = MappingProxyType(dict(credentials() if held is None else held))
    return Snapshot(1, platform, kept, MappingProxyType({SIGNING.kid: SIGNING.public}), (SIGNING,), ())


def bearer(
    snapshot: Snapshot | None = None,
    *,
    proofs: Proofs | None = None,
    revocations: Revocations | None = None,
    now: Any = time.time,
    keys: Mapping[str, Any] | None = None,
) -> Bearer:
    snapshot = snapshot or snapshot_of()
    found = keys or {name: Found(usable(each.keys, each.algorithm)) for name, each in snapshot.platform.issuers.items()}
    sources = token_sources(snapshot.platform, Tokens(snapshot), found)
    return Bearer(sources, AppTokens(snapshot.credentials), proofs=proofs, revocations=revocations, now=now)


class Found:
    """Keys that are there from the start."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self._keys = keys

    def find(self, kid: str) -> Key | None:
        return self._keys.get(kid)


def app_token(secret: str = SHOP_SECRET, *, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **changed: Any) -> str:
    """A token that an app signs itself; a claim set to None is left out."""
    now = int(time.time())
    claims = {"iss": SHOP_KEY, "aud": "zhiyun", "iat": now, "exp": now + 300, "jti": "j1", **changed}
    return pyjwt.encode({k: v for k, v in claims.items() if v is not None}, secret, algorithm=algorithm, headers=headers)


def issuer_token(private: Any = PARTNER, *, kid: str | None = "k1", algorithm: str = "ES256", **changed: Any) -> str:
    """A token of the trusted issuer."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": ["other", "zhiyun-api"], "iat": now, "exp": now + 300, "sub": "shop-client"}
    claims |= {"scope": "customers:read", **changed}
    headers = {} if kid is None else {"kid": kid}
    return pyjwt.encode({k: v for k, v in claims.items() if v is not None}, private, algorithm=algorithm, headers=headers)


def request_of(method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Request:
    return made_request(method, target, headers=headers, body=body)


def basic(key: str, secret: str) -> str:
    """The Authorization header of RFC 7617."""
    return "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()


def with_token(token: str, scheme: str = "Bearer") -> Request:
    return request_of("GET", "/v1/customers", headers={"authorization": f"{scheme} {token}"})


def identified(means: Means, request: Request) -> Identity:
    """At once; a means that had to wait fails the test."""
    found = means.identify(request)
    assert not isinstance(found, Awaitable)
    return found


def refusal(means: Means, request: Request) -> str:
    """The code of the error that the means raises."""
    try:
        identified(means, request)
    except PlatformError as error:
        return error.specific_code
    return "let in"
