"""One TDS client after its login: batches, procedure calls and transaction requests, answered in tokens."""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from examples.estate.wire.failures import Fault, SqlFailure
from examples.estate.wire.lexer import TSQL, Kind, Token, tokenize
from examples.estate.wire.moments import Value
from examples.estate.wire.session import Rows, Session
from examples.estate.wire.statement import Statement, Verb
from examples.estate.wire.tds_catalog import datatype_info
from examples.estate.wire.tds_columns import RowEncoder, metadata
from examples.estate.wire.tds_packets import Message, MessageType, ProtocolError, ReplyWriter
from examples.estate.wire.tds_parameters import Call, Parameter, headers_length, read_calls, utf16
from examples.estate.wire.tds_tokens import (
    ATTENTION,
    COUNT,
    DONE,
    DONE_IN_PROC,
    DONE_PROC,
    ENV_BEGIN,
    ENV_COMMIT,
    ENV_DATABASE,
    ENV_RESET,
    ENV_ROLLBACK,
    ERROR,
    MORE,
    SERVER_NAME,
    ServerError,
    done,
    environment,
    error,
    return_integer,
    return_status,
    server_error,
    short_text,
)
from examples.estate.wire.tsql import Facts, split_batch, translate

_SELECT, _WRITE = 0xC1, 0xC3
_TM_BEGIN, _TM_COMMIT, _TM_ROLLBACK = 5, 7, 8
_TRANSACTION_ID: Final = b"\x08" + struct.pack("<Q", 1)
_ISOLATIONS: Final = {2: "READ COMMITTED", 3: "REPEATABLE READ", 4: "SERIALIZABLE", 5: "SNAPSHOT"}
_MAX_PREPARED: Final = 1000
VERSION_TEXT: Final = "Microsoft SQL Server 2022 wire protocol (sample estate, SQLite behind it)"


