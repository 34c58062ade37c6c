"""One MySQL client after its login: commands answered with OK, ERR or a result set."""

from typing import Final

from examples.estate.wire.failures import SqlFailure
from examples.estate.wire.mysql_columns import RowEncoder, definition
from examples.estate.wire.mysql_dialect import Facts, parse, translate
from examples.estate.wire.mysql_packets import (
    AUTOCOMMIT,
    IN_TRANSACTION,
    MAX_PACKET_BYTES,
    SERVER_VERSION,
    MysqlError,
    PacketStream,
    eof,
    error,
    length_encoded_integer,
    mysql_error,
    ok,
)
from examples.estate.wire.session import Rows, Session
from examples.estate.wire.statement import Statement, Verb

_INIT_DB, _QUERY, _PING, _SET_OPTION, _RESET = 0x02, 0x03, 0x0E, 0x1B, 0x1F

_VARIABLES: Final[dict[str, str | int]] = {
    "version": SERVER_VERSION,
    "version_comment": "Zhiyun sample estate, SQLite behind it",
    "max_allowed_packet": MAX_PACKET_BYTES,
    "sql_mode": "STRICT_TRANS_TABLES",
    "lower_case_table_names": 1,
    "time_zone": "SYSTEM",
    "system_time_zone": "UTC",
    "tx_isolation": "READ-COMMITTED",
    "transaction_isolation": "READ-COMMITTED",
    "auto_increment_increment": 1,
    "wait_timeout": 28800,
    "interactive_timeout": 28800,
    "net_write_timeout": 60,
    "init_connect": "",
    "license": "Apache-2.0",
    "log_bin": 0,
    "binlog_format": "ROW",
    **dict.fromkeys(
        (
            "character_set_client",
            "character_set_connection",
            "character_set_database",
            "character_set_results",
            "character_set_server",
        ),
        "utf8mb4",
    ),
    **dict.fromkeys(("collation_connection", "collation_database", "collation_server"), "utf8mb4_general_ci"),
}


class MysqlSession:
    """Answers the commands of one client, one at a time."""

    def __init__(self, session: Session, packets: PacketStream, user: str, connection_id: int) -> None:
        self._session = session
        self._packets = packets
        self._user = user
        self._connection_id = connection_id
        self._row_count = -1

    async def answer(self, command: bytes) -> None:
        """Answer one command; the connection goes on after an error."""
        code, argument = command[0], command[1:]
        try:
            if code == _QUERY:
                await self._query(argument)
            elif code == _INIT_DB:
                self._check_schema(argument.decode("utf-8", "replace"))
                await self._packets.send(ok(self._status))
            elif code == _PING:
                await self._packets.send(ok(self._status))
            elif code == _SET_OPTION:
                await self._packets.send(eof(self._status))
            elif code == _RESET:
                await self._session.call(self._session.reset)
                await self._packets.send(ok(self._status))
            else:
                await self._packets.send(error(MysqlError(1047, "08S01", f"Unknown command 0x{code:02x}")))
        except SqlFailure as failure:
            await self._packets.send(error(mysql_error(failure, self._session.dialect.schema)))
        except _UnknownDatabase as unknown:
            await self._packets.send(error(MysqlError(1049, "42000", f"Unknown database '{unknown}'")))

    @property
    def _status(self) -> int:
        return (0 if self._session.is_implicit else AUTOCOMMIT) | (IN_TRANSACTION if self._session.depth else 0)

    def _check_schema(self, name: str) -> None:
        if name.lower() not in (self._session.dialect.schema.lower(), "information_schema"):
            raise _UnknownDatabase(name)

    async def _query(self, text: bytes) -> None:
        outcome = await self._session.call(self._execute, text.decode("utf-8", "surrogateescape"))
        if isinstance(outcome, Rows):
            await self._rows(outcome)
            return
        affected, last_id = outcome
        await self._packets.send(ok(self._status, affected, last_id))

    def _execute(self, text: str) -> Rows | tuple[int, int]:
        """Runs in the session's thread."""
        session = self._session
        statement = translate(parse(text), self._facts())
        if statement.verb is Verb.USE:
            self._check_schema(statement.name)
        self._end_before(statement)
        outcome = session.run(statement, {}, {})
        if statement.verb is Verb.BEGIN and statement.name == "SNAPSHOT":
            session.connection.execute("BEGIN")
            session.connection.execute("SELECT count(*) FROM main.sqlite_master").fetchone()
        if isinstance(outcome, Rows):
            return outcome
        self._row_count = outcome or 0
        is_insert = statement.tokens[:1] and statement.tokens[0].word in ("INSERT", "REPLACE")
        return self._row_count, self._last_id() if is_insert and outcome else 0

    def _end_before(self, statement: Statement) -> None:
        """BEGIN and SET autocommit = 1 commit what is open."""
        if statement.verb in (Verb.BEGIN, Verb.IMPLICIT_OFF) and self._session.depth:
            self._session.commit()

    def _last_id(self) -> int:
        return max(int(self._session.connection.execute("SELECT last_insert_rowid()").fetchone()[0]), 0)

    def _facts(self) -> Facts:
        schema = self._session.dialect.schema
        user = f"{self._user}@localhost"
        functions: dict[str, str | int | None] = {
            "VERSION": SERVER_VERSION,
            "DATABASE": schema,
            "SCHEMA": schema,
            "USER": user,
            "CURRENT_USER": user,
            "SESSION_USER": user,
            "CONNECTION_ID": self._connection_id,
            "ROW_COUNT": self._row_count,
        }
        variables = {**_VARIABLES, "autocommit": 0 if self._session.is_implicit else 1}
        return Facts(variables, functions, schema, self._session.temporal_columns())

    async def _rows(self, rows: Rows) -> None:
        encoder = RowEncoder(rows.columns)
        schema = self._session.dialect.schema
        self._row_count = -1
        heads = [definition(column, schema) for column in rows.columns]
        try:
            await self._packets.send(length_encoded_integer(len(heads)), *heads, eof(self._status))
            while payloads := await self._session.call(_encoded_piece, rows, encoder):
                await self._packets.send(*payloads)
        finally:
            await self._session.call(rows.close)
        await self._packets.send(eof(self._status))


class _UnknownDatabase(Exception):
    """A database other than the one served."""


def _encoded_piece(rows: Rows, encoder: RowEncoder) -> list[bytes]:
    piece = rows.piece()
    return encoder.encode(piece) if piece else []
