"""Units turn into each other exactly, and back."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.units import UNITS, converted


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        ("1234", "fen", "yuan", "12.34"),
        ("3", "mu", "m2", "2000"),
        ("1.5", "jin", "kg", "0.75"),
        ("212", "fahrenheit", "celsius", "100"),
        ("-40", "celsius", "fahrenheit", "-40"),
        ("12.5", "wan_yuan", "yuan", "125000"),
        ("45", "percent", "ratio", "0.45"),
    ],
)
def test_known_amounts(value: str, source: str, target: str, expected: str) -> None:
    assert converted(Fraction(value), source, target) == Fraction(expected)


@given(st.fractions(), st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)))
def test_there_and_back_again(value: Fraction, source: str, target: str) -> None:
    if UNITS[source].kind == UNITS[target].kind:
        assert converted(converted(value, source, target), target, source) == value
