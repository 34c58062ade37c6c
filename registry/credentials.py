"""AppKey and AppSecret of apps and proxies (DESIGN §6), kept as resources of kind `credential` whose name is the key.

The secret is sealed, not hashed, because checking a signature needs it.
"""

import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from config.types import convert
from core.clock import epoch_ms
from core.errors import InvalidInput, NotFound
from core.ids import AppKey
from core.secret import Secret
from core.stores import Edit, Resource
from registry.changes import Changes, VersionedResources
from registry.vault import Vault

KIND = "credential"
OwnerKind = Literal["app", "proxy"]
_PREFIX: dict[str, str] = {"app": "ak_", "proxy": "pk_"}
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_KEY_LENGTH, _SECRET_BYTES = 20, 32
_LONGEST_OVERLAP_S = 90 * 86_400


class SealedSecret(Struct, frozen=True):
    """One secret of a credential; `expires_ms` None means until it is rotated."""

    sealed: str
    created_ms: int
    expires_ms: int | None = None

    def is_live(self, now_ms: int) -> bool:
        return self.expires_ms is None or now_ms < self.expires_ms


class CredentialBody(Struct, frozen=True):
    """What is kept: the newest secret first, at most two."""

    owner_kind: OwnerKind
    owner: str
    secrets: tuple[SealedSecret, ...]


class Issued(Struct, frozen=True):
    """A key with its secret in clear, to be shown once."""

    key: AppKey
    secret: Secret


class CredentialState(Struct, frozen=True):
    """A credential without its secrets: since when it has its newest one, and until when an older one still works."""

    key: AppKey
    owner_kind: OwnerKind
    owner: str
    created_ms: int
    overlap_ends_ms: int | None


def sealing_context(key: str) -> str:
    return f"credential/{key}"


def credentials_of(stored: Sequence[Resource], owner_kind: str, owner: str) -> list[Resource]:
    """The credential resources of one app or proxy."""
    mine = (owner_kind, owner)
    return [each for each in stored if each.kind == KIND and (each.body["owner_kind"], each.body["owner"]) == mine]


def _body(resource: Resource) -> CredentialBody:
    return convert(resource.body, CredentialBody)


def _fresh_key(owner_kind: OwnerKind) -> AppKey:
    return AppKey(_PREFIX[owner_kind] + "".join(secrets.choice(_ALPHABET) for _ in range(_KEY_LENGTH)))


class Credentials:
    """Issues, rotates and revokes. Every node knows of it with its next snapshot, within a second."""

    def __init__(self, resources: VersionedResources, vault: Vault, *, now_ms: Callable[[], int] = epoch_ms) -> None:
        self._resources = resources
        self._changes = Changes(resources)
        self._vault = vault
        self._now_ms = now_ms

    async def issue(self, owner_kind: OwnerKind, owner: str, *, actor: str) -> Issued:
        """A new key with its secret. NotFound where there is no such app or proxy."""
        if owner_kind not in _PREFIX:
            raise InvalidInput(f"credentials belong to an app or a proxy, not to a '{owner_kind}'")
        issued = self._fresh(_fresh_key(owner_kind))

        def decide(stored: Sequence[Resource]) -> Sequence[Edit]:
            if not any((each.kind, each.name) == (owner_kind, owner) for each in stored):
                raise NotFound(f"there is no {owner_kind} {owner}")
            body = CredentialBody(owner_kind, owner, (self._sealed(issued),))
            return [Edit(KIND, issued.key, msgspec.to_builtins(body), expected=0)]

        await self._changes.make(decide, actor=actor)
        return issued

    async def rotate(self, key: str, *, overlap_s: int = 86_400, actor: str) -> Issued:
        """A new secret for the key; the newest of before works `overlap_s` seconds longer, older ones end now."""
        if not 0 <= overlap_s <= _LONGEST_OVERLAP_S:
            raise InvalidInput(f"the overlap is {overlap_s} s; it may be 0 to {_LONGEST_OVERLAP_S} s (90 days)")
        issued = self._fresh(AppKey(key))

        def decide(stored: Sequence[Resource]) -> Sequence[Edit]:
            body = _body(_find(stored, key))
            now = self._now_ms()
            kept = [_ending(secret, now + overlap_s * 1000) for secret in body.secrets[:1]]
            live = tuple(secret for secret in kept if secret.is_live(now))
            fresh = msgspec.structs.replace(body, secrets=(self._sealed(issued), *live))
            return [Edit(KIND, key, msgspec.to_builtins(fresh))]

        await self._changes.make(decide, actor=actor)
        return issued

    async def revoke(self, key: str, *, actor: str) -> None:
        """The key ends at once. NotFound where there is none."""

        def decide(stored: Sequence[Resource]) -> Sequence[Edit]:
            return [Edit(KIND, _find(stored, key).name, None)]

        await self._changes.make(decide, actor=actor)

    async def reveal(self, key: str) -> Issued:
        """The key with its newest secret, for the banner of the sample estate only. NotFound where there is none."""
        found = await self._resources.get(KIND, key)
        if found is None:
            raise NotFound(f"there is no credential {key}")
        newest = _body(found).secrets[0]
        return Issued(AppKey(key), Secret(self._vault.open(newest.sealed, context=sealing_context(key))))

    async def of(self, owner_kind: OwnerKind, owner: str) -> list[CredentialState]:
        """The credentials of one app or proxy, by key."""
        _, stored = await self._resources.all()
        return [self._state(resource) for resource in credentials_of(stored, owner_kind, owner)]

    def _state(self, resource: Resource) -> CredentialState:
        body = _body(resource)
        older = [secret.expires_ms for secret in body.secrets[1:] if secret.is_live(self._now_ms())]
        ends = older[0] if older else None
        return CredentialState(AppKey(resource.name), body.owner_kind, body.owner, body.secrets[0].created_ms, ends)

    def _fresh(self, key: AppKey) -> Issued:
        return Issued(key, Secret(urlsafe_b64encode(os.urandom(_SECRET_BYTES)).rstrip(b"=").decode()))

    def _sealed(self, issued: Issued) -> SealedSecret:
        sealed = self._vault.seal(issued.secret.reveal(), context=sealing_context(issued.key))
        return SealedSecret(sealed, created_ms=self._now_ms())


def _find(stored: Sequence[Resource], key: str) -> Resource:
    found = next((each for each in stored if (each.kind, each.name) == (KIND, key)), None)
    if found is None:
        raise NotFound(f"there is no credential {key}")
    return found


def _ending(secret: SealedSecret, at_ms: int) -> SealedSecret:
    ends = at_ms if secret.expires_ms is None else min(at_ms, secret.expires_ms)
    return msgspec.structs.replace(secret, expires_ms=ends)
