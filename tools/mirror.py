"""Refuses a test file that mirrors no module: tests/<package>/test_<module>.py stands for <package>/<module>.py.

A module in a sub-folder is tested under its own name or its path joined by underscores: gateway/channel/frame.py by
tests/gateway/test_frame.py, tests/gateway/test_channel_frame.py or tests/gateway/channel/test_frame.py.
"""

import sys
from pathlib import Path

from tools.source_tree import ROOT, python_files

# Folders of tests that belong to no single module: protocol suites, whole nodes, the runnable examples, the servers.
UNMIRRORED = frozenset({"conformance", "system", "examples", "benchmarks", "servers", "docs", "deploy"})


def _names(package: Path) -> set[str]:
    """Return each name under which a module of `package`, or a sub-package as a whole, may be tested."""
    names: set[str] = set()
    for path in python_files(package):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        names.update("_".join(parts[start:]) for start in range(len(parts)))
    names.update(path.stem for path in package.glob("*.sh"))
    return names


def unmatched(root: Path) -> list[Path]:
    """Return the test files of `root`/tests that mirror no module, relative to `root`."""
    found = []
    for path in python_files(root / "tests"):
        package, *folders = path.relative_to(root / "tests").parts[:-1] or ("",)
        if not path.name.startswith("test_") or package in UNMIRRORED or not package:
            continue
        name = path.stem.removeprefix("test_")
        source = root / package
        # A folder below tests/<package> either mirrors a sub-package or only sorts the tests.
        candidates = {name, "_".join([*folders, name])}
        if not (source.is_dir() and candidates & _names(source)):
            found.append(path.relative_to(root))
    return found


def main() -> int:
    """Print the test files that mirror no module; return 1 when there are any."""
    for path in (found := unmatched(ROOT)):
        print(f"{path}:1: mirrors no module: name it after the module it tests, or move it to tests/system/")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
