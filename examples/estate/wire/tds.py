"""SQL Server's wire protocol (TDS 7.4, without encryption) over a SQLite file: accept, log in, answer until the end.

Clients set `Encrypt=no`. The database's name is the file's stem.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from examples.estate.wire.catalog import Dialect
from examples.estate.wire.failures import SqlFailure
from examples.estate.wire.session import Session
from examples.estate.wire.tds_login import Login, is_welcome, read_login
from examples.estate.wire.tds_packets import (
    DEFAULT_PACKET_BYTES,
    AttentionReader,
    MessageType,
    ProtocolError,
    ReplyWriter,
    read_message,
)
from examples.estate.wire.tds_session import TdsSession
from examples.estate.wire.tds_tokens import (
    COLLATION,
    DONE,
    ENV_COLLATION,
    ENV_DATABASE,
    ENV_PACKET_SIZE,
    ERROR,
    ServerError,
    done,
    environment,
    error,
    login_acknowledgement,
    prelogin_reply,
    server_error,
    short_text,
)
from examples.estate.wire.tsql_functions import FUNCTIONS

MAX_SESSIONS: Final = 64
_LOGIN_TIMEOUT_S: Final = 30.0


async def serve_tds(database: Path, *, host: str, port: int, users: Mapping[str, str]) -> asyncio.Server:
    """Serve the file to `users` (name → password); port 0 takes a free one. Raises FileNotFoundError without the file."""
    if not await asyncio.to_thread(database.is_file):
        raise FileNotFoundError(f"{database}: no such SQLite file to serve over TDS; generate the estate first")
    service = _Service(database, dict(users))
    return await asyncio.get_running_loop().create_server(service.connection, host, port)


@dataclass(slots=True)
class _Service:
    database: Path
    users: Mapping[str, str]
    sessions: int = 0
    last_spid: int = field(default=50)

    def connection(self) -> asyncio.StreamReaderProtocol:
        """Make the protocol of one connection."""
        connection = _Connection(self)
        reader = AttentionReader(connection.interrupt)
        return asyncio.StreamReaderProtocol(reader, connection.serve)


class _Refused(Exception):
    def __init__(self, problem: ServerError) -> None:
        super().__init__(problem.text)
        self.problem = problem


class _Connection:
    def __init__(self, service: _Service) -> None:
        self._service = service
        self._session: Session | None = None
        self._tds: TdsSession | None = None

    def interrupt(self) -> None:
        """Pass an attention on."""
        if self._tds is not None:
            self._tds.interrupt()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it goes, breaks the protocol, or the loop ends."""
        self._service.sessions += 1
        # Each of these ends this connection only. A cancelled handler returns quietly: asyncio.streams of Python 3.11
        # would otherwise report it as an error of the server.
        quiet = (asyncio.IncompleteReadError, ProtocolError, OSError, TimeoutError, asyncio.CancelledError)
        try:
            with suppress(*quiet):
                await self._converse(reader, ReplyWriter(writer))
        finally:
            self._service.sessions -= 1
            if self._session is not None:
                self._session.close()
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, reply: ReplyWriter) -> None:
        try:
            async with asyncio.timeout(_LOGIN_TIMEOUT_S):
                session = await self._log_in(reader, reply)
        except _Refused as refusal:
            await reply.write(error(refusal.problem) + done(DONE, ERROR))
            await reply.finish()
            return
        while True:
            await session.answer(await read_message(reader))

    async def _log_in(self, reader: asyncio.StreamReader, reply: ReplyWriter) -> TdsSession:
        message = await read_message(reader)
        if message.type == MessageType.PRELOGIN:
            await reply.write(prelogin_reply())
            await reply.finish()
            message = await read_message(reader)
        if message.type != MessageType.LOGIN:
            raise ProtocolError(f"a message of type {message.type} before the login")
        login = read_login(message.body)
        self._check(login)
        session = await self._open(login)
        await reply.write(_welcome(session.dialect.catalog, login.packet_bytes))
        await reply.finish()
        reply.packet_bytes = login.packet_bytes
        self._service.last_spid += 1
        self._tds = TdsSession(session, reply, login.user, self._service.last_spid)
        return self._tds

    def _check(self, login: Login) -> None:
        if not is_welcome(login, self._service.users):
            raise _Refused(ServerError(18456, 14, f"Login failed for user '{login.user}'."))
        if self._service.sessions > MAX_SESSIONS:
            text = f"Could not connect because the maximum number of '{MAX_SESSIONS}' user connections has been reached."
            raise _Refused(ServerError(17809, 20, text))
        if login.database.lower() not in ("", "master", self._service.database.stem.lower()):
            text = f'Cannot open database "{login.database}" requested by the login. The login failed.'
            raise _Refused(ServerError(4060, 11, text))

    async def _open(self, login: Login) -> Session:
        dialect = Dialect(self._service.database.stem, "dbo", is_mysql=False, primary_key="PK_{table}")
        session = Session(self._service.database, dialect, FUNCTIONS)
        self._session = session
        try:
            await session.call(session.open)
        except SqlFailure as failure:
            raise _Refused(server_error(failure)) from failure
        return session


def _welcome(catalog: str, packet_bytes: int) -> bytes:
    size, before = short_text(str(packet_bytes)), short_text(str(DEFAULT_PACKET_BYTES))
    return (
        environment(ENV_DATABASE, short_text(catalog), short_text("master"))
        + environment(ENV_COLLATION, bytes([len(COLLATION)]) + COLLATION)
        + login_acknowledgement()
        + environment(ENV_PACKET_SIZE, size, before)
        + done(DONE)
    )
