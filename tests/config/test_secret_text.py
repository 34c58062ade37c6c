"""References to secrets are resolved where the document is loaded, and errors name the reference only."""

from pathlib import Path

import pytest

from config.secret_text import only_resolved, resolve


def test_forms(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes("密码 \r\n".encode())
    variables = {"PW": "env:other"}
    assert resolve("plain:text", variables, tmp_path) == "plain:text"
    assert resolve("env:PW", variables, tmp_path) == "env:other"
    assert resolve("file:key", variables, tmp_path) == "密码 "
    assert resolve(f"file:{tmp_path}/key", variables, Path()) == "密码 "
    assert resolve("sealed:env:PW", variables, tmp_path) == "sealed:env:PW"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("env:NONE", "environment variable NONE is not set or empty"),
        ("env:EMPTY", "environment variable EMPTY is not set or empty"),
        ("file:none", "none cannot be read: No such file"),
        ("file:\0", "cannot be read"),
        ("file:.", "cannot be read: Is a directory"),
        ("file:empty", "empty is empty"),
        ("file:large", "large is larger than 65536 bytes"),
        ("file:binary", "binary is not UTF-8 text"),
    ],
)
def test_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError) as caught:
        resolve(text, {"EMPTY": ""}, tmp_path)
    assert expected in str(caught.value)


def test_document_from_elsewhere_holds_no_reference() -> None:
    assert only_resolved("sealed:x") == "sealed:x"
    with pytest.raises(ValueError, match="'env:' is resolved where the document is loaded"):
        only_resolved("env:PATH")
