"""How a fuzz target begins: it is named on the command line, with a folder for its corpus."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path


def begun(targets: Iterable[str], seeds: Callable[[str], Iterable[bytes]]) -> tuple[str, Path] | None:
    """The target and its folder, the seeds in it. None where no target was named: then all names are printed."""
    if len(sys.argv) < 3:
        print("\n".join(targets))
        return None
    target, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (folder / f"seed-{number}").write_bytes(seed)
    return target, folder
