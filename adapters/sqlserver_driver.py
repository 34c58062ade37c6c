"""How SQL Server is reached: the settings, the ODBC driver of this machine, the connection string and the open connection."""

import importlib
import importlib.util
import platform
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from core.errors import NotConnected
from core.secret import Secret

REGISTERED_DRIVER = "ODBC Driver 18 for SQL Server"
_DATETIMEOFFSET = -155  # SQL_SS_TIMESTAMPOFFSET, a type of Microsoft's that pyodbc does not know
_FAMILIES = {"alpine": "alpine", "rhel": "rhel", "fedora": "rhel", "centos": "rhel", "suse": "suse", "sles": "suse"}


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a SQL Server source.

    `driver`: `microsoft` (the one that comes with the platform, else the one registered on the system), `freetds`, or the name
    or path of another. `encrypt` asks for TLS; `trust_server_certificate` accepts a certificate that no authority signed.
    """

    host: str
    database: str
    user: str
    password: Secret
    port: Annotated[int, Meta(ge=1, le=65535)] = 1433
    driver: Annotated[str, Meta(min_length=1)] = "microsoft"
    encrypt: bool = True
    trust_server_certificate: bool = False
    connect_timeout_s: Annotated[float, Meta(gt=0, le=300)] = 10.0
    max_connections: Annotated[int, Meta(ge=1, le=64)] = 16


def load_pyodbc() -> Any:
    """The driver module. NotConnected says which system package is missing."""
    try:
        pyodbc: Any = importlib.import_module("pyodbc")
    except ImportError as error:
        if "libodbc" in str(error):
            raise NotConnected(
                "SQL Server needs unixODBC (libodbc.so.2), which this machine lacks: install the Debian package unixodbc"
            ) from error
        raise NotConnected(f"SQL Server needs the Python package pyodbc: {error}") from error
    pyodbc.pooling = False  # ours keeps connections; two pools would hide broken ones
    return pyodbc


def probe(settings: Settings) -> None:
    """Raise NotConnected where nobody listens. Blocks.

    Microsoft's driver asks a port that refuses again and again until its login timeout, and holds its thread so long.
    """
    try:
        socket.create_connection((settings.host, settings.port), timeout=settings.connect_timeout_s).close()
    except OSError as error:
        words = error.strerror or str(error)
        raise NotConnected(f"SQL Server {settings.host}:{settings.port}: {words}; check host, port and firewall") from error


def connection_string(settings: Settings) -> str:
    """ODBC's `key={value};…`; every value from the settings is braced, so that none can add a key of its own."""
    login = {"DATABASE": settings.database, "UID": settings.user, "PWD": settings.password.reveal()}
    if settings.driver == "freetds":
        pairs = {"DRIVER": "FreeTDS", "SERVER": settings.host, "PORT": str(settings.port), **login}
        pairs |= {"TDS_Version": "7.4", "ClientCharset": "UTF-8", "Encryption": "require" if settings.encrypt else "off"}
    else:
        name = microsoft_driver() if settings.driver == "microsoft" else settings.driver
        pairs = {"DRIVER": name, "SERVER": f"{settings.host},{settings.port}", **login, "APP": "Zhiyun"}
        pairs |= {"Encrypt": _yes_no(settings.encrypt), "TrustServerCertificate": _yes_no(settings.trust_server_certificate)}
    return ";".join(f"{key}={braced(value)}" for key, value in pairs.items())


def braced(value: str) -> str:
    """A value in braces, where only `}` is special and is doubled."""
    return "{" + value.replace("}", "}}") + "}"


def _yes_no(flag: bool) -> str:
    return "yes" if flag else "no"


def microsoft_driver() -> str:
    """The path of the library that the package mssql-python-odbc brings for this machine, else the registered name."""
    package = importlib.util.find_spec("mssql_python_odbc")
    for root in package.submodule_search_locations or () if package else ():
        folder = Path(root, "libs", *_platform_folder(), "lib")
        for library in sorted(folder.glob("libmsodbcsql*"), reverse=True):
            return str(library)
    return REGISTERED_DRIVER


def _platform_folder() -> tuple[str, ...]:
    machine = {"aarch64": "arm64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    if platform.system() != "Linux":
        return ("macos", machine)
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return ("linux", distribution_family(release), machine)


def distribution_family(release: Mapping[str, str]) -> str:
    """The folder for a distribution, from its os-release; Debian's for one that is not known."""
    names = f"{release.get('ID', '')} {release.get('ID_LIKE', '')}".replace("opensuse", "suse").split()
    return next((_FAMILIES[name.split("-")[0]] for name in names if name.split("-")[0] in _FAMILIES), "debian_ubuntu")


def offset_text(raw: bytes) -> str:
    """A datetimeoffset (SQL_SS_TIMESTAMPOFFSET_STRUCT) as ISO 8601 with up to seven digits of a second."""
    year, month, day, hour, minute, second, nanoseconds, offset_hours, offset_minutes = struct.unpack("<6hI2h", raw)
    fraction = f".{nanoseconds // 100:07d}".rstrip("0").rstrip(".")
    sign = "-" if offset_hours < 0 or offset_minutes < 0 else "+"
    offset = f"{sign}{abs(offset_hours):02d}:{abs(offset_minutes):02d}"
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}{fraction}{offset}"


class OdbcConnection:
    """An open pyodbc connection that knows the statement under way, so that it can be cancelled from another thread.

    Connects when it is made; raises pyodbc's errors.
    """

    def __init__(self, settings: Settings) -> None:
        pyodbc = load_pyodbc()
        timeout_s = max(1, round(settings.connect_timeout_s))
        self._errors: type[Exception] = pyodbc.Error
        self._connection = pyodbc.connect(connection_string(settings), autocommit=True, timeout=timeout_s)
        self._connection.add_output_converter(_DATETIMEOFFSET, offset_text)
        self._current: Any = None
        self._ending = threading.Lock()  # a handle must not be freed while it is cancelled

    def cursor(self) -> Any:
        self._current = self._connection.cursor()
        return self._current

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor whose work is committed where the block ends well, else rolled back."""
        self._connection.autocommit = False
        try:
            yield self.cursor()
            self._connection.commit()
        except BaseException:
            with suppress(self._errors):  # of a connection that is gone the server rolls back by itself
                self._connection.rollback()
            raise
        finally:
            with suppress(self._errors):
                self._connection.autocommit = True

    def interrupt(self) -> None:
        """Cancel the statement under way (SQLCancel, which ODBC allows from any thread)."""
        with self._ending:
            current = self._current
            if current is not None:
                with suppress(self._errors):  # it may have ended by itself in this moment
                    current.cancel()

    def close(self) -> None:
        with self._ending, suppress(self._errors):
            self._current = None
            self._connection.close()
