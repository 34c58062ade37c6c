"""MySQL's SQL to SQLite: what drivers, the command-line client and a careful adapter send.

What is not understood goes on as it is, so that SQLite refuses it and the client reads an honest syntax error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from examples.estate.wire.failures import Fault, SqlFailure
from examples.estate.wire.lexer import MYSQL, Kind, Token, closing, lex, quoted_string, split_statements, tokenize, write
from examples.estate.wire.mysql_functions import ALIASES, BARE_CLOCKS, CAST_TYPES, CLOCKS
from examples.estate.wire.statement import Statement, Verb, main_verb, typed_call
from examples.estate.wire.typed_literals import type_literals

_DATA_VERBS = {**{"SELECT": Verb.QUERY, "INSERT": Verb.WRITE, "UPDATE": Verb.WRITE, "DELETE": Verb.WRITE, "REPLACE": Verb.WRITE}}
_SCHEMA_VERBS = frozenset({"CREATE", "DROP", "ALTER"})
_SCHEMA_OBJECTS = frozenset({"TABLE", "INDEX", "VIEW", "UNIQUE"})
_OPERATORS = {"<=>": "IS", "&&": "AND", "||": "OR", "!": "NOT"}
_INTRODUCERS = frozenset({"_UTF8MB4", "_UTF8", "_UTF8MB3", "_LATIN1", "_ASCII", "_GBK"})
_BEFORE_TABLE = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "EXISTS", "REPLACE", "IGNORE"})
_ITEM_ENDS = frozenset({"", ",", "FROM", "LIMIT"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What a statement may ask of its session: system variables (lower case), `NAME()` values, schema, date columns."""

    variables: Mapping[str, str | int]
    functions: Mapping[str, str | int | None]
    schema: str
    temporal: Mapping[str, str] = field(default_factory=dict)


def parse(text: str) -> list[Token]:
    """Return the tokens of the one statement in `text`, none for comments alone; raise SqlFailure for several."""
    statements = split_statements(tokenize(text, MYSQL))
    if len(statements) > 1:
        raise SqlFailure(Fault.SYNTAX, near=statements[1][0].text)
    return statements[0] if statements else []


def translate(tokens: Sequence[Token], facts: Facts) -> Statement:
    """Return the statement for SQLite; raise SqlFailure when it is outside the subset in a way SQLite cannot tell."""
    if not tokens:
        return Statement(Verb.NOTHING)
    first = tokens[0].word
    if first in _CONTROL:
        return _CONTROL[first](tokens)
    if first in ("SHOW", "DESCRIBE", "DESC", "EXPLAIN"):
        return _show(tokens, facts)
    if first == "TRUNCATE" and len(tokens) > 1:
        tokens = [*lex("DELETE FROM"), tokens[-1]]
    if first in _SCHEMA_VERBS and len(tokens) > 1 and tokens[1].word in _SCHEMA_OBJECTS:
        return Statement(Verb.WRITE, write(_without_options(_Rewriter(tokens, facts).all())))
    verb = _DATA_VERBS.get(main_verb(tokens))
    if verb is None:
        raise SqlFailure(Fault.SYNTAX, near=tokens[0].text)
    rewriter = _Rewriter(tokens, facts)
    done = type_literals(_with_into(rewriter.all()), facts.temporal)
    return Statement(verb, write(done), tuple(done), locks=rewriter.locks)


def _with_into(tokens: list[Token]) -> list[Token]:
    if tokens[0].word in ("INSERT", "REPLACE") and len(tokens) > 1 and tokens[1].word not in ("INTO", "OR"):
        return [tokens[0], *lex("INTO"), *tokens[1:]]
    return tokens


def _without_options(tokens: list[Token]) -> list[Token]:
    """CREATE TABLE t (…) ENGINE=…: what follows the columns means nothing here."""
    opening = next((i for i, token in enumerate(tokens) if token.word == "("), None)
    is_table = tokens[0].word == "CREATE" and tokens[1].word == "TABLE"
    return tokens if opening is None or not is_table else tokens[: closing(tokens, opening) + 1]


def _start(tokens: Sequence[Token]) -> Statement:
    return Statement(Verb.BEGIN, name="SNAPSHOT" if tokens[-1].word == "SNAPSHOT" else "")


def _rollback(tokens: Sequence[Token]) -> Statement:
    if any(token.word == "TO" for token in tokens):
        return Statement(Verb.SAVEPOINT, write([*lex("ROLLBACK TO"), tokens[-1]]))
    return Statement(Verb.ROLLBACK)


def _set(tokens: Sequence[Token]) -> Statement:
    text = "".join(token.text.lower() for token in tokens[1:])
    for scope in ("@@session.", "@@", "session"):
        text = text.removeprefix(scope)
    if text.startswith("autocommit="):
        return Statement(Verb.IMPLICIT_OFF if text.split("=")[1] in ("1", "on", "true") else Verb.IMPLICIT_ON)
    return Statement(Verb.NOTHING)


