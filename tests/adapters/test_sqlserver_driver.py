"""The connection string, the choice of the driver, and the value that pyodbc does not know."""

import builtins
import importlib
import struct
from pathlib import Path
from typing import Any

import pytest

from adapters.sqlserver_driver import (
    REGISTERED_DRIVER,
    Settings,
    braced,
    connection_string,
    distribution_family,
    load_pyodbc,
    microsoft_driver,
    offset_text,
)
from core.errors import NotConnected
from core.secret import Secret


def settings(**more: Any) -> Settings:
    return Settings(**{"host": "db", "database": "Sales", "user": "u", "password": Secret("p;PWD=x}y"), **more})


def test_no_value_can_add_a_key_of_its_own() -> None:
    assert braced("a;b{c}d") == "{a;b{c}}d}"
    assert ";PWD={p;PWD=x}}y};" in connection_string(settings())


def test_tls_is_asked_for_unless_the_settings_say_otherwise() -> None:
    assert connection_string(settings()).endswith("Encrypt={yes};TrustServerCertificate={no}")
    assert "Encrypt={no}" in connection_string(settings(encrypt=False))
    assert "Encryption={off}" in connection_string(settings(driver="freetds", encrypt=False))


def test_freetds_and_other_drivers_are_taken_by_name() -> None:
    text = connection_string(settings(driver="freetds", port=1444))
    assert text.startswith("DRIVER={FreeTDS};SERVER={db};PORT={1444};")
    assert "TDS_Version={7.4}" in text
    assert connection_string(settings(driver="/opt/my driver.so")).startswith("DRIVER={/opt/my driver.so};SERVER={db,1433};")


def test_microsofts_driver_is_the_library_of_this_machine_or_the_registered_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Path(microsoft_driver()).is_file()
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert microsoft_driver() == REGISTERED_DRIVER


@pytest.mark.parametrize(
    ("release", "family"),
    [
        ({"ID": "debian"}, "debian_ubuntu"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "rhel"),
        ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "suse"),
        ({"ID": "alpine"}, "alpine"),
        ({}, "debian_ubuntu"),
    ],
)
def test_the_folder_of_a_distribution(release: dict[str, str], family: str) -> None:
    assert distribution_family(release) == family


def test_a_missing_unixodbc_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> Any:
        raise ImportError("libodbc.so.2: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(importlib, "import_module", fails)
    with pytest.raises(NotConnected, match="Debian package unixodbc"):
        load_pyodbc()


def test_the_password_is_shown_by_no_print_of_the_settings() -> None:
    assert "PWD" not in repr(settings())
    assert "p;PWD" not in builtins.str(settings())


def test_a_datetimeoffset_is_iso_text() -> None:
    assert offset_text(struct.pack("<6hI2h", 2024, 5, 10, 8, 30, 0, 123_456_700, 8, 0)) == "2024-05-10T08:30:00.1234567+08:00"
    assert offset_text(struct.pack("<6hI2h", 2024, 5, 10, 8, 30, 0, 0, -3, -30)) == "2024-05-10T08:30:00-03:30"
    assert offset_text(struct.pack("<6hI2h", 2024, 5, 10, 8, 30, 0, 0, 0, -30)) == "2024-05-10T08:30:00-00:30"
