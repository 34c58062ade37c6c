"""What must hold of the repository as a whole: names, locks, licence, and nothing of one machine in it."""

import ast
import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.source_tree import PACKAGES, ROOT

# Folders that Python code imports by name although they are no packages of the platform itself.
_FOLDERS = ("examples", "benchmarks", "tests", "tools")
_LOCKS = ("runtime", "dev")
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*])?==(?P<version>[^ ;\\]+)")
# Put together here, so that this file passes its own check.
_MACHINE_BOUND = re.compile(
    "|".join(
        (
            r"https?://[^\s\"'<>]*/" + "simple\\b",  # an index of Python packages
            r"^\s*--?(extra-)?" + "(index-url|find-links)",
            "files." + "pythonhosted",
            "registry" + r"\.npmjs",
            "/" + r"work/(main|shared|\.library)",
            "/" + "opt/wheels",
            r"/(root|home/[a-z]+)/" + r"\.pyenv",
        )
    ),
    re.MULTILINE,
)


def _committed_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def _own_packages() -> list[str]:
    return [name for name in PACKAGES if list((ROOT / name).glob("*.py"))]


@pytest.mark.parametrize("name", PACKAGES)
def test_no_installed_distribution_has_a_package_of_our_name(name: str) -> None:
    assert importlib.metadata.packages_distributions().get(name, []) == []


@pytest.mark.parametrize("name", [name for name in _FOLDERS if list((ROOT / name).glob("*.py"))])
def test_our_folder_wins_over_an_installed_one(name: str) -> None:
    # aiomysql's wheel carries `examples` and `docs` as top-level folders; they lose because the checkout comes first.
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert [Path(place) for place in spec.submodule_search_locations or ()] == [ROOT / name]
    assert importlib.import_module(name).__file__ == str(ROOT / name / "__init__.py")


@pytest.mark.parametrize("package", _own_packages())
def test_each_package_says_what_it_is_for(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{package}/__init__.py has no docstring"


def test_each_subfolder_with_code_is_a_package() -> None:
    folders = {path.parent for package in _own_packages() for path in (ROOT / package).rglob("*.py")}
    assert [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def _pins(lock: str) -> dict[str, tuple[str, int]]:
    """Return each pinned package of a lock with its version and how many hashes it has."""
    pins: dict[str, tuple[str, int]] = {}
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            match = _PIN.match(line)
            assert match, f"not pinned to one version: {line[:80]}"
            pins[f"{match['name']}{line.partition(';')[2].partition('--hash')[0]}"] = (
                match["version"],
                line.count("--hash=sha256:"),
            )
    return pins


@pytest.mark.parametrize("lock", _LOCKS)
def test_locks_pin_one_version_with_hashes(lock: str) -> None:
    pins = _pins(lock)
    assert len(pins) > 40
    assert [name for name, (_, hashes) in pins.items() if not hashes] == []


def test_development_lock_holds_every_pin_of_the_runtime_lock() -> None:
    # tools/install.sh relies on it: having installed the one, it does not install the other.
    development = {name: version for name, (version, _) in _pins("dev").items()}
    assert {name: version for name, (version, _) in _pins("runtime").items() if development.get(name) != version} == {}


def test_nothing_of_one_machine_or_registry_is_committed() -> None:
    found = []
    for path in _committed_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or an archive
        found += [f"{path.relative_to(ROOT)}: {match.group().strip()}" for match in _MACHINE_BOUND.finditer(text)]
    assert found == []


def test_licence_is_the_whole_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability" in text
    assert "END OF TERMS AND CONDITIONS" in text


def _launch(launcher: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([launcher, *arguments], cwd="/", capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a command line that tells how it was started, and this Python as its .venv."""
    folder = tmp_path / "check out"
    (folder / "cli").mkdir(parents=True)
    (folder / "cli" / "__init__.py").touch()
    (folder / "cli" / "__main__.py").write_text("import sys, cli\nprint(cli.__file__, sys.argv[1:])\nsys.exit(3)\n")
    (folder / "zhiyun").write_bytes((ROOT / "zhiyun").read_bytes())
    (folder / "zhiyun").chmod(0o755)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    return folder


def test_launcher_finds_its_checkout_through_links(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "zhiyun").symlink_to("../check out/zhiyun")
    (tmp_path / "second").symlink_to(tmp_path / "bin" / "zhiyun")
    finished = _launch(tmp_path / "second", "up", "--data-dir", "two words")
    assert finished.stdout == f"{checkout}/cli/__init__.py ['up', '--data-dir', 'two words']\n", finished.stderr
    assert finished.returncode == 3


def test_launcher_says_what_to_do_without_venv(checkout: Path) -> None:
    (checkout / ".venv" / "bin" / "python").unlink()
    finished = _launch(checkout / "zhiyun")
    assert finished.returncode == 1
    assert finished.stderr == f'zhiyun: {checkout}/.venv is missing: run "make install" first\n'
