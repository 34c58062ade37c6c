"""Which build of the hot modules this process runs: those under `build/compiled` while they match the sources, else the sources.

`tools/compile.py` makes them. A package that has some puts their folder before its own: `use(__name__, __path__)`.
"""

import hashlib
import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "compiled"
_WIRE = (
    *("_scanner.pyx", "message.py", "target.py", "head.py", "chunked.py", "answer.py", "engine.py", "outbound.py", "passage.py"),
    *("carried.py", "exchange.py", "inbound.py", "forward.py"),
)
MODULES = (
    *(f"gateway/http1/{name}" for name in _WIRE),
    *("gateway/clock.pyx", "gateway/_json_line.pyx", "gateway/router.py", "gateway/record.py", "gateway/access_log.py"),
    *("gateway/tracing.py", "gateway/pipe.py", "gateway/identity.py", "gateway/limits.py"),
    *("gateway/access/bearer.py", "gateway/upstream/retries.py"),
    *("gateway/stages/authenticate.py", "gateway/stages/authorise.py", "gateway/stages/limit.py"),
    *("gateway/upstream/endpoints.py", "gateway/upstream/balance.py", "gateway/upstream/upstream.py"),
    *("cache/limiter_memory.py", "adapters/mysql_rows.py"),
)
"""What is compiled. A module may be typed by the .pxd beside it."""


def fingerprint(root: Path = ROOT) -> str:
    """Of all sources that matter and of this Python: what was compiled from or for others is never used."""
    digest = hashlib.sha256(repr((EXTENSION_SUFFIXES[0], MODULES)).encode())
    folders = dict.fromkeys((root / name).parent for name in MODULES)
    types = [path for folder in folders for path in folder.glob("*.pxd")]
    wire = [path for path in (root / "gateway" / "http1").iterdir() if path.suffix in (".py", ".pyx")]
    for path in sorted({*types, *wire, *(root / name for name in MODULES)}):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _is_current() -> bool:
    if os.environ.get("ZHIYUN_PURE") == "1":
        return False
    try:
        return (FOLDER / "fingerprint").read_text(encoding="ascii").strip() == fingerprint()
    except OSError:
        return False


_in_use = _is_current()
BUILD = "compiled" if _in_use else "pure Python"
"""Which build of the hot path this process runs."""


def use(package: str, path: list[str]) -> None:
    """To be called by a package that has compiled modules, with its `__name__` and `__path__`."""
    if _in_use:
        path.insert(0, str(FOLDER / package.replace(".", "/")))
