"""Which adapters are found, what a bad plug-in is told, and that nothing imports a driver."""

import subprocess
import sys
from pathlib import Path

import pytest

from adapters.loader import load_adapters
from core.errors import ConfigError

DRIVERS = ("pyodbc", "aiomysql", "pymysql", "zeep", "aioftp", "aiohttp", "lxml")


@pytest.mark.req("0.46")
def test_the_adapters_of_the_platform_are_found_by_name() -> None:
    found = load_adapters()
    assert {"sqlserver", "mysql"} <= set(found)
    for name, adapter in found.items():
        assert adapter.name == name
        assert adapter.title
        assert adapter.abilities


def test_loading_imports_no_driver() -> None:
    script = (
        "import sys; from adapters.loader import load_adapters; load_adapters();"
        f" print(','.join(name for name in {DRIVERS!r} if name in sys.modules))"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == ""


def plugin(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> str:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    return name


def test_a_plugin_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"plug-in nowhere\.at_all: can't be imported"):
        load_adapters(["nowhere.at_all"])


def test_a_plugin_without_an_adapter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = plugin(tmp_path, monkeypatch, "plugin_without_adapter", "ADAPTER = 'sqlserver'\n")
    with pytest.raises(ConfigError, match="has no ADAPTER"):
        load_adapters([name])


def test_a_plugin_may_not_take_the_name_of_another_adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = plugin(tmp_path, monkeypatch, "plugin_with_taken_name", "from adapters.mysql import ADAPTER\n")
    with pytest.raises(ConfigError, match="'mysql' exists already"):
        load_adapters([name])
