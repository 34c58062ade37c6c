"""Give literals and parameters beside a date column that column's spelling, in comparisons, SET lists and VALUES.

Without it `UpdatedAt > '2024-05-10T08:00:00'` would compare unlike texts. Other places are left alone.
"""

from collections.abc import Mapping, Sequence

from examples.estate.wire.lexer import Kind, Token, closing
from examples.estate.wire.statement import typed_call

_COMPARISONS = frozenset({"=", "<>", "!=", "<", ">", "<=", ">="})


def type_literals(tokens: Sequence[Token], columns: Mapping[str, str]) -> list[Token]:
    """Return the tokens with `as_declared(…)` put around such places. `columns`: lower-case name → declaration."""
    if not columns:
        return list(tokens)
    wanted: dict[int, str] = {}
    for index, token in enumerate(tokens):
        if token.word in _COMPARISONS:
            _compare(tokens, index, columns, wanted)
        elif token.word == "BETWEEN":
            _between(tokens, index, columns, wanted)
        elif token.word == "VALUES":
            _values(tokens, index, columns, wanted)
    result: list[Token] = []
    for index, token in enumerate(tokens):
        result += typed_call("as_declared", [token], wanted[index]) if index in wanted else [token]
    return result


def _mark(tokens: Sequence[Token], index: int, declaration: str | None, wanted: dict[int, str]) -> None:
    if declaration and 0 <= index < len(tokens) and tokens[index].kind in (Kind.STRING, Kind.PARAMETER):
        wanted[index] = declaration


def _declared(tokens: Sequence[Token], index: int, columns: Mapping[str, str]) -> str | None:
    if 0 <= index < len(tokens) and tokens[index].is_name:
        return columns.get(tokens[index].text.lower())
    return None


def _compare(tokens: Sequence[Token], index: int, columns: Mapping[str, str], wanted: dict[int, str]) -> None:
    if tokens[index - 1].word == ")" and index + 1 < len(tokens) and tokens[index + 1].word == "(":
        _compare_rows(tokens, index, columns, wanted)
        return
    _mark(tokens, index + 1, _declared(tokens, index - 1, columns), wanted)
    right = index + 1
    while right + 2 < len(tokens) and tokens[right + 1].word == ".":
        right += 2
    _mark(tokens, index - 1, _declared(tokens, right, columns), wanted)


def _compare_rows(tokens: Sequence[Token], index: int, columns: Mapping[str, str], wanted: dict[int, str]) -> None:
    """`(a, b) > (x, y)`: the nth on the right takes the type of the nth on the left."""
    start = index - 1
    while start > 0 and tokens[start].word != "(":
        start -= 1
    left = [_declared(tokens, ends - 1, columns) for ends in _ends(tokens, start, index - 1)]
    right = list(_ends(tokens, index + 1, closing(tokens, index + 1)))
    for declaration, ends in zip(left, right, strict=False):
        _mark(tokens, ends - 1, declaration, wanted)


def _between(tokens: Sequence[Token], index: int, columns: Mapping[str, str], wanted: dict[int, str]) -> None:
    name = index - 2 if tokens[index - 1].word == "NOT" else index - 1
    declaration = _declared(tokens, name, columns)
    _mark(tokens, index + 1, declaration, wanted)
    _mark(tokens, index + 3, declaration, wanted)


def _values(tokens: Sequence[Token], index: int, columns: Mapping[str, str], wanted: dict[int, str]) -> None:
    """`t (c1, c2) VALUES (v1, v2), (…)`, with or without names; only single literals and parameters are typed."""
    if index == 0 or index + 1 >= len(tokens) or tokens[index + 1].word != "(":
        return
    opening = index + 1
    names: list[str | None]
    if tokens[index - 1].word == ")":
        start = index - 1
        while start > 0 and tokens[start].word != "(":
            start -= 1
        names = [_declared(tokens, ends - 1, columns) for ends in _ends(tokens, start, index - 1)]
    else:
        table = tokens[index - 1].text.lower()
        width = len(_ends(tokens, opening, closing(tokens, opening)))
        names = [columns.get(f"{table}.{position}") for position in range(width)]
    while opening < len(tokens) and tokens[opening].word == "(":
        end = closing(tokens, opening)
        begin = opening
        for declaration, ends in zip(names, _ends(tokens, opening, end), strict=False):
            if ends - begin == 2:
                _mark(tokens, ends - 1, declaration, wanted)
            begin = ends
        opening = end + 2 if end + 1 < len(tokens) and tokens[end + 1].word == "," else len(tokens)


def _ends(tokens: Sequence[Token], opening: int, end: int) -> list[int]:
    """Return where each item of a parenthesised list ends: at its comma or at the closing parenthesis."""
    ends, depth = [], 0
    for index in range(opening + 1, end):
        depth += {"(": 1, ")": -1}.get(tokens[index].word, 0)
        if depth == 0 and tokens[index].word == ",":
            ends.append(index)
    return [*ends, end]
