"""What on this machine would keep a node from starting: checked without a node, changing nothing."""

import os
import socket
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from ctypes.util import find_library
from pathlib import Path

from cli.findings import Finding
from config.address import Address
from config.settings import load_settings
from core.errors import PlatformError

_PYTHON = (3, 11)
_CONFIG = Path("zhiyun.yaml")


def machine(data_dir: Path) -> list[Finding]:
    """All checks; those that need the settings are left out where these are wrong."""
    found = [_python(), _odbc()]
    try:
        settings = load_settings(_CONFIG if _CONFIG.is_file() else None, os.environ, {"data_dir": data_dir})
    except PlatformError as error:
        return [*found, Finding("settings", False, error.detail.replace("\n", "; "))]
    found.append(Finding("settings", True, f"{_CONFIG} and environment are valid"))
    found += [_folder(data_dir), _master_key(data_dir, is_given=settings.master_key is not None)]
    found += [_port("--http", settings.http), _port("--channel", settings.channel), _port("--console", settings.console)]
    return [*found, *_databases(data_dir)]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    is_ok = sys.version_info >= _PYTHON
    return Finding("Python", is_ok, version if is_ok else f"{version} is too old: install 3.11 or newer")


def _odbc() -> Finding:
    """A node runs without it; only SQL Server sources need it."""
    if find_library("odbc"):
        return Finding("unixODBC", True, "installed")
    return Finding("unixODBC", True, "not installed: needed for SQL Server sources only (Debian: apt-get install unixodbc)")


def _folder(data_dir: Path) -> Finding:
    existing = next(path for path in (data_dir.absolute(), *data_dir.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding("data folder", False, f"{data_dir} can't be written: choose another with --data-dir, or change {existing}")
    return Finding("data folder", True, f"{data_dir} {'is writable' if data_dir.exists() else 'can be made'}")


def _master_key(data_dir: Path, *, is_given: bool) -> Finding:
    path = data_dir / "master.key"
    if is_given:
        return Finding("master key", True, "given by the settings")
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except FileNotFoundError:
        has_data = (data_dir / "platform.db").exists()
        text = f"{path} is missing while platform.db is there: restore it from your backup" if has_data else "made at first start"
        return Finding("master key", not has_data, text)
    except OSError as error:
        return Finding("master key", False, f"{path}: {error.strerror}: make it readable for this user")
    is_private = not mode & stat.S_IRWXO
    return Finding("master key", is_private, f"{path} is readable" if is_private else f"open to everybody: chmod 600 {path}")


def _port(option: str, address: Address) -> Finding:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            return Finding(
                f"port {address.port}", False, f"{address}: {error.strerror}: stop who has it, or choose another {option}"
            )
    return Finding(f"port {address.port}", True, f"{address} is free for {option}")


def _databases(data_dir: Path) -> Iterator[Finding]:
    """PRAGMA quick_check on each file, opened read-only."""
    for path in sorted(data_dir.glob("*.db")):
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                result = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.Error as error:
            result = str(error)
        is_ok = result == "ok"
        yield Finding(path.name, is_ok, "intact" if is_ok else f"damaged ({result}): restore it from your backup")
