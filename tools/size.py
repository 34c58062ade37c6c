"""Refuses what the house style calls too large, and names that say nothing: python -m tools.size FOLDER…"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.source_tree import ROOT, python_files

MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
MAX_PUBLIC_METHODS = 12
# asyncio calls these; nobody has to know them as an interface.
PROTOCOL_CALLS = frozenset(
    {"connection_made", "data_received", "eof_received", "connection_lost", "pause_writing", "resume_writing"}
)
EMPTY_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "base", "manager", "managers", "misc"})


def _public_methods(node: ast.ClassDef) -> list[str]:
    return [
        child.name
        for child in node.body
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        # pytest calls the tests of a conformance suite; nobody has to know them as an interface.
        and not child.name.startswith(("_", "test_"))
        and child.name not in PROTOCOL_CALLS
        # A property's getter and setter are one name, and overloads are one method.
        and not any(isinstance(mark, ast.Attribute) and mark.attr in {"setter", "deleter"} for mark in child.decorator_list)
        and not any(isinstance(mark, ast.Name) and mark.id == "overload" for mark in child.decorator_list)
    ]


def _node_findings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > MAX_FUNCTION_LINES:
            yield f"{node.lineno}: function {node.name} has {lines} lines, at most {MAX_FUNCTION_LINES}: split it"
    elif isinstance(node, ast.ClassDef):
        count = len(_public_methods(node))
        if count > MAX_PUBLIC_METHODS:
            yield f"{node.lineno}: class {node.name} has {count} public methods, at most {MAX_PUBLIC_METHODS}"


def findings(path: Path) -> list[str]:
    """Return what is wrong with one Python file, each as "line: what", in the order of lines."""
    text = path.read_text(encoding="utf-8")
    found = []
    if path.stem in EMPTY_NAMES or path.parent.name in EMPTY_NAMES:
        found.append("1: the name says nothing about the subject: name it after what it holds")
    lines = len(text.splitlines())
    if lines > MAX_FILE_LINES:
        found.append(f"1: {lines} lines, at most {MAX_FILE_LINES}: it has more than one subject")
    for node in ast.walk(ast.parse(text, filename=str(path))):
        found.extend(_node_findings(node))
    return found


def main(folders: list[str]) -> int:
    """Print the findings below the given folders; return 1 when there are any."""
    total = 0
    for folder in folders:
        for path in python_files(ROOT / folder):
            for finding in findings(path):
                print(f"{path.relative_to(ROOT)}:{finding}")
                total += 1
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
