"""Sealing under the master key, and the key's file."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from registry.vault import Vault, is_sealed, load_or_make_master_key, parse_master_key

_VAULT = Vault(os.urandom(32))


@given(st.text(), st.text())
def test_what_is_sealed_opens_again(clear: str, context: str) -> None:
    sealed = _VAULT.seal(clear, context=context)
    assert is_sealed(sealed)
    assert _VAULT.open(sealed, context=context) == clear


def test_sealed_text_shows_nothing_and_differs_each_time() -> None:
    first, second = (_VAULT.seal("p@ssword", context="c") for _ in range(2))
    assert first != second
    assert "p@ssword" not in first


def test_another_key_another_context_or_damage_does_not_open() -> None:
    sealed = _VAULT.seal("p@ssword", context="source/mysql/password")
    with pytest.raises(ConfigError, match=r"source/mysql/password: the sealed secret does not open with this master key"):
        Vault(os.urandom(32)).open(sealed, context="source/mysql/password")
    with pytest.raises(ConfigError, match="does not open"):
        _VAULT.open(sealed, context="source/http_json/url")
    for damaged in (sealed[:-8], sealed[:20] + ("B" if sealed[20] == "A" else "A") + sealed[21:], "sealed:v1:", "sealed:v1:密"):
        with pytest.raises(ConfigError, match="does not open"):
            _VAULT.open(damaged, context="source/mysql/password")
    with pytest.raises(ConfigError, match="enter the secret again"):
        _VAULT.open("sealed:v9:abc", context="c")


def test_a_key_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="16 bytes"):
        Vault(b"x" * 16)


def test_the_key_file_is_made_once_and_only_we_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "data" / "master.key"
    key = load_or_make_master_key(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_make_master_key(path) == key
    assert os.listdir(path.parent) == ["master.key"]


async def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    keys = await asyncio.gather(*(asyncio.to_thread(load_or_make_master_key, tmp_path / "master.key") for _ in range(16)))
    assert len(set(keys)) == 1


def test_a_key_open_to_everybody_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    load_or_make_master_key(path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_or_make_master_key(path)


def test_a_file_that_is_no_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    for text in ("hunter2-not-a-key!", "c2hvcnQ="):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(ConfigError, match=r"master\.key: the master key") as caught:
            load_or_make_master_key(path)
        assert text not in caught.value.detail
    with pytest.raises(ConfigError, match="make the folder writable"):
        load_or_make_master_key(path / "below" / "a-file")


def test_a_key_is_read_in_either_alphabet_of_base64() -> None:
    key = b"\xfb\xff" * 16
    for text in ("-_-_" * 10 + "-_8=", "+/+/" * 10 + "+/8", "-_-_" * 10 + "-_8=\n"):
        assert len(parse_master_key(text)) == 32
        assert parse_master_key(text)[:2] == key[:2]
