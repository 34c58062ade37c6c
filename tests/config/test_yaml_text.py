"""YAML is read strictly, with places, and nothing that a stranger's text does raises anything but ConfigError."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config import yaml_text
from config.scalars import plain_scalar
from config.yaml_text import MAX_BYTES, parse, read
from core.errors import ConfigError


def refusal(text: str | bytes, variables: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml", variables or {})
    return caught.value.detail


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("", None),
        ("true", True),
        ("yes", "yes"),
        ("on", "on"),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("2024-05-10", "2024-05-10"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("0x", "0x"),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "9223372036854775808"),
        ("1e999", "1e999"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    assert plain_scalar(text) == value
    assert type(plain_scalar(text)) is type(value)


def test_values_and_places() -> None:
    value, where = parse("a:\n  b: [1, 'two']\n  c: |\n    text\n3: !!str 7\n", "f.yaml", {})
    assert value == {"a": {"b": [1, "two"], "c": "text\n"}, "3": "7"}
    assert where.place(("a", "b", "1")) == "f.yaml:2:10"
    assert where.place(("a", "c")) == "f.yaml:3:3"
    assert where.place(("a", "c", "not", "there")) == "f.yaml:3:3"


def test_alias_is_a_copy_at_its_own_place() -> None:
    value, where = parse("a: &x {k: 1}\nb: *x\n", "f.yaml", {})
    assert value == {"a": {"k": 1}, "b": {"k": 1}}
    assert where.place(("b",)) == "f.yaml:2:1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: key 'a' is given twice, first on line 1; remove one"),
        ("a: 1\n b: 2\n", "f.yaml:2:3: not YAML: mapping values are not allowed here"),
        ("a: [1, 2\n", "f.yaml:2:1: not YAML: "),
        ("a: *x\n", "f.yaml:1:4: alias *x has no anchor &x complete before it"),
        ("a: &x [*x]\n", "f.yaml:1:8: alias *x has no anchor &x complete before it"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document begins here; one file holds one document"),
        (
            "a: !!python/object:os.system x\n",
            "f.yaml:1:4: tag tag:yaml.org,2002:python/object:os.system is not used here; remove it",
        ),
        ("a: !!set {b}\n", "f.yaml:1:4: tag tag:yaml.org,2002:set is not used here"),
        ("a: 1\n? [b]\n: 2\n", "f.yaml:2:3: a key must be text"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", "f.yaml:3:3: merge keys (<<) are not part of YAML 1.2; write the fields out"),
        ("[" * 60, "f.yaml:1:41: nested deeper than 40 levels"),
        ('a: "\\U99999999"\n', "f.yaml: not YAML: "),
        ("a: \x00", "f.yaml: not YAML: "),
        ("a: ${NONE}\n", "f.yaml:1:4: variable NONE is not set; set it, or give a default as ${NONE:-default}"),
    ],
)
def test_refused_with_file_and_line(text: str, expected: str) -> None:
    assert refusal(text).startswith(expected)


def test_aliases_that_unfold_without_end_are_refused() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "its aliases unfold to too much" in refusal(bomb)
    chain = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 2000))
    assert "its aliases unfold to too much" in refusal(chain)


def test_too_large_and_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"larger than {MAX_BYTES} bytes" in refusal("#" * (MAX_BYTES + 1))
    monkeypatch.setattr(yaml_text, "MAX_NODES", 100)
    assert "more than 100 values in one file" in refusal("[" + "1," * 200 + "]")


def test_files_that_are_missing_or_not_utf_8(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml: cannot be read: No such file"):
        read(tmp_path / "no.yaml", {})
    (tmp_path / "gbk.yaml").write_bytes("名: 值".encode("gbk"))
    with pytest.raises(ConfigError, match="not UTF-8 at byte 0"):
        read(tmp_path / "gbk.yaml", {})


def test_byte_order_mark_of_a_windows_editor_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes("\ufeffa: 1\r\nb: 名\r\n".encode())
    assert read(tmp_path / "f.yaml", {})[0] == {"a": 1, "b": "名"}


def test_variables_stay_text_and_are_marked() -> None:
    value, where = parse('a: ${PORT}\nb: "x-${PORT}"\nc: $${PORT}\nd: 5\n', "f.yaml", {"PORT": "80"})
    assert value == {"a": "80", "b": "x-80", "c": "${PORT}", "d": 5}
    assert where.interpolated == {("a",), ("b",)}


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80) | st.text(alphabet="ab:-[]{}&*!|>'\"#%@,?$ \n\t0\\~<.=", max_size=60) | st.binary(max_size=60))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    with contextlib.suppress(ConfigError):
        parse(text, "f.yaml", {})
