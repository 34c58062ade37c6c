"""Runs import-linter with the contracts of .importlinter, cut down to the packages that exist so far."""

import configparser
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.source_tree import ROOT

_TOP = "importlinter"


def _exists(root: Path, module: str) -> bool:
    path = root.joinpath(*module.split("."))
    return (path / "__init__.py").exists() or path.with_suffix(".py").exists()


def _existing_siblings(root: Path, layer: str, separator: str) -> str:
    kept = [name.strip() for name in layer.split(separator) if _exists(root, name.strip().strip("()"))]
    return f" {separator} ".join(kept)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _cut(root: Path, section: configparser.SectionProxy, own: set[str]) -> None:
    for key in ("root_packages", "source_modules", "forbidden_modules", "modules", "layers"):
        if key not in section:
            continue
        kept = []
        for line in _lines(section[key]):
            if line.split(".")[0] not in own and key == "forbidden_modules":
                kept.append(line)  # somebody else's package
                continue
            kept.append(_existing_siblings(root, line, "|" if "|" in line else ":"))
        section[key] = "\n" + "\n".join(line for line in kept if line)


def existing_contracts(root: Path) -> configparser.ConfigParser:
    """Return the contracts of `root`/.importlinter without the modules that don't exist, and without empty contracts."""
    settings = configparser.ConfigParser()
    settings.read_string((root / ".importlinter").read_text(encoding="utf-8"))
    own = set(_lines(settings[_TOP]["root_packages"]))
    for name in settings.sections():
        _cut(root, settings[name], own)
        subject = settings[name].get("source_modules", settings[name].get("layers", "x"))
        if not subject.strip():
            settings.remove_section(name)
    return settings


def main() -> int:
    """Check the imports; return import-linter's status."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "contracts"
        with config.open("w", encoding="utf-8") as file:
            existing_contracts(ROOT).write(file)
        program = Path(sys.executable).with_name("lint-imports")
        finished = subprocess.run(  # noqa: S603  # our own tool on our own settings
            [program, "--config", config, "--cache-dir", ROOT / ".import_linter_cache"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    if finished.returncode:
        print(finished.stdout, finished.stderr, sep="")
    return finished.returncode


if __name__ == "__main__":
    sys.exit(main())
