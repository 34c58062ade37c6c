"""JSON without loss."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.json_text import decoded, encoded, is_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(VALUES)
def test_what_is_written_reads_the_same(value: Any) -> None:
    assert decoded(encoded(value)) == value


@pytest.mark.parametrize("text", [b"1.10", b"1E+400", b"-0.0", b"12345678901234567890123", b'"\xe5\x8c\x97"', b'{"a":[1,{}]}'])
def test_the_bytes_of_a_value_stay(text: bytes) -> None:
    assert encoded(decoded(text)) == text


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b'"\\ud800"', b"NaN", b"[" * 100_000, b"1e999999999999999999999", b"1" * 5000]
)
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        encoded(decoded(text))


def test_half_a_surrogate_pair_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        encoded({"a": "\ud800"})


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        ("application/jsonl", False),
        ("text/json", False),
        ("", False),
    ],
)
def test_media_types(kind: str, expected: bool) -> None:
    assert is_json(kind) is expected
