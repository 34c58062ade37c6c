"""HTTP/1.1: bytes ↔ messages, strictly (RFC 9112). Knows connections and framing; decides nothing about who may do what.

The modules here are the hot path. `tools/compile.py` turns them into extension modules under `build/compiled`; they are used
while they match these sources, else the sources themselves are: same verdicts, byte for byte, only slower.
"""

import hashlib
import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

_SOURCES = Path(__file__).parent


def fingerprint(folder: Path = _SOURCES) -> str:
    """Of all sources and of this Python: what was compiled from or for others is never used."""
    digest = hashlib.sha256(EXTENSION_SUFFIXES[0].encode())
    for path in sorted(folder.iterdir()):
        if path.suffix in {".py", ".pyx", ".pxd"}:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _compiled() -> Path | None:
    folder = _SOURCES.parents[1] / "build" / "compiled" / "gateway" / "http1"
    if os.environ.get("ZHIYUN_PURE") == "1":
        return None
    try:
        is_current = (folder / "fingerprint").read_text(encoding="ascii").strip() == fingerprint()
    except OSError:
        return None
    return folder if is_current else None


_folder = _compiled()
if _folder is not None:
    __path__.insert(0, str(_folder))
BUILD = "compiled" if _folder is not None else "pure Python"
"""Which build of the hot path this process runs."""
