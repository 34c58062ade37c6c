"""One translated statement, and the probe that asks SQLite for the declared types of its result columns.

SQLite tells a view's column types; so the SELECT becomes a temporary view in which every parameter, cast and clock
stands as a column of its declared type.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from examples.estate.wire.lexer import Kind, Token, closing, lex, quoted_string, write


class Verb(Enum):
    """What a statement does to its session."""

    QUERY = auto()
    WRITE = auto()
    BEGIN = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    SAVEPOINT = auto()
    IMPLICIT_ON = auto()
    IMPLICIT_OFF = auto()
    ISOLATION = auto()
    USE = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement for SQLite. `locks`: it takes the write lock first; `name`: savepoint, isolation level or database."""

    verb: Verb
    sql: str = ""
    tokens: tuple[Token, ...] = ()
    locks: bool = False
    name: str = ""
    only_in_transaction: bool = False

    @property
    def reads_table(self) -> bool:
        """Whether the statement has a FROM."""
        return any(token.word == "FROM" for token in self.tokens)

    @property
    def reads_catalog(self) -> bool:
        """Whether the statement asks INFORMATION_SCHEMA."""
        return any(token.is_name and token.text.upper() == "INFORMATION_SCHEMA" for token in self.tokens)


@dataclass(frozen=True, slots=True)
class Probe:
    """The SELECT with typed places, and the declarations of the columns c0, c1 … of `temp.typed` that stand for them."""

    sql: str
    declarations: tuple[str, ...]


_KEEP_TYPE = frozenset({"MAX", "MIN", "SUM"})


def main_verb(tokens: Sequence[Token]) -> str:
    """Return the keyword that says what a statement does, past any WITH clause."""
    first = tokens[0].word
    if first != "WITH":
        return first
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.word, 0)
        if depth == 0 and token.word in ("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE"):
            return token.word
    return first


def typed_call(function: str, inner: Sequence[Token], declaration: str) -> list[Token]:
    """Return `function(inner, 'declaration')`, which a probe reads as a column of that type."""
    tail = [Token(Kind.SYMBOL, ","), Token(Kind.STRING, declaration), Token(Kind.SYMBOL, ")")]
    return [Token(Kind.WORD, function), Token(Kind.SYMBOL, "("), *inner, *tail]


def probe_of(tokens: Sequence[Token], parameter_types: Mapping[str, str]) -> Probe:
    """Return the probe for a SELECT whose parameters are declared as given (name → declaration)."""
    declarations: list[str] = []
    return Probe(write(_probed(tokens, parameter_types, declarations)), tuple(declarations))


def _probed(tokens: Sequence[Token], parameter_types: Mapping[str, str], declarations: list[str]) -> Iterator[Token]:
    index = 0
    while index < len(tokens):
        token = tokens[index]
        is_call = index + 1 < len(tokens) and tokens[index + 1].word == "("
        if token.kind is Kind.PARAMETER:
            declared = parameter_types.get(token.text, "")
            yield from _place(declared, declarations)
        elif is_call and token.text in ("as_declared", "cast_declared"):
            index = closing(tokens, index + 1)
            yield from _place(tokens[index - 1].text, declarations)
        elif not (is_call and token.word in _KEEP_TYPE):
            yield token
        index += 1


def _place(declaration: str, declarations: list[str]) -> list[Token]:
    if not declaration:
        return [Token(Kind.WORD, "NULL")]
    if declaration not in declarations:
        declarations.append(declaration)
    return lex(f"(SELECT c{declarations.index(declaration)} FROM temp.typed)")  # noqa: S608 - a number of ours


def typed_table(declarations: Sequence[str]) -> str:
    """Return the SQL that makes `temp.typed`."""
    columns = ", ".join(f"c{index} {_declaration(text)}" for index, text in enumerate(declarations))
    return f"CREATE TEMP TABLE typed ({columns})"


def _declaration(text: str) -> str:
    # As SQLite's grammar allows any string for a type name, a hostile declaration stays a name.
    name, bracket, sizes = text.partition("(")
    if bracket and all(part.strip().isdigit() for part in sizes.rstrip(") ").split(",")):
        return f"{quoted_string(name.strip())} ({sizes.rstrip(') ')})"
    return quoted_string(text)
