"""The last snapshot on disk, sealed as a whole, so that a node starts and serves while the database is down."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from core.adapter import Adapter
from core.errors import ConfigError, Unavailable
from core.stores import Resource
from registry.snapshot import Snapshot, assemble
from registry.vault import Vault

_CONTEXT = "snapshot"


class _Content(Struct, frozen=True):
    revision: int
    resources: tuple[Resource, ...]


class SnapshotFile:
    """One file of one node. Several workers may save at once: each writes a draft of its own, the last rename stays."""

    def __init__(self, path: Path, vault: Vault) -> None:
        self.path = path
        self._vault = vault

    async def save(self, snapshot: Snapshot) -> None:
        """Replace the file, whole and durable, mode 0600. Raises Unavailable where that is not possible."""
        try:
            await asyncio.to_thread(self._save, snapshot)
        except OSError as error:
            raise Unavailable(f"snapshot {self.path}: {error.strerror}; free some space or make the folder writable") from error

    def _save(self, snapshot: Snapshot) -> None:
        content = msgspec.json.encode(_Content(snapshot.revision, snapshot.stored)).decode()
        sealed = self._vault.seal(content, context=_CONTEXT)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)

    async def load(self, adapters: Mapping[str, Adapter]) -> tuple[Snapshot | None, str]:
        """The snapshot, or None and the reason: no file, one that was damaged, or of another master key."""
        return await asyncio.to_thread(self._load, adapters)

    def _load(self, adapters: Mapping[str, Adapter]) -> tuple[Snapshot | None, str]:
        try:
            sealed = self.path.read_text()
            content = msgspec.json.decode(self._vault.open(sealed, context=_CONTEXT), type=_Content)
            return assemble(content.revision, content.resources, self._vault, adapters), ""
        except FileNotFoundError:
            return None, f"there is no snapshot {self.path}: this node has never reached the registry"
        except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
            return None, f"snapshot {self.path} can't be read: {error}"
        except ConfigError as error:
            return None, f"snapshot {self.path}: {error.detail}"
