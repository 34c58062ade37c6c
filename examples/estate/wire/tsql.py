"""T-SQL to SQLite: the part of the language that a careful adapter sends.

What is not understood goes on as it is, so that SQLite refuses it and the client reads an honest syntax error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from examples.estate.wire.failures import Fault, SqlFailure
from examples.estate.wire.lexer import TSQL, Kind, Token, closing, lex, split_statements, tokenize, write
from examples.estate.wire.statement import Statement, Verb, main_verb, typed_call
from examples.estate.wire.tsql_functions import ALIASES
from examples.estate.wire.typed_literals import type_literals

_NOW = "cast_declared(strftime('%Y-%m-%d %H:%M:%f', 'now'), 'datetime2(3)')"
_CLOCKS = frozenset({"GETDATE", "GETUTCDATE", "SYSDATETIME", "SYSUTCDATETIME"})
_FOLLOWERS = frozenset(
    {"SET", "USE", "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "ROLLBACK", "SAVE", "IF", "EXEC"}
)
_LEADERS = frozenset({"SET", "USE", "BEGIN", "COMMIT", "ROLLBACK", "SAVE"})
_LOCK_HINTS = frozenset({"UPDLOCK", "XLOCK", "HOLDLOCK", "TABLOCKX", "SERIALIZABLE"})
_TRANSACTION = frozenset({"TRAN", "TRANSACTION", "WORK"})
_DATA_VERBS = {"SELECT": Verb.QUERY, "INSERT": Verb.WRITE, "UPDATE": Verb.WRITE, "DELETE": Verb.WRITE}
_SCHEMA_VERBS = frozenset({"CREATE", "DROP", "ALTER"})
_SCHEMA_OBJECTS = frozenset({"TABLE", "INDEX", "VIEW", "UNIQUE"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What a statement may ask of its session: `@@name` and `NAME()` values in upper case, the catalog, date columns."""

    values: Mapping[str, str | int]
    catalog: str
    temporal: Mapping[str, str] = field(default_factory=dict)


def split_batch(batch: str) -> list[list[Token]]:
    """Cut a batch into statements; SET, USE and transaction statements need no semicolon after them."""
    statements = []
    for statement in split_statements(tokenize(batch, TSQL)):
        rest = statement
        while rest and (cut := _cut(rest)) < len(rest):
            statements.append(rest[:cut])
            rest = rest[cut:]
        statements.append(rest)
    return statements


def _cut(tokens: Sequence[Token]) -> int:
    if tokens[0].word in _LEADERS:
        start = 1
    elif tokens[0].word == "IF" and len(tokens) > 4:
        start = 5
    else:
        return len(tokens)
    return next((i for i in range(start, len(tokens)) if tokens[i].word in _FOLLOWERS), len(tokens))


def translate(tokens: Sequence[Token], facts: Facts) -> Statement:
    """Return the statement for SQLite; raise SqlFailure when it is outside the subset in a way SQLite cannot tell."""
    first = tokens[0].word
    if first in _CONTROL:
        return _CONTROL[first](tokens)
    if first == "TRUNCATE" and len(tokens) > 2:
        tokens = [*lex("DELETE FROM"), *tokens[2:]]
        first = "DELETE"
    if first in _SCHEMA_VERBS and len(tokens) > 1 and tokens[1].word in _SCHEMA_OBJECTS:
        return Statement(Verb.WRITE, write(_declared_max(_Rewriter(tokens, facts).all())))
    verb = _DATA_VERBS.get(main_verb(tokens))
    if verb is None:
        raise SqlFailure(Fault.SYNTAX, near=tokens[0].text)
    rewriter = _Rewriter(tokens, facts)
    done = type_literals(_with_object_word(rewriter.all()), facts.temporal)
    return Statement(verb, write(done), tuple(done), locks=rewriter.locks)


def _with_object_word(tokens: list[Token]) -> list[Token]:
    """T-SQL may leave out INTO and FROM where SQLite may not."""
    needed = {"INSERT": "INTO", "DELETE": "FROM"}.get(tokens[0].word)
    if needed and len(tokens) > 1 and tokens[1].word not in (needed, "OR"):
        return [tokens[0], Token(Kind.WORD, needed), *tokens[1:]]
    return tokens


def _declared_max(tokens: list[Token]) -> list[Token]:
    """SQLite's grammar has no `nvarchar(max)`, but takes it as a quoted name."""
    result: list[Token] = []
    for token in tokens:
        if token.word == ")" and len(result) > 2 and result[-1].word == "MAX" and result[-2].word == "(":
            result[-3:] = [Token(Kind.NAME, f"{result[-3].text}(max)")]
        else:
            result.append(token)
    return result


def _begin(tokens: Sequence[Token]) -> Statement:
    if len(tokens) < 2 or tokens[1].word not in _TRANSACTION:
        raise SqlFailure(Fault.SYNTAX, near="BEGIN")
    return Statement(Verb.BEGIN)


