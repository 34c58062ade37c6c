"""Secrets at rest: AES-256-GCM under the installation's master key (DESIGN §6). The key's file is config/master_key's subject.

A sealed secret is text, so that it can stand in a resource, an export or a file: `sealed:v1:<base64url(nonce ‖ ciphertext)>`.
"""

import base64
import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import ConfigError
from core.secret import Secret

PREFIX = "sealed:v1:"
_KEY_BYTES = 32
_NONCE_BYTES = 12


def is_sealed(text: object) -> bool:
    """Whether this is a sealed secret of any version."""
    return isinstance(text, str) and text.startswith("sealed:")


class Vault:
    """Seals and opens secrets. `context` says what a secret is for and is authenticated with it: sealed text that was copied
    to a place of another kind does not open there. It should name what survives renaming, such as `source/mysql/password`.
    """

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != _KEY_BYTES:
            raise ConfigError(f"the master key has {len(master_key)} bytes; it must have {_KEY_BYTES}")
        self._cipher = AESGCM(master_key)

    def seal(self, clear: str, *, context: str) -> str:
        """The secret as `sealed:v1:…`, different each time."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, clear.encode(), context.encode())
        return PREFIX + base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *, context: str) -> str:
        """The clear text. Raises ConfigError for another master key, another context, or text that was damaged."""
        if not sealed.startswith(PREFIX):
            raise ConfigError(f"{context}: this is not a secret sealed as {PREFIX}…; enter the secret again")
        try:
            packed = base64.b64decode(sealed.removeprefix(PREFIX), altchars=b"-_", validate=True)
            return self._cipher.decrypt(packed[:_NONCE_BYTES], packed[_NONCE_BYTES:], context.encode()).decode()
        except (InvalidTag, ValueError) as error:  # a bad base64 text and a nonce cut short are ValueErrors
            raise ConfigError(
                f"{context}: the sealed secret does not open with this master key; use the master key of the installation that"
                " sealed it, or enter the secret again"
            ) from error


def vault_under(master_key: Secret) -> Vault:
    """The vault of an installation. The key is text of at least 32 characters; its SHA-256 is the cipher's key."""
    return Vault(hashlib.sha256(master_key.reveal().encode()).digest())
