"""aioftp's client with what it lacks: explicit FTPS that does not hang, data connections that are always closed, our errors.

Knows nothing of datasets or cursors. Imports aioftp on first use only.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Literal

from core.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    NotConnected,
    NotFound,
    PlatformError,
    Unauthenticated,
    Unavailable,
)
from core.secret import Secret

Stage = Literal["connect", "work"]


@dataclass(frozen=True, slots=True)
class Account:
    """Where and as whom. `ca_file` is a PEM file of what to trust; the system's authorities by default."""

    host: str
    port: int
    user: str
    password: Secret
    is_tls: bool
    ca_file: str | None
    encoding: str
    connect_timeout_s: float
    timeout_s: float

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"


@cache
def _client_type() -> Any:
    """The client's class, made on first use because its parent is a driver."""
    import aioftp
    from aioftp.client import DataConnectionThrottleStreamIO
    from aioftp.common import SSLSessionBoundContext, async_enterable

    class Client(aioftp.Client):  # type: ignore[misc]  # the driver is not typed here
        data_writer: asyncio.StreamWriter | None = None

        async def _open_connection(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            # aioftp would start TLS on a data connection here, but a server answers it only after STOR, RETR or LIST.
            async with asyncio.timeout(self.connection_timeout):
                return await asyncio.open_connection(host, port)

        @async_enterable  # type: ignore[untyped-decorator]
        async def get_stream(self, command: str, *codes: Any, conn_type: str = "I", offset: int = 0) -> Any:
            reader, writer = await self.get_passive_connection(conn_type)
            self.data_writer = writer
            try:
                if offset:
                    await self.command(f"REST {offset}", "350")
                await self.command(command, *codes)
                stream = DataConnectionThrottleStreamIO(
                    self, reader, writer, throttles={"_": self.throttle}, timeout=self.socket_timeout
                )
                control: ssl.SSLObject | None = self.stream.writer.get_extra_info("ssl_object")
                if control is not None:
                    # The control connection's session again: some servers take it as proof that both ends are the same client.
                    again = SSLSessionBoundContext(ssl.PROTOCOL_TLS_CLIENT, context=control.context, session=control.session)
                    await stream.start_tls(again, self.server_host)
            except BaseException:
                writer.transport.abort()
                raise
            return stream

    return Client


@asynccontextmanager
async def session(account: Account) -> AsyncIterator[Any]:
    """A logged-in aioftp client, whose sockets are gone at the end. Its methods are to be called inside `translated`."""
    client = _client_type()(
        socket_timeout=account.timeout_s,
        connection_timeout=account.connect_timeout_s,
        encoding=account.encoding,
        parse_list_line_custom=_total_line,
    )
    try:
        with translated(account, "connect"):
            await client.connect(account.host, account.port)
            if account.is_tls:
                await _start_tls(client, account)
        with translated(account, "work"):
            await client.login(account.user, account.password.reveal())
        yield client
        with suppress(OSError, ValueError, _status_error()):  # politeness alone: what was to be done is done
            async with asyncio.timeout(1):
                await client.command("QUIT", "2xx")
    finally:
        hang_up(client)


def hang_up(client: Any) -> None:
    """Close both connections at once, whatever they are doing."""
    if client.data_writer is not None:
        client.data_writer.transport.abort()
    with suppress(ConnectionError):  # never connected
        client.stream.writer.transport.abort()


async def _start_tls(client: Any, account: Account) -> None:
    try:
        trust = ssl.create_default_context(cafile=account.ca_file)
    except OSError as error:
        raise NotConnected(f"{account.where}: the file of trusted certificates can't be read: {account.ca_file}") from error
    try:
        await client.upgrade_to_tls(trust)
    except _status_error() as error:
        raise NotConnected(f"{account.where}: the server offers no explicit TLS ({_said(error)}); see the setting `tls`") from error


def _status_error() -> Any:
    import aioftp

    return aioftp.StatusCodeError


def _said(error: Any) -> str:
    text = " ".join(error.info) if isinstance(error.info, list) else str(error.info)
    words = "".join(letter if letter.isprintable() else " " for letter in text)[:200].strip(" -")
    return f"{error.received_codes[-1]} {words}"


def _total_line(line: bytes) -> tuple[PurePosixPath, dict[str, str]]:
    """`total 12` stands at the head of many servers' LIST; aioftp passes over an entry named `.`."""
    if line.lower().startswith(b"total "):
        return PurePosixPath("."), {"type": "cdir"}
    raise ValueError("not a total line")


def _refused(account: Account, error: Any, what: str) -> PlatformError:
    """RFC 959 §4.2: 4yz passes by itself, 5yz doesn't. 550 stands for a missing file and for a forbidden one alike."""
    said = _said(error)
    code = str(error.received_codes[-1])
    place = f"{account.where}{': ' if what else ''}{what}: {said}"
    if code in ("430", "530"):
        return Unauthenticated(f"{account.where}: the login is refused: {said.replace(account.password.reveal() or chr(0), '***')}")
    if code in ("532", "553") or (code == "550" and ("denied" in said.lower() or "not permitted" in said.lower())):
        return Forbidden(place)
    return NotFound(place) if code == "550" else Unavailable(place)


@contextmanager
def translated(account: Account, stage: Stage, what: str = "") -> Iterator[None]:
    """aioftp's and the system's errors as ours; `what` names the file or folder at work."""
    try:
        yield
    except _status_error() as error:
        if stage == "connect":
            raise NotConnected(f"{account.where}: the server refuses the connection: {_said(error)}") from error
        raise _refused(account, error, what) from error
    except ssl.SSLCertVerificationError as error:
        raise NotConnected(f"{account.where}: its certificate is not trusted: {error.verify_message}; see `ca_file`") from error
    except TimeoutError as error:
        if stage == "connect":
            raise NotConnected(f"{account.where}: no connection within {account.connect_timeout_s:g} s") from error
        raise DeadlineExceeded(f"{account.where}: {what or 'the server'}: nothing came for {account.timeout_s:g} s") from error
    except OSError as error:
        words = error.strerror or type(error).__name__
        if stage == "connect":
            raise NotConnected(f"{account.where}: can't connect: {words}") from error
        raise Unavailable(f"{account.where}: {what or 'the session'}: broke off: {words}") from error
    except (ValueError, LookupError) as error:
        if isinstance(error, LookupError) and "encoding" in str(error):
            raise InvalidInput(f"{account.where}: unknown encoding {account.encoding!r}") from error
        raise Unavailable(f"{account.where}: {what}: the server answers what is not FTP: {str(error)[:150]!r}") from error
