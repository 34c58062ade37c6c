"""Sealing under the master key, and the key's file."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from core.secret import Secret
from registry.vault import Vault, is_sealed, vault_under

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


def test_the_same_master_key_opens_what_it_sealed_after_a_restart() -> None:
    sealed = vault_under(Secret("k" * 44)).seal("p@ssword", context="c")
    assert vault_under(Secret("k" * 44)).open(sealed, context="c") == "p@ssword"
    with pytest.raises(ConfigError, match="does not open"):
        vault_under(Secret("l" * 44)).open(sealed, context="c")
