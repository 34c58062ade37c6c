"""Expressions over the fields of one record: arithmetic, comparison, choice and a few functions. No attribute, index or loop.

simpleeval walks the parsed expression and bounds what powers and repeated text may come to; nothing is ever given to `eval`.
"""

import ast
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from core.errors import InvalidInput

MAX_LENGTH = 1_000
_MAX_NODES = 200
_FORBIDDEN = (ast.Attribute, ast.Subscript, ast.JoinedStr, ast.FormattedValue)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _part(text: Any, start: int, length: int | None = None) -> str:
    """From 1, as SQL's SUBSTRING."""
    begin = max(int(start), 1) - 1
    return _text(text)[begin : None if length is None else begin + max(int(length), 0)]


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value not in (None, "")), None)


def _number(value: Any) -> Decimal | None:
    return None if value in (None, "") else Decimal(str(value))


def _date(value: Any) -> date:
    return value if isinstance(value, date) else datetime.fromisoformat(_text(value)).date()


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "upper": lambda text: _text(text).upper(),
    "lower": lambda text: _text(text).lower(),
    "trim": lambda text: _text(text).strip(),
    "length": lambda text: len(_text(text)),
    "text": _text,
    "number": _number,
    "part": _part,
    "replace": lambda text, old, new: _text(text).replace(_text(old), _text(new)),
    "starts": lambda text, beginning: _text(text).startswith(_text(beginning)),
    "ends": lambda text, end: _text(text).endswith(_text(end)),
    "coalesce": _coalesce,
    "round": lambda value, digits=0: round(Decimal(str(value)), int(digits)),
    "abs": abs,
    "min": min,
    "max": max,
    "days": lambda later, earlier: (_date(later) - _date(earlier)).days,
}


class Expression:
    """Parsed once; `names` are the fields it uses. Raises InvalidInput, with the column, for what is no expression."""

    def __init__(self, text: str) -> None:
        from simpleeval import InvalidExpression, SimpleEval

        if len(text) > MAX_LENGTH:
            raise InvalidInput(f"an expression of more than {MAX_LENGTH} characters")
        self._text = text
        self._evaluator = SimpleEval(functions=FUNCTIONS)
        for kind in _FORBIDDEN:
            self._evaluator.nodes.pop(kind, None)
        try:
            self._parsed = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, InvalidExpression, ValueError, RecursionError, MemoryError) as error:
            place = f" at column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
            raise InvalidInput(f"no expression{place}: {getattr(error, 'msg', None) or error}"[:200]) from None
        nodes = list(ast.walk(self._parsed))
        if len(nodes) > _MAX_NODES:
            raise InvalidInput(f"an expression of more than {_MAX_NODES} parts")
        self._check(nodes)
        called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        self.names = {node.id for node in nodes if isinstance(node, ast.Name)} - called - self._evaluator.names.keys()

    def _check(self, nodes: list[ast.AST]) -> None:
        known = {*self._evaluator.nodes, ast.Load, ast.keyword, *ast.operator.__subclasses__(), *ast.cmpop.__subclasses__()}
        known |= {*ast.boolop.__subclasses__(), *ast.unaryop.__subclasses__(), ast.Module}
        for node in nodes:
            column = getattr(node, "col_offset", 0) + 1
            if type(node) not in known:
                raise InvalidInput(f"column {column}: {type(node).__name__} can't stand in an expression")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in FUNCTIONS:
                raise InvalidInput(
                    f"column {column}: there is no function {node.func.id}; there are {', '.join(sorted(FUNCTIONS))}"
                )
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Call | ast.IfExp | ast.Constant):
                raise InvalidInput(f"column {column}: only a function can be called, by its name")

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """The value for these fields. ValueError says why there is none."""
        from simpleeval import InvalidExpression

        self._evaluator.names = {**values, "True": True, "False": False, "None": None}
        try:
            result = self._evaluator.eval(self._text, previously_parsed=self._parsed)
            if callable(result):
                raise TypeError("a function is no value")
            return result
        except (InvalidExpression, ArithmeticError, TypeError, ValueError, AttributeError, RecursionError, MemoryError) as error:
            raise ValueError(f"the expression {self._text!r:.60} fails: {str(error) or type(error).__name__:.120}") from None
