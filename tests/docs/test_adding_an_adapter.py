"""The page for newcomers: its example is loaded as a plug-in, word for word, and run through the conformance suites."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.loader import load_adapters
from core.adapter import Adapter
from core.records import Payload
from tests.conformance.adapter_suite import ConnectionSuite, LookupSuite, Person, SourceSuite, WriterSuite, decode_rows, people

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/adding-an-adapter.md"
PLUGIN = "sqlite_file_from_the_page"


def example() -> str:
    blocks: list[str] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if "ADAPTER = Adapter(" in block)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / f"{PLUGIN}.py").write_text(example(), encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield load_adapters(plugins=[PLUGIN])["sqlite-file"]
    sys.path.remove(str(folder))
    sys.modules.pop(PLUGIN, None)


class FileHarness:
    """A SQLite file with a table `person`."""

    wrong_password = None

    def __init__(self, adapter: Adapter, file: Path) -> None:
        self.adapter = adapter
        self._file = file
        self.settings: Any = adapter.settings(file=str(file))
        self.unreachable: Any = adapter.settings(file=str(file.with_name("none.db")))
        self.dataset = people("person")
        self.missing = people("no_such_table")

    async def put(self, people: Sequence[Person]) -> None:
        rows = [(row.number, row.name, row.amount, row.changed_at) for row in people]
        with closing(sqlite3.connect(self._file)) as database, database:
            database.executemany("INSERT OR REPLACE INTO person VALUES (?, ?, ?, ?)", rows)

    def decode(self, payloads: Sequence[Payload]) -> list[Person]:
        return decode_rows(self.dataset, payloads)


@pytest.fixture
def harness(adapter: Adapter, tmp_path: Path) -> FileHarness:
    file = tmp_path / "people.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE person (number INTEGER PRIMARY KEY, name TEXT, amount TEXT, changed_at TEXT)")
    return FileHarness(adapter, file)


class TestExampleOfThePage(ConnectionSuite, SourceSuite, LookupSuite, WriterSuite):
    """Unchanged."""


def test_the_example_keeps_the_house_style(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(example(), encoding="utf-8")
    settings = ["--config", str(ROOT / "pyproject.toml")]
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *settings, str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout
    assert len(example().splitlines()) < 150


def test_the_page_tells_a_newcomer_what_the_contract_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in ("core/adapter.py", "tests/conformance/adapter_suite.py", "ADAPTER", "plugins", "中文摘要"):
        assert name in page
