"""The master key is made once, whole, for the owner alone, whatever starts at the same time."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.master_key import with_master_key
from config.settings import load_settings
from core.errors import ConfigError
from core.secret import Secret


def key(folder: Path) -> str:
    found = with_master_key(load_settings(None, {}, {"data_dir": folder})).master_key
    assert found is not None
    return found.reveal()


def test_made_once_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    first = key(folder)
    assert len(base64.b64decode(first)) == 32
    assert key(folder) == first
    assert stat.S_IMODE((folder / "master.key").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["master.key"]
    assert key(tmp_path / "other") != first


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(key, [tmp_path] * 32))) == 1


def test_given_key_makes_no_file(tmp_path: Path) -> None:
    settings = load_settings(None, {}, {"data_dir": tmp_path, "master_key": "k" * 32})
    assert with_master_key(settings).master_key == Secret("k" * 32)
    assert list(tmp_path.iterdir()) == []


def test_broken_file_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "master.key").write_text("short\n")
    (tmp_path / "master.key").chmod(0o600)
    with pytest.raises(ConfigError, match=r"master\.key is shorter than 32 characters; restore it from your backup"):
        key(tmp_path)
    assert (tmp_path / "master.key").read_text() == "short\n"


def test_key_open_to_everybody_is_refused(tmp_path: Path) -> None:
    key(tmp_path)
    (tmp_path / "master.key").chmod(0o644)
    with pytest.raises(ConfigError, match=r"chmod 600"):
        key(tmp_path)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="make the data folder writable"):
        key(tmp_path / "file" / "data")
