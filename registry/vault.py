"""Secrets at rest: AES-256-GCM under the installation's master key (DESIGN §6), and that key's file.

A sealed secret is text, so that it can stand in a resource, an export or a file: `sealed:v1:<base64url(nonce ‖ ciphertext)>`.
"""

import base64
import binascii
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import ConfigError

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


def parse_master_key(text: str) -> bytes:
    """32 bytes from their base64 form (either alphabet, padding optional). Raises ConfigError, never showing the text."""
    compact = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        key = base64.b64decode(compact + "=" * (-len(compact) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ConfigError("the master key is not base64; expected 32 bytes, made with: openssl rand -base64 32") from error
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"the master key has {len(key)} bytes; expected 32, made with: openssl rand -base64 32")
    return key


def load_or_make_master_key(path: Path) -> bytes:
    """Read the key file, or make it (mode 0600) with a fresh key; of processes that start at once, one makes it.

    Raises ConfigError where the file is readable by everybody, no key, or can't be read or made.
    """
    try:
        if not path.exists():
            _make_key_file(path)
        return _read_key_file(path)
    except OSError as error:
        raise ConfigError(f"master key {path}: {error.strerror}; make the folder writable and the file readable for us") from error


def _read_key_file(path: Path) -> bytes:
    with path.open() as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        # Group access stays allowed: mounted secrets of container platforms are 0440.
        if mode & stat.S_IRWXO:
            raise ConfigError(f"master key {path} is open to every user of this machine (mode {mode:o}); run: chmod 600 {path}")
        text = file.read(1024)
    try:
        return parse_master_key(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.detail}") from error


def _make_key_file(path: Path) -> None:
    """Written whole under another name, then linked: nobody ever reads half a key, and a key that is there is kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        _sync_folder(path.parent)
    finally:
        draft.unlink()


def _sync_folder(folder: Path) -> None:
    """Without this the name of a new file may be lost with the power, and every secret with it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
