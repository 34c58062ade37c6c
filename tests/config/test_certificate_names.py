"""One form for each way of writing a certificate's name."""

import pytest

from config.certificate_names import normal_form

_DIGITS = "0123456789abcdef" * 4


@pytest.mark.parametrize("text", [_DIGITS, _DIGITS.upper(), f" {_DIGITS} ", ":".join(_DIGITS[i : i + 2] for i in range(0, 64, 2))])
def test_a_thumbprint_has_one_form(text: str) -> None:
    assert normal_form(text) == _DIGITS


@pytest.mark.parametrize("text", ["CN=a,O=b", " 2.5.4.3=a,O=b"])
def test_a_subject_has_one_form(text: str) -> None:
    assert normal_form(text) == "CN=a,O=b"


def test_order_and_case_of_a_subject_matter() -> None:
    assert len({normal_form(text) for text in ("CN=a,O=b", "O=b,CN=a", "CN=A,O=b", "CN=a+O=b")}) == 4


@pytest.mark.parametrize(
    "text", ["", " ", ":", "shop", "CN", "=a", _DIGITS[1:], _DIGITS + "0", _DIGITS[:-1] + "g", "CN=a,,O=b", "CN=a, O=b"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        normal_form(text)