def _rollback(tokens: Sequence[Token]) -> Statement:
    if len(tokens) > 2:
        return Statement(Verb.SAVEPOINT, write([*lex("ROLLBACK TO"), tokens[2]]))
    return Statement(Verb.ROLLBACK)


def _save(tokens: Sequence[Token]) -> Statement:
    if len(tokens) != 3 or not tokens[2].is_name:
        raise SqlFailure(Fault.SYNTAX, near="SAVE")
    return Statement(Verb.SAVEPOINT, write([*lex("SAVEPOINT"), tokens[2]]))


def _if(tokens: Sequence[Token]) -> Statement:
    """`IF @@TRANCOUNT > 0 COMMIT|ROLLBACK [TRAN]` is what ODBC drivers send; no other condition is understood."""
    condition = " ".join(token.text.upper() for token in tokens[1:4])
    if condition != "@@TRANCOUNT > 0" or len(tokens) < 5 or tokens[4].word not in ("COMMIT", "ROLLBACK"):
        raise SqlFailure(Fault.SYNTAX, near="IF")
    verb = Verb.COMMIT if tokens[4].word == "COMMIT" else Verb.ROLLBACK
    return Statement(verb, only_in_transaction=True)


def _set(tokens: Sequence[Token]) -> Statement:
    words = [token.text.upper() for token in tokens[1:]]
    if len(tokens) < 2 or not tokens[1].is_name:
        raise SqlFailure(Fault.SYNTAX, near="SET")
    if words[0] == "IMPLICIT_TRANSACTIONS":
        return Statement(Verb.IMPLICIT_ON if words[-1] == "ON" else Verb.IMPLICIT_OFF)
    if words[:3] == ["TRANSACTION", "ISOLATION", "LEVEL"]:
        return Statement(Verb.ISOLATION, name=" ".join(words[3:]))
    return Statement(Verb.NOTHING)


def _use(tokens: Sequence[Token]) -> Statement:
    return Statement(Verb.USE, name=tokens[1].text if len(tokens) > 1 else "")


_CONTROL: Mapping[str, Callable[[Sequence[Token]], Statement]] = {
    "BEGIN": _begin,
    "COMMIT": lambda tokens: Statement(Verb.COMMIT),
    "ROLLBACK": _rollback,
    "SAVE": _save,
    "IF": _if,
    "SET": _set,
    "USE": _use,
}


