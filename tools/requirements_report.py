"""Prints each row of docs/requirements.md with the tests that prove it, and the rows that nothing proves."""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.source_tree import ROOT, python_files

_ROW = re.compile(r"^\| (?P<ids>\d+\.\d{2}[\d., –]*) \| (?P<text>.+) \|$")
_RANGE = re.compile(r"(?P<part>\d+)\.(?P<first>\d{2})(?:–(?P=part)\.(?P<last>\d{2}))?")


@dataclass(frozen=True)
class Requirement:
    """One row: its label as written ("1.05–1.07"), the ids it covers ("1.05", "1.06", "1.07"), and its text."""

    label: str
    ids: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Proof:
    """A test, or a class or file of tests, that carries `pytest.mark.req(id)`."""

    requirement_id: str
    path: Path
    line: int
    name: str


def _ids(label: str) -> Iterator[str]:
    for match in _RANGE.finditer(label):
        first = int(match["first"])
        for number in range(first, int(match["last"] or first) + 1):
            yield f"{match['part']}.{number:02}"


def rows(text: str) -> list[Requirement]:
    """Return the rows of the requirements' tables, in order."""
    matches = (_ROW.match(line) for line in text.splitlines())
    return [Requirement(match["ids"], tuple(_ids(match["ids"])), match["text"]) for match in matches if match]


def _marked_ids(node: ast.AST) -> Iterator[str]:
    """Yield the ids of each `pytest.mark.req("…", "…")` below `node`."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.req":
            for argument in call.args:
                # Anything but a plain string could not be found without running the tests.
                yield str(argument.value) if isinstance(argument, ast.Constant) else ast.unparse(argument)


def _marks(tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                yield from ((found, node.lineno, node.name) for found in _marked_ids(decorator))
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            yield from ((found, node.lineno, "(whole file)") for found in _marked_ids(node))


def proofs(tests: Path) -> list[Proof]:
    """Return each requirement mark in the test files below `tests`, found by reading them, not by running them."""
    return [
        Proof(requirement_id, path, line, name)
        for path in python_files(tests)
        for requirement_id, line, name in _marks(ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
    ]


def report(requirements: list[Requirement], found: list[Proof], root: Path) -> str:
    """Return the text that `make requirements` prints."""
    by_id: dict[str, list[Proof]] = defaultdict(list)
    for proof in found:
        by_id[proof.requirement_id].append(proof)
    lines, proven = [], 0
    for row in requirements:
        own = [proof for requirement_id in row.ids for proof in by_id[requirement_id]]
        proven += bool(own)
        lines.append(f"{'✓' if own else '·'} {row.label}  {row.text}")
        lines += [f"      {proof.path.relative_to(root)}:{proof.line} {proof.name}" for proof in own]
    lines.append(f"{proven} of {len(requirements)} rows are proven by a test.")
    return "\n".join(lines)


def main() -> int:
    """Print the report; return 1 when a mark names a row that isn't there."""
    requirements = rows((ROOT / "docs" / "requirements.md").read_text(encoding="utf-8"))
    found = proofs(ROOT / "tests")
    print(report(requirements, found, ROOT))
    known = {requirement_id for row in requirements for requirement_id in row.ids}
    unknown = [proof for proof in found if proof.requirement_id not in known]
    for proof in unknown:
        print(f"{proof.path.relative_to(ROOT)}:{proof.line}: no row {proof.requirement_id}", file=sys.stderr)
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
