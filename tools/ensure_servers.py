"""Sees to the real servers that the tests start: installs what is missing on Debian as root, else says what to install."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_SBIN = "/usr/sbin:/usr/local/sbin:/sbin"
_POLICY = Path("/usr/sbin/policy-rc.d")


def _program(name: str) -> bool:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_SBIN}") is not None


def _file(path: str) -> bool:
    return Path(path).exists()


def _library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _php_soap() -> bool:
    php = shutil.which("php")
    if php is None:
        return False
    return "soap" in subprocess.run([php, "-m"], capture_output=True, text=True, check=False).stdout.split()  # noqa: S603


# Debian's package and how to tell that what it brings is there.
CHECKS: dict[str, Callable[[], bool]] = {
    "redis-server": lambda: _program("redis-server"),
    "rabbitmq-server": lambda: _file("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    "mariadb-server": lambda: _program("mariadbd") and _program("mariadb-install-db"),
    "postgresql": lambda: any(Path("/usr/lib/postgresql").glob("*/bin/postgres")),
    "proftpd-core": lambda: _program("proftpd") and _program("ftpasswd"),
    "proftpd-mod-crypto": lambda: _file("/usr/lib/proftpd/mod_tls.so"),
    "openssh-server": lambda: _program("sshd"),
    "php-cli": lambda: _program("php"),
    "php-soap": _php_soap,
    "nginx": lambda: _program("nginx"),
    "gcc": lambda: _program("gcc"),  # the hot path is tested in both builds
    "libc6-dev": lambda: _file("/usr/include/stdlib.h"),
    "unixodbc": lambda: _library("libodbc.so.2"),
}


def missing_packages() -> list[str]:
    """Return Debian's names of the packages whose programs are not there."""
    return [package for package, is_there in CHECKS.items() if not is_there()]


@contextmanager
def _services_kept_from_starting(policy: Path = _POLICY) -> Iterator[None]:
    """Debian starts a service when its package is installed; the tests want the programs, not running services."""
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def _apt_get(*arguments: str) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0", *arguments]
    finished = subprocess.run(  # noqa: S603
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if finished.returncode:
        print(finished.stdout.decode(errors="replace")[-3000:], file=sys.stderr)
    return finished.returncode == 0


def main() -> int:
    """Install or name the missing packages; return 0 when nothing is missing afterwards."""
    missing = missing_packages()
    if not missing:
        return 0
    wanted = " ".join(missing)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"The tests need servers that are not installed. Install: {wanted}", file=sys.stderr)
        print(f"On Debian: sudo apt-get install --no-install-recommends {wanted}", file=sys.stderr)
        return 1
    print(f"Installing for the tests: {wanted}", flush=True)
    with _services_kept_from_starting():
        _apt_get("update")
        _apt_get("install", "-y", "--no-install-recommends", *missing)
    left = missing_packages()
    if left:
        print(f"Still missing after apt-get install: {' '.join(left)}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