class _Rewriter:
    """Walks the tokens of one statement once; `limits` holds, per open parenthesis, the TOP still to be written."""

    def __init__(self, tokens: Sequence[Token], facts: Facts) -> None:
        self.locks = False
        self._tokens = tokens
        self._facts = facts
        self._out: list[Token] = []
        self._limits: list[list[Token]] = [[]]
        self._at = 0

    def all(self) -> list[Token]:
        while self._at < len(self._tokens):
            self._step(self._tokens[self._at])
        self._out += self._limits.pop()
        return self._out

    def _word(self, ahead: int) -> str:
        index = self._at + ahead
        return self._tokens[index].word if 0 <= index < len(self._tokens) else ""

    def _step(self, token: Token) -> None:
        if token.kind in (Kind.PARAMETER, Kind.VARIABLE):
            self._emit(self._value(token), 1)
        elif token.is_name and self._prefix():
            self._at += self._prefix()
        elif token.word == "(":
            self._limits.append([])
            self._emit([token], 1)
        elif token.word == ")" and len(self._limits) > 1:
            self._emit([*self._limits.pop(), token], 1)
        elif not (token.kind is Kind.WORD and self._keyword(token.word)):
            self._emit([token], 1)

    def _emit(self, tokens: Sequence[Token], consumed: int) -> None:
        self._out += tokens
        self._at += consumed

    def _value(self, token: Token) -> list[Token]:
        if token.kind is Kind.PARAMETER:
            return [Token(Kind.PARAMETER, token.text.lower())]
        if token.text.upper() == "@@IDENTITY":
            return lex("last_insert_rowid()")
        value = self._facts.values.get(token.text.upper())
        if value is None:
            raise SqlFailure(Fault.UNDECLARED, near=token.text[1:])
        return [_literal(value)]

    def _prefix(self) -> int:
        """Return how many tokens a `dbo.` or `catalog.dbo.` prefix takes here."""
        if self._word(-1) == "." or self._word(1) != ".":
            return 0
        name = self._tokens[self._at].text.lower()
        if name == "dbo":
            return 2
        if name != self._facts.catalog.lower() or self._at + 2 >= len(self._tokens):
            return 0
        middle = self._tokens[self._at + 2]
        if middle.word == ".":
            return 3
        is_schema = middle.text.lower() in ("dbo", "information_schema")
        return (4 if middle.text.lower() == "dbo" else 2) if is_schema and self._word(3) == "." else 0

    def _keyword(self, word: str) -> bool:
        """Rewrite at a keyword or function; return whether something was."""
        handler = _KEYWORDS.get(word)
        if handler is not None:
            return handler(self)
        if self._word(1) != "(":
            return False
        if self._word(2) == ")" and f"{word}()" in self._facts.values:
            self._emit([_literal(self._facts.values[f"{word}()"])], 3)
            return True
        if self._word(2) == ")" and word in _CLOCKS:
            self._emit(lex(_NOW), 3)
            return True
        if word in ALIASES:
            self._emit(lex(ALIASES[word]), 1)
            return True
        return False

    def _select(self) -> bool:
        distinct = 1 if self._word(1) in ("ALL", "DISTINCT") else 0
        if self._word(1 + distinct) != "TOP":
            return False
        self._emit(self._tokens[self._at : self._at + 1 + distinct], 2 + distinct)
        end = closing(self._tokens, self._at) + 1 if self._word(0) == "(" else self._at + 1
        limit = _Rewriter(self._tokens[self._at : end], self._facts).all()
        self._at = end
        if self._word(0) in ("PERCENT", "WITH"):
            raise SqlFailure(Fault.SYNTAX, near=self._word(0))
        self._limits[-1] = [*lex("LIMIT"), *limit]
        return True

    def _offset(self) -> bool:
        """`OFFSET n ROWS [FETCH NEXT m ROWS ONLY]`."""
        rows = self._find(("ROWS", "ROW"), self._at)
        if rows is None:
            return False
        skip = _Rewriter(self._tokens[self._at + 1 : rows], self._facts).all()
        self._at = rows + 1
        count = lex("-1")
        if self._word(0) == "FETCH":
            end = self._find(("ROWS", "ROW"), self._at)
            if end is None:
                raise SqlFailure(Fault.SYNTAX, near="FETCH")
            count = _Rewriter(self._tokens[self._at + 2 : end], self._facts).all()
            self._at = end + 2
        self._out += [*lex("LIMIT"), *count, *lex("OFFSET"), *skip]
        return True

    def _find(self, words: tuple[str, ...], start: int) -> int | None:
        return next((i for i in range(start, len(self._tokens)) if self._tokens[i].word in words), None)

    def _with(self) -> bool:
        """A table hint, unless it opens a common table expression."""
        if self._at == 0 or self._word(1) != "(":
            return False
        end = closing(self._tokens, self._at + 1)
        self.locks |= any(token.word in _LOCK_HINTS for token in self._tokens[self._at : end])
        self._at = end + 1
        return True

    def _option(self) -> bool:
        if self._word(1) != "(":
            return False
        self._at = closing(self._tokens, self._at + 1) + 1
        return True

    def _cast(self) -> bool:
        if self._word(1) != "(":
            return False
        end = closing(self._tokens, self._at + 1)
        inner = self._tokens[self._at + 2 : end]
        cut = max((i for i, token in enumerate(inner) if token.word == "AS"), default=len(inner))
        self._emit(self._typed(inner[:cut], inner[cut + 1 :]), end + 1 - self._at)
        return True

    def _convert(self) -> bool:
        if self._word(1) != "(":
            return False
        end = closing(self._tokens, self._at + 1)
        inner = self._tokens[self._at + 2 : end]
        commas, depth = [], 0
        for index, token in enumerate(inner):
            depth += {"(": 1, ")": -1}.get(token.word, 0)
            if depth == 0 and token.word == ",":
                commas.append(index)
        if len(commas) != 1:
            raise SqlFailure(Fault.SYNTAX, near="CONVERT")
        self._emit(self._typed(inner[commas[0] + 1 :], inner[: commas[0]]), end + 1 - self._at)
        return True

    def _typed(self, value: Sequence[Token], declaration: Sequence[Token]) -> list[Token]:
        if not value or not declaration:
            raise SqlFailure(Fault.SYNTAX, near="AS")
        text = "".join(token.text for token in declaration).lower()
        return typed_call("cast_declared", _Rewriter(value, self._facts).all(), text)

    def _now(self) -> bool:
        self._emit(lex(_NOW), 1)
        return True


def _literal(value: str | int) -> Token:
    return Token(Kind.NUMBER, str(value)) if isinstance(value, int) else Token(Kind.STRING, value)


_KEYWORDS: Mapping[str, Callable[[_Rewriter], bool]] = {
    "SELECT": _Rewriter._select,
    "OFFSET": _Rewriter._offset,
    "WITH": _Rewriter._with,
    "OPTION": _Rewriter._option,
    "CAST": _Rewriter._cast,
    "CONVERT": _Rewriter._convert,
    "CURRENT_TIMESTAMP": _Rewriter._now,
}
