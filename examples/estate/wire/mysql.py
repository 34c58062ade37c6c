"""MySQL's wire protocol (handshake 10, text protocol, without encryption) over a SQLite file."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.estate.wire.catalog import Dialect
from examples.estate.wire.failures import SqlFailure
from examples.estate.wire.mysql_functions import FUNCTIONS
from examples.estate.wire.mysql_packets import (
    AUTOCOMMIT,
    PLUGIN,
    Login,
    MysqlError,
    PacketStream,
    PacketTooLarge,
    ProtocolError,
    auth_switch,
    error,
    greeting,
    is_proof,
    mysql_error,
    new_nonce,
    ok,
    read_login,
)
from examples.estate.wire.mysql_session import MysqlSession
from examples.estate.wire.session import Session

MAX_SESSIONS: Final = 64
_LOGIN_TIMEOUT_S: Final = 30.0
_QUIT: Final = 1


async def serve_mysql(database: Path, *, host: str, port: int, users: Mapping[str, str], schema: str) -> asyncio.Server:
    """Serve the file as the one database `schema` to `users` (name → password); port 0 takes a free one.

    Raises FileNotFoundError without the file.
    """
    if not await asyncio.to_thread(database.is_file):
        raise FileNotFoundError(f"{database}: no such SQLite file to serve over MySQL; generate the estate first")
    service = _Service(database, dict(users), schema)
    return await asyncio.start_server(service.serve, host, port)


class _Refused(Exception):
    def __init__(self, problem: MysqlError) -> None:
        super().__init__(problem.text)
        self.problem = problem


@dataclass(slots=True)
class _Service:
    database: Path
    users: Mapping[str, str]
    schema: str
    sessions: int = 0
    last_id: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it goes, breaks the protocol, or the loop ends."""
        self.sessions += 1
        # Each of these ends this connection only. A cancelled handler returns quietly: asyncio.streams of Python 3.11
        # would otherwise report it as an error of the server.
        quiet = (asyncio.IncompleteReadError, ProtocolError, OSError, TimeoutError, asyncio.CancelledError)
        dialect = Dialect("def", self.schema, is_mysql=True, primary_key="PRIMARY")
        session = Session(self.database, dialect, FUNCTIONS)
        try:
            with suppress(*quiet):
                await self._converse(PacketStream(reader, writer), session)
        finally:
            self.sessions -= 1
            session.close()
            writer.close()

    async def _converse(self, packets: PacketStream, session: Session) -> None:
        try:
            async with asyncio.timeout(_LOGIN_TIMEOUT_S):
                client = await self._log_in(packets, session)
            while (command := await packets.read()) and command[0] != _QUIT:
                await client.answer(command)
        except _Refused as refusal:
            await packets.send(error(refusal.problem))
        except PacketTooLarge:
            words = "Got a packet bigger than 'max_allowed_packet' bytes (16777214)"
            await packets.send(error(MysqlError(1153, "08S01", words)))

    async def _log_in(self, packets: PacketStream, session: Session) -> MysqlSession:
        if self.sessions > MAX_SESSIONS:
            raise _Refused(MysqlError(1040, "08004", f"Too many connections (at most {MAX_SESSIONS})"))
        self.last_id += 1
        nonce = new_nonce()
        await packets.send(greeting(self.last_id, nonce))
        login = read_login(await packets.read())
        proof = login.proof
        if login.plugin != PLUGIN:
            await packets.send(auth_switch(nonce))
            proof = await packets.read()
        self._check(login, proof, nonce)
        try:
            await session.call(session.open)
        except SqlFailure as failure:
            raise _Refused(mysql_error(failure, self.schema)) from failure
        await packets.send(ok(AUTOCOMMIT))
        return MysqlSession(session, packets, login.user, self.last_id)

    def _check(self, login: Login, proof: bytes, nonce: bytes) -> None:
        expected = self.users.get(login.user)
        # An unknown user costs the same time as a wrong password.
        is_same = is_proof(proof, expected or "no such user", nonce)
        if not is_same or expected is None:
            used = "YES" if proof else "NO"
            raise _Refused(MysqlError(1045, "28000", f"Access denied for user '{login.user}' (using password: {used})"))
        if login.database.lower() not in ("", self.schema.lower(), "information_schema"):
            raise _Refused(MysqlError(1049, "42000", f"Unknown database '{login.database}'"))
