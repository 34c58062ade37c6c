"""The generated estate, once a session; a test that writes takes a copy."""

import shutil
from pathlib import Path

import pytest

from examples.estate.generate import generate


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default estate at a quarter of its size. Read only."""
    folder = tmp_path_factory.mktemp("estate") / "data"
    generate(folder, scale=0.25)
    return folder


@pytest.fixture
def estate_copy(generated: Path, tmp_path: Path) -> Path:
    """The same estate, to be changed by one test."""
    return Path(shutil.copytree(generated, tmp_path / "data"))
