"""Where the repository's own Python files are; shared by the checks, reads nothing but names."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = (
    "core",
    "config",
    "adapters",
    "registry",
    "cache",
    "storage",
    "bus",
    "exchange",
    "gateway",
    "console",
    "server",
    "cli",
    "customer",
    "insight",
)


def python_files(folder: Path) -> Iterator[Path]:
    """Yield the Python files below `folder` in the order of their names."""
    yield from sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
