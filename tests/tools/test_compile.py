"""What the compiler of the hot path says, and that nothing stale or half made is ever used. Each in a checkout of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.compiled import MODULES
from tools.compile import build
from tools.source_tree import ROOT

_PURE = "make install: hot path: pure Python"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of the repository as is compiled."""
    wire = Path("gateway/http1")
    shutil.copytree(ROOT / wire, tmp_path / wire, ignore=shutil.ignore_patterns("__pycache__"))
    folders = {(ROOT / name).parent for name in MODULES if Path(name).parent != wire}
    types = [path.relative_to(ROOT) for folder in folders for path in (*folder.glob("*.pxd"), folder / "__init__.py")]
    alone = ("core/__init__.py", "core/compiled.py", "tools/compile.py", *MODULES)
    for name in (*map(Path, alone), *types):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def compiled(checkout: Path, *options: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/compile.py", *options]
    return subprocess.run(command, cwd=checkout, env={"PATH": path}, capture_output=True, text=True, check=False)


def build_in_use(checkout: Path, **environment: str) -> str:
    command = [sys.executable, "-c", "import gateway.http1 as wire; print(wire.BUILD)"]
    found = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    return found.stdout.strip()


def test_without_a_c_compiler_the_sources_are_used_and_one_line_says_so(checkout: Path) -> None:
    finished = compiled(checkout, path="/nonexistent")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, f"{_PURE} (no C compiler found)\n", "")
    assert build_in_use(checkout) == "pure Python"


def test_an_image_is_not_made_without_a_c_compiler(checkout: Path) -> None:
    assert compiled(checkout, "--require", path="/nonexistent").returncode == 1


@pytest.mark.servers
@pytest.mark.timeout(600)
def test_what_does_not_compile_is_named_and_nothing_of_it_is_used(checkout: Path) -> None:
    with (checkout / "gateway" / "http1" / "_scanner.pyx").open("a") as source:
        source.write("\ncdef int broken(:\n")
    finished = compiled(checkout)
    assert (finished.returncode, finished.stdout) == (0, f"{_PURE} (gateway/http1/_scanner.pyx did not compile)\n")
    assert "_scanner.pyx" in finished.stderr
    assert build_in_use(checkout) == "pure Python"


@pytest.mark.servers
@pytest.mark.timeout(600)
def test_what_was_compiled_is_used_until_a_source_changes(checkout: Path) -> None:
    build()
    shutil.copytree(ROOT / "build" / "compiled", checkout / "build" / "compiled")
    assert compiled(checkout, "--quiet").stdout == ""  # it is current: nothing to do, nothing to say
    assert compiled(checkout, "--require").stdout.startswith("make install: hot path: compiled (Cython 3.")
    assert build_in_use(checkout) == "compiled"
    assert build_in_use(checkout, ZHIYUN_PURE="1") == "pure Python"
    with (checkout / "gateway" / "http1" / "fields.py").open("a") as source:
        source.write("# changed\n")
    assert build_in_use(checkout) == "pure Python"
