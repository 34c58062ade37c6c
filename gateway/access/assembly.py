"""All means of one snapshot, and the stages that try them. What the process keeps from one snapshot to the next is handed in."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from config.model import App, Device, Issuer, Proxy
from core.cache import Replays
from gateway.access.api_key import ApiKey
from gateway.access.bearer import ENTRIES, Bearer, Proofs, Revocations, Verified
from gateway.access.ca import CaMeans
from gateway.access.certificate import ClientCertificate
from gateway.access.key_sets import KeySets
from gateway.access.memo import Memo
from gateway.access.signature import SignatureMeans
from gateway.access.sources import AppTokens, KeyFinder, token_sources
from gateway.identity import Means as Kind
from gateway.means import Means
from gateway.stages.authenticate import Authenticate
from gateway.tokens import Tokens
from registry.snapshot import Credential, Snapshot


class _Basis(NamedTuple):
    """All that a verified token rests on, besides time and revocations."""

    issuer: str
    keys: Mapping[str, Ed25519PublicKey]
    credentials: Mapping[str, Credential]
    apps: Mapping[str, App]
    proxies: Mapping[str, Proxy]
    devices: Mapping[str, Device]
    issuers: Mapping[str, Issuer]


class TokenMemory:
    """Verified tokens outlive a reload that changes nothing they rest on: a new route costs no signature checks."""

    def __init__(self) -> None:
        self._basis: _Basis | None = None
        self._memo: Memo[Verified] = Memo(ENTRIES)

    def of(self, snapshot: Snapshot, issuer: str) -> Memo[Verified]:
        platform = snapshot.platform
        held: tuple[Any, ...] = (platform.apps, platform.proxies, platform.devices, platform.issuers)
        basis = _Basis(issuer, snapshot.verification_keys, snapshot.credentials, *held)
        if basis != self._basis:
            self._basis, self._memo = basis, Memo(ENTRIES)
        return self._memo


@dataclass(frozen=True, slots=True)
class AccessParts:
    """One for the process. `now` is the wall clock in epoch seconds."""

    key_sets: KeySets
    proofs: Proofs
    replays: Replays
    revocations: Revocations
    memory: TokenMemory = field(default_factory=TokenMemory)
    now: Callable[[], float] = time.time


def bearer_of(snapshot: Snapshot, tokens: Tokens, keys: Mapping[str, KeyFinder], parts: AccessParts) -> Bearer:
    """`keys` by the issuer's name."""
    return Bearer(
        token_sources(snapshot.platform, tokens, keys),
        AppTokens(snapshot.credentials),
        proofs=parts.proofs,
        revocations=parts.revocations,
        now=parts.now,
        memo=parts.memory.of(snapshot, tokens.issuer),
    )


class Authentication:
    """The means of one snapshot. Make it in the event loop: key sets of issuers are followed from then on."""

    def __init__(self, snapshot: Snapshot, tokens: Tokens, parts: AccessParts) -> None:
        keys = parts.key_sets.reload(snapshot.platform.issuers)
        self.means: dict[Kind, Means] = {
            "bearer": bearer_of(snapshot, tokens, keys, parts),
            "key": ApiKey(snapshot.credentials, now=parts.now),
            "signature": SignatureMeans(snapshot, parts.replays, parts.now),
            "ca": CaMeans(snapshot, parts.replays, parts.now),
            "certificate": ClientCertificate(snapshot.platform.apps, now=parts.now),
        }
        self._stages: dict[tuple[Kind, ...], Authenticate] = {}

    def stage(self, kinds: Sequence[Kind]) -> Authenticate:
        """For a route that takes these means, in its order; one for all routes that take the same."""
        wanted = tuple(dict.fromkeys(kinds))
        if wanted not in self._stages:
            self._stages[wanted] = Authenticate([self.means[kind] for kind in wanted])
        return self._stages[wanted]
