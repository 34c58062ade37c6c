"""The contracts of .importlinter, cut down to what exists."""

from pathlib import Path

import pytest

from tools.layers import existing_contracts

CONTRACTS = """\
[importlinter]
root_packages =
    core
    gateway
    exchange
    cli

[importlinter:contract:layers]
name = Layers
type = layers
layers =
    cli
    gateway | exchange
    core

[importlinter:contract:listener]
name = Only the listener knows the HTTP server
type = forbidden
source_modules =
    gateway.router
forbidden_modules =
    aiohttp
    gateway.listener
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".importlinter").write_text(CONTRACTS)
    return tmp_path


def _make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()


def test_absent_packages_and_empty_contracts_are_left_out(root: Path) -> None:
    _make(root, "core/__init__.py", "gateway/__init__.py")
    contracts = existing_contracts(root)
    assert contracts["importlinter"]["root_packages"].split() == ["core", "gateway"]
    assert contracts["importlinter:contract:layers"]["layers"].split() == ["gateway", "core"]
    assert "importlinter:contract:listener" not in contracts


def test_complete_tree_keeps_all_contracts(root: Path) -> None:
    packages = ("core", "gateway", "exchange", "cli")
    _make(root, *(f"{name}/__init__.py" for name in packages), "gateway/router.py", "gateway/listener.py")
    contracts = existing_contracts(root)
    layers = [line for line in contracts["importlinter:contract:layers"]["layers"].splitlines() if line]
    assert layers == ["cli", "gateway | exchange", "core"]
    assert contracts["importlinter:contract:listener"]["forbidden_modules"].split() == ["aiohttp", "gateway.listener"]