_CONTROL: Mapping[str, Callable[[Sequence[Token]], Statement]] = {
    "BEGIN": _start,
    "START": _start,
    "COMMIT": lambda tokens: Statement(Verb.COMMIT),
    "ROLLBACK": _rollback,
    "SAVEPOINT": lambda tokens: Statement(Verb.SAVEPOINT, write(tokens)),
    "RELEASE": lambda tokens: Statement(Verb.SAVEPOINT, write(tokens)),
    "SET": _set,
    "USE": lambda tokens: Statement(Verb.USE, name=tokens[-1].text),
}


def _show(tokens: Sequence[Token], facts: Facts) -> Statement:
    words = [token.word for token in tokens if token.word not in ("FULL", "SESSION", "GLOBAL")]
    if words[0] != "SHOW":
        return _query(_columns_sql(tokens[1].text if len(tokens) == 2 else ""))
    what = words[1] if len(words) > 1 else ""
    pattern = tokens[-1].text if tokens[-1].kind is Kind.STRING else "%"
    if what in ("COLUMNS", "FIELDS"):
        index = next((i for i, token in enumerate(tokens) if token.word in ("FROM", "IN")), -1)
        return _query(_columns_sql(tokens[index + 1].text if 0 <= index < len(tokens) - 1 else ""))
    if what == "TABLES":
        listing = "SELECT TABLE_NAME AS [Tables_in_{}] FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME LIKE {}"
        return _query(listing.format(facts.schema, quoted_string(pattern)))
    if what in ("DATABASES", "SCHEMAS"):
        return _query("SELECT SCHEMA_NAME AS [Database] FROM INFORMATION_SCHEMA.SCHEMATA")
    if what == "VARIABLES":
        pairs = ", ".join(f"({quoted_string(k)}, {quoted_string(str(v))})" for k, v in facts.variables.items())
        return _query(
            f"SELECT column1 AS Variable_name, column2 AS Value FROM (VALUES {pairs})"  # noqa: S608 - quoted
            f" WHERE column1 LIKE {quoted_string(pattern)}"
        )
    if what == "WARNINGS":
        return _query("SELECT '' AS Level, 0 AS Code, '' AS Message WHERE 0")
    raise SqlFailure(Fault.SYNTAX, near=tokens[-1].text)


_COLUMNS = (
    "SELECT COLUMN_NAME AS Field, COLUMN_TYPE AS Type, IS_NULLABLE AS [Null], COLUMN_KEY AS [Key],"
    " COLUMN_DEFAULT AS [Default], EXTRA AS Extra FROM INFORMATION_SCHEMA.COLUMNS"
    " WHERE TABLE_NAME = {} COLLATE NOCASE ORDER BY ORDINAL_POSITION"
)


def _columns_sql(table: str) -> str:
    return _COLUMNS.format(quoted_string(table))


def _query(sql: str) -> Statement:
    return Statement(Verb.QUERY, sql, tuple(lex(sql)))


