"""Split SQL text of either dialect into tokens, and write tokens as SQLite's SQL.

Translators work on tokens alone, so that nothing inside a string literal, a quoted name or a comment is ever touched.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from examples.estate.wire.failures import Fault, SqlFailure


class Kind(Enum):
    """What a token is; the text of a NAME or STRING is without its quotes, that of BINARY is hexadecimal digits."""

    WORD = auto()
    NAME = auto()
    STRING = auto()
    BINARY = auto()
    NUMBER = auto()
    PARAMETER = auto()
    VARIABLE = auto()
    SYMBOL = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `word` is the upper-case text of an unquoted word or a symbol, else empty."""

    kind: Kind
    text: str

    @property
    def word(self) -> str:
        """The text in upper case when it may be a keyword or a symbol."""
        return self.text.upper() if self.kind in (Kind.WORD, Kind.SYMBOL) else ""

    @property
    def is_name(self) -> bool:
        """Whether the token can name a table or a column."""
        return self.kind in (Kind.WORD, Kind.NAME)


_NUMBER = r"(?P<NUMBER>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
_WORD = r"(?P<WORD>[^\W\d][\w$#]*)"

TSQL = re.compile(
    r"(?P<SPACE>\s+|--[^\n]*|/\*.*?\*/)"
    r"|(?P<STRING>[Nn]?'(?:[^']|'')*')"
    r'|(?P<NAME>\[(?:[^\]]|\]\])*\]|"(?:[^"]|"")*")'
    r"|(?P<BINARY>0[xX][0-9A-Fa-f]*)"
    r"|(?P<VARIABLE>@@\w+)|(?P<PARAMETER>@\w+)"
    rf"|{_NUMBER}|{_WORD}"
    r"|(?P<SYMBOL><=|>=|<>|!=|\|\||[-+*/%(),.;=<>&|^~])",
    re.DOTALL,
)
MYSQL = re.compile(
    r"(?P<SPACE>\s+|--(?=\s|$)[^\n]*|\#[^\n]*|/\*.*?\*/)"
    r"|(?P<BINARY>0x[0-9A-Fa-f]+|[xX]'(?:[0-9A-Fa-f]{2})*')"
    r"""|(?P<STRING>[Nn]?'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*")"""
    r"|(?P<NAME>`(?:[^`]|``)*`)"
    r"|(?P<VARIABLE>@@[\w.]+)|(?P<PARAMETER>@\w+)"
    rf"|{_NUMBER}|{_WORD}"
    r"|(?P<SYMBOL><=>|<=|>=|<>|!=|:=|\|\||&&|<<|>>|[-+*/%(),.;=<>&|^~!])",
    re.DOTALL,
)

_MYSQL_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}


_NO_BLANK_BEFORE = frozenset({"(", ")", ",", "."})
_NO_BLANK_AFTER = frozenset({"(", "."})


def tokenize(text: str, dialect: re.Pattern[str]) -> list[Token]:
    """Return the tokens of `text` without blanks and comments; raise SqlFailure(SYNTAX) at the first stray character."""
    return list(_tokens(text, dialect))


def _tokens(text: str, dialect: re.Pattern[str]) -> Iterator[Token]:
    position = 0
    while position < len(text):
        match = dialect.match(text, position)
        if match is None or match.lastgroup is None:
            raise SqlFailure(Fault.SYNTAX, near=text[position : position + 20])
        position = match.end()
        if match.lastgroup != "SPACE":
            kind = Kind[match.lastgroup]
            yield Token(kind, _value(kind, match.group(), dialect))


def _value(kind: Kind, raw: str, dialect: re.Pattern[str]) -> str:
    if kind is Kind.STRING:
        return _string_value(raw, dialect)
    if kind is Kind.NAME:
        return raw[1:-1].replace(raw[-1] * 2, raw[-1])
    if kind is Kind.BINARY:
        digits = raw[2:].rstrip("'")
        return digits if len(digits) % 2 == 0 else "0" + digits
    if kind is Kind.PARAMETER:
        return raw[1:]
    return raw


def _string_value(raw: str, dialect: re.Pattern[str]) -> str:
    quote = raw[-1]
    body = raw[raw.index(quote) + 1 : -1]
    if dialect is TSQL:
        return body.replace(quote * 2, quote)

    def unescaped(match: re.Match[str]) -> str:
        mark = match.group()
        return quote if mark == quote * 2 else _MYSQL_ESCAPES.get(mark[1], mark[1])

    return re.sub(rf"{quote}{quote}|\\.", unescaped, body, flags=re.DOTALL)


def write(tokens: Iterable[Token]) -> str:
    """Return the tokens as SQLite's SQL; parameters become `:name`."""
    parts: list[str] = []
    before = ""
    for token in tokens:
        # Spaced as people write it, because SQLite names an unnamed column by its text: COUNT(*).
        is_tight = token.word in _NO_BLANK_BEFORE or before in _NO_BLANK_AFTER
        parts.append(_written(token) if is_tight or not parts else " " + _written(token))
        before = token.word
    return "".join(parts)


def _written(token: Token) -> str:
    if token.kind is Kind.STRING:
        return quoted_string(token.text)
    if token.kind is Kind.NAME:
        # Not double quotes: SQLite takes an unknown "name" for a string and would hide the error.
        return "`" + token.text.replace("`", "``") + "`"
    if token.kind is Kind.BINARY:
        return f"X'{token.text}'"
    return f":{token.text}" if token.kind is Kind.PARAMETER else token.text


def quoted_string(text: str) -> str:
    """Return `text` as a literal of SQLite; one with a NUL inside goes as bytes, which SQL text cannot hold."""
    if "\0" in text:
        return f"CAST(X'{text.encode('utf-8', 'surrogateescape').hex()}' AS TEXT)"
    return "'" + text.replace("'", "''") + "'"


def split_statements(tokens: Sequence[Token]) -> list[list[Token]]:
    """Cut at semicolons; empty statements are left out."""
    statements: list[list[Token]] = [[]]
    for token in tokens:
        if token.word == ";":
            statements.append([])
        else:
            statements[-1].append(token)
    return [statement for statement in statements if statement]


def closing(tokens: Sequence[Token], opening: int) -> int:
    """Return the index of the parenthesis that closes the one at `opening`; raise SqlFailure(SYNTAX) without one."""
    depth = 0
    for index in range(opening, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[index].word, 0)
        if depth == 0:
            return index
    raise SqlFailure(Fault.SYNTAX, near="(")


def lex(text: str) -> list[Token]:
    """Tokens of a fragment that a translator itself writes (T-SQL lexis)."""
    return tokenize(text, TSQL)
