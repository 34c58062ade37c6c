"""The key under which the registry seals secrets: given by a setting, or a file in the data folder made at first start."""

import base64
import os
import stat
import tempfile
from pathlib import Path

import msgspec

from config.settings import Settings
from core.errors import ConfigError
from core.secret import Secret

FILE = "master.key"
KEY_BYTES = 32


def with_master_key(settings: Settings) -> Settings:
    """The settings with their master key: the given one, or the content of `data_dir/master.key`, which is made if missing.

    The file holds 32 random bytes as base64 in one line, readable by its owner only. Processes that start at once agree on one
    key. Raises ConfigError where the file can't be made, read, or is not whole.
    """
    if settings.master_key is not None:
        return settings
    path = settings.data_dir / FILE
    try:
        if not path.exists():
            _make(path)
        with path.open(encoding="ascii") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(1024).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"master key {path}: {error}; set master_key, or make the data folder writable") from error
    # Group access stays allowed: mounted secrets of container platforms are 0440.
    if mode & stat.S_IRWXO:
        raise ConfigError(f"master key {path} is open to every user of this machine (mode {mode:o}); run: chmod 600 {path}")
    if len(text) < KEY_BYTES:
        raise ConfigError(f"master key {path} is shorter than {KEY_BYTES} characters; restore it from your backup")
    return msgspec.structs.replace(settings, master_key=Secret(text))


def _make(path: Path) -> None:
    """Write beside and link: the file appears whole or not at all, and the first process wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{FILE}.", dir=path.parent)  # readable by its owner only
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return  # another process was first
    finally:
        draft.unlink(missing_ok=True)
