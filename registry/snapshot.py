"""The immutable picture of the registry that the data plane runs, with its secrets open. Built off the event loop."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from config.model import KINDS, Platform
from config.types import convert
from core.adapter import Adapter
from core.errors import ConfigError, InvalidInput
from core.ids import AppKey
from core.secret import Secret
from core.stores import Delta, Resource, Resources
from registry import credentials, tokens
from registry.credentials import OwnerKind
from registry.registry import document_of
from registry.secret_fields import Sealer
from registry.tokens import SigningKey
from registry.vault import Vault

_SETTLING_MS = 5_000
_NO_BUSINESS = "user"  # the data plane has none with this kind


@dataclass(frozen=True, slots=True)
class LiveSecret:
    """One secret of a credential; `expires_ms` (since 1970) None means without end."""

    secret: Secret
    expires_ms: int | None


@dataclass(frozen=True, slots=True)
class Credential:
    """Who holds a key. `secrets` has the newest first; the one that `live` gives may still have ended since."""

    key: AppKey
    owner_kind: OwnerKind
    owner: str
    secrets: tuple[LiveSecret, ...]

    def live(self, now_ms: int) -> tuple[Secret, ...]:
        """The secrets that are valid now, newest first: a signature may be made with any of them."""
        return tuple(each.secret for each in self.secrets if each.expires_ms is None or now_ms < each.expires_ms)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a node runs. Each secret of `platform` is open, a `core.secret.Secret`, also in `sources[…].settings`:
    `config.types.convert` makes the adapter's own settings of them. `stored` is what it was built from, sealed, for the file.
    """

    revision: int
    platform: Platform = field(repr=False)
    credentials: Mapping[str, Credential] = field(repr=False)
    verification_keys: Mapping[str, Ed25519PublicKey] = field(repr=False)  # by kid
    signing_keys: tuple[SigningKey, ...] = field(repr=False)  # newest first
    stored: tuple[Resource, ...] = field(repr=False)

    def signing_key(self, now_ms: int) -> SigningKey:
        """The key to sign with: the newest that every node has had time to learn of. Raises ConfigError if there is none."""
        if not self.signing_keys:
            raise ConfigError("the registry has no signing key yet; start a back-office node once, which makes it")
        known = (key for key in self.signing_keys if key.created_ms + _SETTLING_MS <= now_ms)
        return next(known, self.signing_keys[-1])


async def build_snapshot(
    resources: Resources, vault: Vault, adapters: Mapping[str, Adapter], *, before: Snapshot | None = None
) -> Snapshot:
    """From one consistent picture of the registry; from what has changed since `before` where that can be told. Raises what the
    store raises, and ConfigError for what can't be opened."""
    delta = await resources.since(before.revision) if before is not None else None
    if before is not None and delta is not None:
        return await asyncio.to_thread(updated, before, delta, vault, adapters)
    revision, stored = await resources.all()
    return await asyncio.to_thread(assemble, revision, stored, vault, adapters)


def assemble(revision: int, stored: Sequence[Resource], vault: Vault, adapters: Mapping[str, Adapter]) -> Snapshot:
    """Pure. References were checked when they were made; here only shapes are, so that one uninstalled adapter stops one source.

    Raises ConfigError that names the resource.
    """
    kept = tuple(resource for resource in stored if resource.kind != _NO_BUSINESS)
    try:
        platform = _platform(kept, Sealer(vault, adapters))
        held = _credentials(kept, vault, {})
        signing_keys = tokens.open_signing_keys(kept, vault)
    except InvalidInput as error:
        raise ConfigError(f"the registry holds what this version does not understand: {error.detail}") from error
    verification_keys = {key.kid: key.public for key in signing_keys}
    return Snapshot(revision, platform, MappingProxyType(held), MappingProxyType(verification_keys), signing_keys, kept)


def updated(before: Snapshot, delta: Delta, vault: Vault, adapters: Mapping[str, Adapter]) -> Snapshot:
    """What `assemble` makes of the whole, at the cost of what has changed: everything else is the same object as before, by which
    the data plane knows what it need not make anew. Pure. Raises ConfigError as `assemble` does."""
    stored = {(resource.kind, resource.name): resource for resource in before.stored}
    for key in delta.deleted:
        stored.pop(key, None)
    changed = {(each.kind, each.name): each for each in delta.changed if each.kind != _NO_BUSINESS}
    stored.update(changed)
    touched = {kind for kind, _ in (*changed, *delta.deleted)}
    kept = tuple(stored.values())
    held, signing_keys = before.credentials, before.signing_keys
    try:
        sections = {
            KINDS[kind][0]: _section(before.platform, kind, delta, Sealer(vault, adapters)) for kind in touched & KINDS.keys()
        }
        if touched & {credentials.KIND, "app", "proxy"}:
            known = {key: each for key, each in held.items() if (credentials.KIND, key) not in changed}
            held = MappingProxyType(_credentials(kept, vault, known))
        if tokens.KIND in touched:
            signing_keys = tokens.open_signing_keys(kept, vault)
    except InvalidInput as error:
        raise ConfigError(f"the registry holds what this version does not understand: {error.detail}") from error
    verification_keys = MappingProxyType({key.kid: key.public for key in signing_keys})
    platform = msgspec.structs.replace(before.platform, **sections)
    return Snapshot(delta.revision, platform, held, verification_keys, signing_keys, kept)


def _section(platform: Platform, kind: str, delta: Delta, sealer: Sealer) -> dict[str, Any]:
    section, part = KINDS[kind]
    resources = dict(getattr(platform, section))
    for deleted_kind, name in delta.deleted:
        if deleted_kind == kind:
            resources.pop(name, None)
    for each in delta.changed:
        if each.kind == kind:
            try:
                resources[each.name] = convert(sealer.open(kind, each.name, each.body), part)
            except InvalidInput as error:
                raise InvalidInput(f"{kind} {each.name}: {error.detail}") from error
    return resources


def _platform(stored: Sequence[Resource], sealer: Sealer) -> Platform:
    document: dict[str, Any] = document_of(stored)
    for kind, (section, _) in KINDS.items():
        if section in document:
            document[section] = {name: sealer.open(kind, name, body) for name, body in document[section].items()}
    return convert(document, Platform)


def _credentials(stored: Sequence[Resource], vault: Vault, known: Mapping[str, Credential]) -> dict[str, Credential]:
    owners = {(resource.kind, resource.name) for resource in stored if resource.kind in ("app", "proxy")}
    kept = (resource for resource in stored if resource.kind == credentials.KIND)
    opened = (known.get(resource.name) or _credential(resource, vault) for resource in kept)
    return {each.key: each for each in opened if (each.owner_kind, each.owner) in owners}


def _credential(resource: Resource, vault: Vault) -> Credential:
    body = convert(resource.body, credentials.CredentialBody)
    context = credentials.sealing_context(resource.name)
    opened = tuple(LiveSecret(Secret(vault.open(each.sealed, context=context)), each.expires_ms) for each in body.secrets)
    return Credential(AppKey(resource.name), body.owner_kind, body.owner, opened)