class TdsSession:
    """Answers the messages of one client, one at a time."""

    def __init__(self, session: Session, reply: ReplyWriter, user: str, spid: int) -> None:
        self._session = session
        self._reply = reply
        self._user = user
        self._spid = spid
        self._prepared: dict[int, tuple[str, list[tuple[str, str]]]] = {}
        self._last_handle = 0
        self._rows_affected = 0
        self._is_interrupted = False

    def interrupt(self) -> None:
        """An attention has come in: stop what runs, so that it can be acknowledged."""
        self._is_interrupted = True
        self._session.interrupt()

    async def answer(self, message: Message) -> None:
        """Answer one message; raise ProtocolError when it is none."""
        if message.resets:
            await self._session.call(self._session.reset)
            self._prepared.clear()
            await self._reply.write(environment(ENV_RESET, b"\0"))
        if message.type == MessageType.BATCH:
            body = message.body[headers_length(message.body) :]
            await self._batch(utf16(body))
        elif message.type == MessageType.RPC:
            await self._calls(list(read_calls(message.body)))
        elif message.type == MessageType.TRANSACTION:
            await self._transaction(message.body)
        elif message.type == MessageType.ATTENTION:
            self._is_interrupted = False
            await self._reply.write(done(DONE, ATTENTION))
        else:
            raise ProtocolError(f"a message of type {message.type} after the login")
        await self._reply.finish()

    async def _batch(self, text: str) -> None:
        try:
            statements = split_batch(text)
            for position, tokens in enumerate(statements, start=1):
                more = MORE if position < len(statements) else 0
                await self._statement(tokens, {}, {}, DONE, more)
            if not statements:
                await self._reply.write(done(DONE))
        except SqlFailure as failure:
            await self._reply.write(error(server_error(failure)) + done(DONE, ERROR))

    async def _calls(self, calls: Sequence[Call]) -> None:
        for position, call in enumerate(calls, start=1):
            more = MORE if position < len(calls) else 0
            try:
                tail = await self._call(call)
                await self._reply.write(return_status() + tail + done(DONE_PROC, more, 0, 0xE0))
            except SqlFailure as failure:
                words = error(server_error(failure))
                await self._reply.write(words + return_status(1) + done(DONE_PROC, more | ERROR, 0, 0xE0))
            except _NoProcedure as missing:
                words = error(ServerError(2812, 16, f"Could not find stored procedure '{missing}'."))
                await self._reply.write(words + done(DONE_PROC, more | ERROR, 0, 0xE0))

    async def _call(self, call: Call) -> bytes:
        """Run one procedure; return the tokens that follow its status: the handle of a prepared statement."""
        name, given = call.procedure, call.parameters
        if name == "sp_executesql":
            definitions = _definitions(_text(given, 1)) if len(given) > 1 else []
            await self._run(_text(given, 0), definitions, given[2:])
        elif name in ("sp_prepexec", "sp_prepare"):
            self._prepared.pop(_handle(given), None)  # a handle given here is the one to replace
            handle = self._prepare(_text(given, 2), _definitions(_text(given, 1)))
            if name == "sp_prepexec":
                await self._run(*self._prepared[handle], given[3:])
            return return_integer(handle)
        elif name == "sp_execute":
            await self._run(*self._prepared_of(given), given[1:])
        elif name == "sp_unprepare":
            self._prepared_of(given)
            self._prepared.pop(_handle(given))
        elif name == "sp_reset_connection":
            await self._session.call(self._session.reset)
        elif name in ("sp_datatype_info", "sp_datatype_info_100"):
            await self._run(datatype_info(_handle(given)), [], ())
        else:
            raise _NoProcedure(name)
        return b""

    def _prepare(self, text: str, definitions: list[tuple[str, str]]) -> int:
        if len(self._prepared) >= _MAX_PREPARED:
            raise SqlFailure(Fault.OTHER, detail=f"a session prepares at most {_MAX_PREPARED} statements; unprepare some")
        self._last_handle += 1
        self._prepared[self._last_handle] = text, definitions
        return self._last_handle

    def _prepared_of(self, given: Sequence[Parameter]) -> tuple[str, list[tuple[str, str]]]:
        found = self._prepared.get(_handle(given))
        if found is None:
            raise SqlFailure(Fault.OTHER, detail=f"Could not find prepared statement with handle {_handle(given)}.")
        return found

    async def _run(self, text: str, definitions: list[tuple[str, str]], given: Sequence[Parameter]) -> None:
        if len(given) > len(definitions):
            raise SqlFailure(Fault.OTHER, detail=f"{len(given)} arguments for {len(definitions)} parameters")
        values: dict[str, Value] = {}
        for position, parameter in enumerate(given):
            values[parameter.name or definitions[position][0]] = parameter.value
        for tokens in split_batch(text):
            await self._statement(tokens, values, dict(definitions), DONE_IN_PROC, MORE)

    async def _statement(
        self,
        tokens: Sequence[Token],
        values: Mapping[str, Value],
        types: Mapping[str, str],
        done_token: int,
        more: int,
    ) -> None:
        was_open = self._session.depth > 0
        verb = Verb.ROLLBACK
        try:
            statement, outcome = await self._session.call(self._execute, tokens, values, types)
            verb = statement.verb
        finally:
            await self._reply.write(self._transaction_change(was_open, verb))
        if statement.verb is Verb.USE:
            name = short_text(self._session.dialect.catalog)
            await self._reply.write(environment(ENV_DATABASE, name, name))
        if isinstance(outcome, Rows):
            await self._rows(outcome, done_token, more)
        elif outcome is not None:
            self._rows_affected = outcome
            await self._reply.write(done(done_token, more | COUNT, outcome, _WRITE))
        else:
            await self._reply.write(done(done_token, more))

    def _execute(
        self, tokens: Sequence[Token], values: Mapping[str, Value], types: Mapping[str, str]
    ) -> tuple[Statement, Rows | int | None]:
        """Runs in the session's thread."""
        statement = translate(tokens, self._facts())
        if statement.verb is Verb.USE and statement.name.lower() not in (self._session.dialect.catalog.lower(), "master"):
            raise SqlFailure(Fault.OTHER, detail=f"Database '{statement.name}' does not exist.")
        return statement, self._session.run(statement, values, types)

    def _facts(self) -> Facts:
        session = self._session
        catalog = session.dialect.catalog
        values: dict[str, str | int] = {
            "@@ROWCOUNT": self._rows_affected,
            "@@TRANCOUNT": session.depth,
            "@@VERSION": VERSION_TEXT,
            "@@SERVERNAME": SERVER_NAME,
            "@@SPID": self._spid,
            "@@ERROR": 0,
            "@@LANGUAGE": "us_english",
            "@@MAX_PRECISION": 38,
            "DB_NAME()": catalog,
            "SCHEMA_NAME()": "dbo",
            "SUSER_SNAME()": self._user,
            "SUSER_NAME()": self._user,
            "ORIGINAL_LOGIN()": self._user,
            "USER_NAME()": self._user,
        }
        return Facts(values, catalog, session.temporal_columns())

    def _transaction_change(self, was_open: bool, verb: Verb) -> bytes:
        is_open = self._session.depth > 0
        if is_open == was_open:
            return b""
        if is_open:
            return environment(ENV_BEGIN, _TRANSACTION_ID)
        return environment(ENV_COMMIT if verb is Verb.COMMIT else ENV_ROLLBACK, b"\0", _TRANSACTION_ID)

    async def _rows(self, rows: Rows, done_token: int, more: int) -> None:
        encoder = RowEncoder(rows.columns)
        count = 0
        await self._reply.write(metadata(rows.columns))
        try:
            while not self._is_interrupted:
                size, data = await self._session.call(_encoded_piece, rows, encoder)
                if not size:
                    break
                count += size
                await self._reply.write(data)
        except SqlFailure as failure:
            if failure.fault is not Fault.CANCELLED:
                raise
        finally:
            await self._session.call(rows.close)
        self._rows_affected = count
        await self._reply.write(done(done_token, more | COUNT, count, _SELECT))

    async def _transaction(self, body: bytes) -> None:
        """Transaction manager requests ([MS-TDS] 2.2.6.9)."""
        at = headers_length(body)
        if len(body) < at + 3:
            raise ProtocolError("a transaction request without its type")
        request, argument = struct.unpack_from("<HB", body, at)
        verbs = {_TM_BEGIN: Verb.BEGIN, _TM_COMMIT: Verb.COMMIT, _TM_ROLLBACK: Verb.ROLLBACK}
        verb = verbs.get(request)
        if verb is None:
            words = ServerError(8501, 16, f"Transaction request {request} is not supported: no distributed transactions.")
            await self._reply.write(error(words) + done(DONE, ERROR))
            return
        if verb is Verb.BEGIN and argument in _ISOLATIONS:
            self._session.isolation = _ISOLATIONS[argument]
        was_open = self._session.depth > 0
        try:
            await self._session.call(self._session.run, Statement(verb), {}, {})
            await self._reply.write(self._transaction_change(was_open, verb) + done(DONE))
        except SqlFailure as failure:
            await self._reply.write(error(server_error(failure)) + done(DONE, ERROR))


class _NoProcedure(Exception):
    """A procedure that this server does not have."""


def _encoded_piece(rows: Rows, encoder: RowEncoder) -> tuple[int, bytes]:
    piece = rows.piece()
    return len(piece), encoder.encode(piece) if piece else b""


def _text(given: Sequence[Parameter], index: int) -> str:
    value = given[index].value if index < len(given) else None
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SqlFailure(Fault.OTHER, detail=f"argument {index + 1} of the procedure is no text")
    return value


def _handle(given: Sequence[Parameter]) -> int:
    value = given[0].value if given else None
    return value if isinstance(value, int) else 0


def _definitions(text: str) -> list[tuple[str, str]]:
    """Return lower-case names and declarations of `@P1 nvarchar(20), @P2 datetime2(7) OUTPUT`."""
    found: list[tuple[str, str]] = []
    depth = 0
    for token in tokenize(text, TSQL):
        depth += {"(": 1, ")": -1}.get(token.word, 0)
        if token.kind is Kind.PARAMETER and depth == 0:
            found.append((token.text.lower(), ""))
        elif found and not (depth == 0 and token.word in (",", "OUTPUT", "OUT", "AS")):
            found[-1] = found[-1][0], found[-1][1] + token.text.lower()
    return found
