"""Turns the hot modules (core.compiled) into extension modules under build/compiled; says in one line which build is in use.

Without a C compiler the sources are used as they are. `--require` makes that a failure (the image, the tests).
"""

import argparse
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file by the installer

from core.compiled import FOLDER, MODULES, fingerprint  # noqa: E402

# Annotations are for mypy; C types come from the .pxd files alone, so that no int of Python's is cut to 32 bits by accident.
_CYTHON = ("-3", "-X", "annotation_typing=False", "-X", "binding=True", "-X", "nonecheck=True", "-Werror")
_C_FLAGS = ("-O2", "-fPIC", "-fwrapv", "-fno-strict-aliasing", "-DNDEBUG", "-w", "-s")
_LIMIT_S = 300


class Unable(Exception):
    """Why nothing can be compiled here, in words that end the sentence "pure Python (…)"."""


def compiler() -> list[str]:
    """The command that compiles and links an extension module, without its files."""
    named = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    program = next((path for path in map(shutil.which, (named[0], "cc", "gcc", "clang")) if path), None)
    if program is None:
        raise Unable("no C compiler found")
    include = sysconfig.get_paths()["include"]
    if not (Path(include) / "Python.h").exists():
        raise Unable("Python's C headers are missing; on Debian: apt-get install python3-dev")
    linking = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")[1:]
    return [program, *linking, *_C_FLAGS, f"-I{include}"]


def is_current() -> bool:
    return _text(FOLDER / "fingerprint") == fingerprint() and _text(FOLDER / "recipe") == _recipe()


def build() -> bool:
    """Compile what is not current, if anything. Raises Unable."""
    if is_current():
        return False
    command = compiler()
    with _alone():
        if is_current():
            return False
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "fingerprint").unlink(missing_ok=True)  # first: from here on the sources are used
        _remove_stale()
        print_of_all = fingerprint()
        threads = ThreadPoolExecutor(max_workers=2)
        try:
            list(threads.map(lambda name: _compile(name, command), MODULES))
        finally:
            threads.shutdown(cancel_futures=True)  # after a failure the rest is of no use
        (FOLDER / "made-by").write_text(f"Cython {_cython()}, {_compiler_name(command[0])}", encoding="ascii")
        (FOLDER / "recipe").write_text(_recipe(), encoding="ascii")
        # Last and at once: what is half made is never used.
        (FOLDER / "fingerprint.new").write_text(print_of_all, encoding="ascii")
        (FOLDER / "fingerprint.new").replace(FOLDER / "fingerprint")
    return True


def _remove_stale() -> None:
    """What was compiled from other sources, or is compiled no more."""
    made = [name for name in MODULES if _is_made(name)]
    kept = {*map(_object, made), *map(_stamp, made), FOLDER / "lock"}
    for path in [path for path in FOLDER.rglob("*") if path.is_file() and path not in kept]:
        path.unlink()


def _object(name: str) -> Path:
    return (FOLDER / name).with_suffix(EXTENSION_SUFFIXES[0])


def _stamp(name: str) -> Path:
    return (FOLDER / name).with_suffix(".made-from")


def _is_made(name: str) -> bool:
    return _object(name).exists() and _text(_stamp(name)) == _made_from(name)


def _made_from(name: str) -> str:
    """All that a module's C code comes from: its source, the types of all, the way they are compiled."""
    folders = dict.fromkeys((ROOT / each).parent for each in MODULES)
    types = b"".join(path.read_bytes() for folder in folders for path in sorted(folder.glob("*.pxd")))
    return hashlib.sha256((ROOT / name).read_bytes() + types + _recipe().encode()).hexdigest()


def _compile(name: str, command: list[str]) -> None:
    if _is_made(name):
        return
    made_from = _made_from(name)  # before: a source that changes meanwhile must not pass for what was compiled
    target = _object(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    source = (FOLDER / name).with_suffix(".c")
    _run([sys.executable, "-m", "cython", *_CYTHON, name, "-o", str(source)], name)
    _run([*command, str(source), "-o", str(target)], name)
    source.unlink()
    _stamp(name).write_text(made_from, encoding="ascii")


def _run(command: list[str], name: str) -> None:
    try:
        finished = subprocess.run(  # noqa: S603
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unable(f"{name} did not compile: {error}") from error
    if finished.returncode:
        print((finished.stdout + finished.stderr)[-4000:], file=sys.stderr)
        raise Unable(f"{name} did not compile")


@contextmanager
def _alone() -> Iterator[None]:
    """Two at once (tests in two processes, two installs) would write the same files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _recipe() -> str:
    """Of this file and the compiler of Python; the sources have their own fingerprint."""
    return hashlib.sha256(Path(__file__).read_bytes() + _cython().encode()).hexdigest()


def _cython() -> str:
    try:
        return version("Cython")
    except PackageNotFoundError:
        raise Unable("Cython is not installed") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _compiler_name(program: str) -> str:
    told = subprocess.run([program, "-dumpversion"], capture_output=True, text=True, check=False)  # noqa: S603
    return f"{Path(program).name} {told.stdout.strip()}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/compile.py", description=__doc__)
    parser.add_argument("--require", action="store_true", help="fail where nothing can be compiled")
    parser.add_argument("--quiet", action="store_true", help="say nothing where nothing was to be done")
    options = parser.parse_args(arguments)
    try:
        has_compiled = build()
    except Unable as reason:
        print(f"make install: hot path: pure Python ({reason})")
        return 1 if options.require else 0
    if has_compiled or not options.quiet:
        print(f"make install: hot path: compiled ({_text(FOLDER / 'made-by')})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
