"""docs/tour.md, run block after block in one shell against a real node; each `# →` line must be part of what is printed."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers.ports import free_port
from tools.source_tree import ROOT

PAGE = (ROOT / "docs/tour.md").read_text(encoding="utf-8")
_MARK = "@@tour@@"
_LIMIT_S = 400
_EXPECTED = "# → "


class Piece(NamedTuple):
    """Some commands and the texts that their output must hold."""

    commands: str
    expected: list[str]


def pieces() -> list[Piece]:
    """The page's shell blocks, cut behind each group of expectations."""
    found: list[Piece] = []
    commands: list[str] = []
    expected: list[str] = []
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for line in [*block.splitlines(), ""]:
            if line.startswith(_EXPECTED):
                expected.append(line.removeprefix(_EXPECTED).strip())
                continue
            if expected:
                found.append(Piece("\n".join(commands), expected))
                commands, expected = [], []
            commands.append(line)
    return found


def script(parts: list[Piece]) -> str:
    return "\n".join(["set -eu", *(f"{part.commands}\necho '{_MARK}'" for part in parts)])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ZHIYUN_")}
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("HTTP", "CONSOLE")}
    return {**plain, **addresses, "DATA": str(tmp_path / "data"), "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}


@pytest.fixture
def shell(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """In a process group of its own, so that a node which a failing tour leaves behind ends with it."""
    process = subprocess.Popen(
        ["/bin/sh"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        yield process
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.timeout(_LIMIT_S + 30)
def test_the_tour_shows_what_it_says(shell: subprocess.Popen[str]) -> None:
    parts = pieces()
    output, errors = shell.communicate(script(parts), timeout=_LIMIT_S)
    shown = output.split(f"{_MARK}\n")
    missing = [
        f"{text!r} after:{part.commands}\ngot: {got}"
        for part, got in zip(parts, shown, strict=False)
        for text in part.expected
        if text not in got
    ]
    assert "\n\n".join(missing) == "", errors
    assert shell.returncode == 0, f"{errors}\n{shown[-1]}"


def test_the_page_holds_the_steps_of_a_tour() -> None:
    assert len(pieces()) >= 12
    text = script(pieces())
    for step in (
        "zhiyun up",
        "/oauth2/token",
        "X PATCH",
        "/changes?",
        "quarantine list",
        "zhiyun diff",
        "zhiyun apply",
        "kill $NODE",
    ):
        assert step in text