class _Rewriter:
    """Walks the tokens of one statement once."""

    def __init__(self, tokens: Sequence[Token], facts: Facts) -> None:
        self.locks = False
        self._tokens = tokens
        self._facts = facts
        self._out: list[Token] = []
        self._at = 0
        self._is_upsert = False

    def all(self) -> list[Token]:
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.kind is Kind.VARIABLE:
                self._emit_fact(self._variable(token), token.text, 1)
            elif token.is_name and self._is_schema_prefix(token):
                self._at += 2
            elif token.word in _OPERATORS:
                self._emit(lex(_OPERATORS[token.word]), 1)
            elif not (token.kind is Kind.WORD and self._keyword(token.word)):
                self._emit([token], 1)
        return self._out

    def _word(self, ahead: int) -> str:
        index = self._at + ahead
        return self._tokens[index].word if 0 <= index < len(self._tokens) else ""

    def _words(self, count: int) -> list[str]:
        return [self._word(ahead) for ahead in range(count)]

    def _emit(self, tokens: Sequence[Token], consumed: int) -> None:
        self._out += tokens
        self._at += consumed

    def _emit_fact(self, value: str | int | None, name: str, consumed: int) -> None:
        """A value known here; as a whole item of a SELECT list it keeps the name that MySQL gives it."""
        literal = Token(Kind.WORD, "NULL") if value is None else Token(Kind.STRING, str(value))
        if isinstance(value, int):
            literal = Token(Kind.NUMBER, str(value))
        self._emit_item([literal], name, consumed)

    def _emit_item(self, tokens: list[Token], name: str, consumed: int) -> None:
        is_item = self._word(-1) in ("SELECT", ",") and self._word(consumed) in _ITEM_ENDS
        is_behind_from = any(token.word == "FROM" for token in self._tokens[: self._at])
        if is_item and self._tokens[0].word == "SELECT" and not is_behind_from:
            tokens = [*tokens, Token(Kind.WORD, "AS"), Token(Kind.NAME, name)]
        self._emit(tokens, consumed)

    def _variable(self, token: Token) -> str | int:
        name = token.text[2:].lower().removeprefix("session.").removeprefix("global.").removeprefix("local.")
        value = self._facts.variables.get(name)
        if value is None:
            raise SqlFailure(Fault.UNDECLARED, near=name)
        return value

    def _is_schema_prefix(self, token: Token) -> bool:
        if token.text.lower() != self._facts.schema.lower() or self._word(1) != "." or self._word(-1) == ".":
            return False
        return self._word(-1) in _BEFORE_TABLE or self._word(3) == "."

    def _keyword(self, word: str) -> bool:
        """Rewrite at a keyword or function; return whether something was."""
        handler = _KEYWORDS.get(word)
        if handler is not None and handler(self):
            return True
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else None
        if following is not None and following.kind is Kind.STRING and (word in _INTRODUCERS or word == "_BINARY"):
            self._emit([_introduced(word, following)], 2)
            return True
        if self._word(1) != "(":
            return word in BARE_CLOCKS and self._clock(word, "0", 1)
        return self._call(word)

    def _call(self, word: str) -> bool:
        if self._word(2) == ")" and word in self._facts.functions:
            self._emit_fact(self._facts.functions[word], f"{self._tokens[self._at].text}()", 3)
            return True
        if word in CLOCKS and self._word(2) == ")":
            return self._clock(word, "0", 3)
        if word in CLOCKS and self._word(3) == ")":
            return self._clock(word, self._tokens[self._at + 2].text, 4)
        if word == "VALUES" and self._is_upsert and self._word(3) == ")":
            self._emit([*lex("excluded."), self._tokens[self._at + 2]], 4)
            return True
        if word in ALIASES:
            self._emit(lex(ALIASES[word]), 1)
            return True
        return False

    def _clock(self, word: str, digits: str, consumed: int) -> bool:
        if not digits.isdigit() or len(digits) > 1:
            return False
        kind = CLOCKS[word]
        seconds = "%S" if digits == "0" else "%f"
        inner = lex(f"strftime('%Y-%m-%d %H:%M:{seconds}', 'now')")
        name = "".join(token.text for token in self._tokens[self._at : self._at + consumed])
        typed = typed_call("cast_declared", inner, kind if kind == "date" else f"{kind}({digits})")
        self._emit_item(typed, name, consumed)
        return True

    def _insert(self) -> bool:
        if self._word(1) != "IGNORE":
            return False
        self._emit(lex("INSERT OR IGNORE"), 2)
        return True

    def _on(self) -> bool:
        """ON DUPLICATE KEY UPDATE: SQLite's clause without a target takes any key."""
        if self._words(4) != ["ON", "DUPLICATE", "KEY", "UPDATE"]:
            return False
        self._is_upsert = True
        self._emit(lex("ON CONFLICT DO UPDATE SET"), 4)
        return True

    def _for(self) -> bool:
        if self._word(1) not in ("UPDATE", "SHARE"):
            return False
        self.locks |= self._word(1) == "UPDATE"
        self._at = len(self._tokens)
        return True

    def _lock(self) -> bool:
        if self._words(4) != ["LOCK", "IN", "SHARE", "MODE"]:
            return False
        self._at += 4
        return True

    def _collate(self) -> bool:
        self._at += 2
        return True

    def _cast(self) -> bool:
        if self._word(1) != "(":
            return False
        end = closing(self._tokens, self._at + 1)
        inner = self._tokens[self._at + 2 : end]
        cut = max((i for i, token in enumerate(inner) if token.word == "AS"), default=0)
        text = "".join(token.text for token in inner[cut + 1 :]).lower()
        if not cut or not text:
            raise SqlFailure(Fault.SYNTAX, near="CAST")
        declaration = CAST_TYPES.get(text) or text.replace("datetime(", "datetime2(")
        value = _Rewriter(inner[:cut], self._facts).all()
        self._emit(typed_call("cast_declared", value, declaration), end + 1 - self._at)
        return True


def _introduced(word: str, literal: Token) -> Token:
    if word != "_BINARY":
        return literal
    return Token(Kind.BINARY, literal.text.encode("utf-8", "surrogateescape").hex())


_KEYWORDS: Mapping[str, Callable[[_Rewriter], bool]] = {
    "INSERT": _Rewriter._insert,
    "ON": _Rewriter._on,
    "FOR": _Rewriter._for,
    "LOCK": _Rewriter._lock,
    "COLLATE": _Rewriter._collate,
    "CAST": _Rewriter._cast,
}
