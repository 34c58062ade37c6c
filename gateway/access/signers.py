"""Whose keys sign requests: apps by their AppSecrets, devices by their own key; one look-up by the key's name for each snapshot."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA512

from config.model import Device
from core.errors import ConfigError
from gateway.access.jwk import Key, SecretKey, key_of, unpacked
from gateway.identity import Identity, Means
from registry.snapshot import Credential, Snapshot

DEVICE_PREFIX = "device:"
_RSA_BITS = range(2048, 8193)
_PSS = PSS(MGF1(SHA512()), salt_length=64)  # RFC 9421 §3.3.1


class Signer(Protocol):
    """Somebody who can sign. `algorithm` is the one of RFC 9421 §6.2 that the key is for, whatever a signature says."""

    identity: Identity
    algorithm: str

    def signed_until(self, data: bytes, signature: bytes, now: float) -> float:
        """Until when (epoch seconds) the key lives that has made this signature; 0 where none has that lives."""
        ...


class AppSigner:
    """An app with the secrets of its key; while a rotation overlaps, any of them that lives may have signed.

    Raises ConfigError for a secret below 32 bytes, which the registry never makes.
    """

    algorithm = "hmac-sha256"
    __slots__ = ("_secrets", "identity")

    def __init__(self, credential: Credential, means: Means) -> None:
        self.identity = Identity(credential.owner, credential.key, means=means)
        self._secrets = tuple((SecretKey(each.secret.reveal().encode()), each.expires_ms) for each in credential.secrets)

    def signed_until(self, data: bytes, signature: bytes, now: float) -> float:
        """HMAC-SHA256 (RFC 9421 §3.3.3), compared in constant time."""
        for secret, expires_ms in self._secrets:
            if (expires_ms is None or now * 1000 < expires_ms) and secret.is_signed(data, signature):
                return math.inf if expires_ms is None else expires_ms / 1000
        return 0.0


class DeviceSigner:
    """A device with its public key. Raises ConfigError for a JWK that is no such key."""

    __slots__ = ("_key", "algorithm", "identity")

    def __init__(self, name: str, device: Device) -> None:
        self.identity = Identity(device.app, DEVICE_PREFIX + name, means="signature", device=name)
        self.algorithm, self._key = verifying_key(device.key)

    def signed_until(self, data: bytes, signature: bytes, now: float) -> float:
        return math.inf if self._key.is_signed(data, signature) else 0.0


class RsaPssKey:
    """RSASSA-PSS with SHA-512 (RFC 9421 §3.3.1)."""

    __slots__ = ("_public",)

    def __init__(self, public: RSAPublicKey) -> None:
        if public.key_size not in _RSA_BITS:
            raise ConfigError(f"an RSA key of {public.key_size} bits: it needs 2048 to 8192")
        self._public = public

    def is_signed(self, data: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(signature, data, _PSS, SHA512())
        except InvalidSignature:
            return False
        return True


def verifying_key(jwk: Mapping[str, Any]) -> tuple[str, Key | RsaPssKey]:
    """The key with the algorithm it is for. RSA is PSS unless the JWK says `"alg": "RS256"`. Raises ConfigError."""
    kind = jwk.get("kty")
    if kind == "OKP":
        return "ed25519", key_of(jwk, "EdDSA")
    if kind == "EC":
        return "ecdsa-p256-sha256", key_of(jwk, "ES256")
    if kind == "RSA" and jwk.get("alg") == "RS256":
        return "rsa-v1_5-sha256", key_of(jwk, "RS256")
    if kind == "RSA" and jwk.get("alg", "PS512") == "PS512":
        return "rsa-pss-sha512", RsaPssKey(_rsa(jwk))
    raise ConfigError("a device's key is a JWK of Ed25519, EC P-256 or RSA (PS512, or RS256)")


def _rsa(jwk: Mapping[str, Any]) -> RSAPublicKey:
    try:
        exponent, modulus = (int.from_bytes(unpacked(jwk[name].encode("ascii")), "big") for name in ("e", "n"))
        return RSAPublicNumbers(exponent, modulus).public_key()
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"this is no RSA key: {type(error).__name__}") from None


class Signers:
    """The signers of one snapshot by the name of their key, made at their first request: as many as the snapshot has at most."""

    def __init__(self, snapshot: Snapshot, means: Means) -> None:
        self._snapshot = snapshot
        self._means = means
        self._made: dict[str, Signer] = {}

    def find(self, key: str) -> Signer | None:
        """The signer of an AppKey or of `device:<name>`; None where there is none or it is switched off."""
        known = self._made.get(key)
        if known is not None:
            return known
        try:
            made = self._device(key) if key.startswith(DEVICE_PREFIX) else self._app(key)
        except ConfigError:
            return None  # one bad key must not stop the others; `zhiyun apply` is where it is named
        if made is not None:
            self._made[key] = made
        return made

    def _app(self, key: str) -> Signer | None:
        credential = self._snapshot.credentials.get(key)
        if credential is None or credential.owner_kind != "app":
            return None
        return AppSigner(credential, self._means)

    def _device(self, key: str) -> Signer | None:
        name = key.removeprefix(DEVICE_PREFIX)
        device = self._snapshot.platform.devices.get(name)
        if device is None or not device.enabled or self._means != "signature":
            return None
        return DeviceSigner(name, device)
