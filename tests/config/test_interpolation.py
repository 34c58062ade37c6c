"""`${NAME}` is replaced once, defaults as in the shell."""

import pytest

from config.interpolation import interpolate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", ("1", True)),
        ("x${A}y${B}", ("x1y${A}", True)),
        ("${C:-d e}", ("d e", True)),
        ("${C:-}", ("", True)),
        ("${A:-d}", ("1", True)),
        ("${EMPTY:-d}", ("d", True)),
        ("${EMPTY}", ("", True)),
        ("$${A}", ("${A}", False)),
        ("$A {A} $", ("$A {A} $", False)),
    ],
)
def test_interpolation(text: str, expected: tuple[str, bool]) -> None:
    assert interpolate(text, {"A": "1", "B": "${A}", "EMPTY": ""}) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("${C}", "variable C is not set"), ("${", "not begin a reference"), ("${a b}", "$${")]
)
def test_missing_or_malformed(text: str, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        interpolate(text, {})
    assert expected in str(caught.value)
