"""docs/errors.md against the source: every code that is raised is there, with the status it gets, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from core import errors
from gateway.problems import status_of
from tools.source_tree import PACKAGES, ROOT, python_files

PAGE = ROOT / "docs/errors.md"
_ROW = re.compile(r"^\| `(?P<code>[a-z_]+)` \| (?P<status>\d{3}|–) \|")
_NO_REQUEST = "–"
_OAUTH = ("Refused", "_Refused")  # the OAuth endpoints' own errors


class Raised(NamedTuple):
    """A code as the source raises it: by which error class, and where."""

    code: str
    error: str
    place: str


def documented() -> dict[str, str]:
    rows = (_ROW.match(line) for line in PAGE.read_text(encoding="utf-8").splitlines())
    return {row["code"]: row["status"] for row in rows if row}


def general() -> dict[str, type[errors.PlatformError]]:
    classes: list[type[errors.PlatformError]] = [errors.PlatformError, *errors.PlatformError.__subclasses__()]
    return {each.code: each for each in classes if each.__module__ == errors.__name__}


def _constants(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found |= {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
    return found


def _text(node: ast.expr, constants: dict[str, str]) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return constants.get(node.id) if isinstance(node, ast.Name) else None


def _in_file(path: Path) -> Iterator[Raised]:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    constants = _constants(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func).rpartition(".")[2]
        given = next((keyword.value for keyword in call.keywords if keyword.arg == "code"), None)
        if name in _OAUTH:
            given = call.args[0]
        if name == "Refused" and len(call.args) == 3 and ast.unparse(call.args[0]).isdigit():  # the wire's: status, code, detail
            status, told = ast.unparse(call.args[0]), _text(call.args[1], constants) or ""
            yield Raised(told, f"Refused {status}", f"{path.relative_to(ROOT)}:{call.lineno}")
            continue
        code = _text(given, constants) if given is not None else None
        if code is not None and (name in _OAUTH or hasattr(errors, name)):
            yield Raised(code, name, f"{path.relative_to(ROOT)}:{call.lineno}")


def raised() -> list[Raised]:
    return [each for package in PACKAGES if package != "core" for path in python_files(ROOT / package) for each in _in_file(path)]


def test_every_code_of_the_source_is_on_the_page() -> None:
    missing = {each.code: each.place for each in raised() if each.code not in documented()}
    assert missing == {}
    assert set(general()) - set(documented()) == set()


def test_the_page_has_no_code_that_nothing_raises() -> None:
    assert set(documented()) - {each.code for each in raised()} - set(general()) == set()


def _status(each: Raised) -> int:
    if each.error.startswith("Refused "):
        return int(each.error.removeprefix("Refused "))
    kind = getattr(errors, each.error)
    extra = {"retry_after_s": 1.0} if kind is errors.Limited else {}
    return status_of(kind("", code=each.code, **extra))


def test_the_status_on_the_page_is_the_one_the_gateway_answers() -> None:
    page = documented()
    told = [each for each in raised() if each.error not in _OAUTH and page[each.code] != _NO_REQUEST]
    assert len(told) > 25
    assert {each: page[each.code] for each in told if str(_status(each)) != page[each.code]} == {}


@pytest.mark.parametrize("code", sorted(general()))
def test_the_status_of_a_general_code(code: str) -> None:
    kind = general()[code]
    error = kind("", retry_after_s=1.0) if issubclass(kind, errors.Limited) else kind("")
    assert documented()[code] == str(status_of(error))
