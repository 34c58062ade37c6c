"""Ed25519 keys that sign access tokens (EdDSA, RFC 8037), kept as resources of kind `signing-key` whose name is the kid.

The newest signs; older ones go on verifying until they are retired. Tokens themselves are made and checked in the gateway.
"""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from config.types import convert
from core.clock import epoch_ms
from core.errors import Conflict, NotFound
from core.stores import Edit, Resource
from registry.changes import Changes, VersionedResources
from registry.vault import Vault

KIND = "signing-key"


class SigningKeyBody(Struct, frozen=True):
    """What is kept: the private key's 32 bytes as sealed base64url."""

    sealed: str
    created_ms: int


class SigningKey(Struct, frozen=True):
    """An opened key. Its repr shows no key: cryptography's objects print their type only."""

    kid: str
    private: Ed25519PrivateKey
    created_ms: int

    @property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()


def jwk(public: Ed25519PublicKey) -> dict[str, str]:
    """The public key as JWKS lists it (RFC 7517, RFC 8037), its `kid` the thumbprint of RFC 7638."""
    needed = {"crv": "Ed25519", "kty": "OKP", "x": _text(public.public_bytes_raw())}
    digest = hashlib.sha256(json.dumps(needed, separators=(",", ":"), sort_keys=True).encode()).digest()
    return {**needed, "kid": _text(digest), "alg": "EdDSA", "use": "sig"}


def open_signing_keys(stored: Sequence[Resource], vault: Vault) -> tuple[SigningKey, ...]:
    """Every key among the resources, newest first. Raises ConfigError under another master key."""
    return tuple(_opened(resource, vault) for resource in sorted(_keys(stored), key=_newest_first))


def _opened(resource: Resource, vault: Vault) -> SigningKey:
    body = convert(resource.body, SigningKeyBody)
    raw = vault.open(body.sealed, context=_context(resource.name))
    return SigningKey(resource.name, Ed25519PrivateKey.from_private_bytes(urlsafe_b64decode(raw + "=")), body.created_ms)


def _context(kid: str) -> str:
    return f"{KIND}/{kid}"


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class SigningKeys:
    """Makes, rotates and retires the keys."""

    def __init__(self, resources: VersionedResources, vault: Vault, *, now_ms: Callable[[], int] = epoch_ms) -> None:
        self._changes = Changes(resources)
        self._vault = vault
        self._now_ms = now_ms

    async def ensure(self) -> None:
        """Make the first key where there is none; of nodes that start at once, one makes it."""
        edit = self._fresh()
        await self._changes.make(lambda stored: [] if _keys(stored) else [edit], actor="platform")

    async def rotate(self, *, actor: str) -> str:
        """A new key, which signs from now on; its kid."""
        edit = self._fresh()
        await self._changes.make(lambda _: [edit], actor=actor)
        return edit.name

    async def retire(self, kid: str, *, actor: str) -> None:
        """Tokens signed with this key end at once. Conflict for the key that signs; NotFound where there is none."""

        def decide(stored: Sequence[Resource]) -> Sequence[Edit]:
            keys = _keys(stored)
            if not any(key.name == kid for key in keys):
                raise NotFound(f"there is no signing key {kid}")
            if min(keys, key=_newest_first).name == kid:
                raise Conflict(f"signing key {kid} is the one that signs; rotate first, then retire it")
            return [Edit(KIND, kid, None)]

        await self._changes.make(decide, actor=actor)

    def _fresh(self) -> Edit:
        private = Ed25519PrivateKey.generate()
        kid = jwk(private.public_key())["kid"]
        sealed = self._vault.seal(_text(private.private_bytes_raw()), context=_context(kid))
        return Edit(KIND, kid, msgspec.to_builtins(SigningKeyBody(sealed, self._now_ms())), expected=0)


def _newest_first(resource: Resource) -> tuple[int, str]:
    return -resource.body["created_ms"], resource.name


def _keys(stored: Sequence[Resource]) -> list[Resource]:
    return [resource for resource in stored if resource.kind == KIND]
