"""Which regular expressions may be declared."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.check_regex import MAX_LENGTH, regex_problem


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "v2",
        "v[12].*",
        ".*beta.*",
        "(?i)mobile|tablet",
        r"\d{1,3}(\.\d{2}){3}",
        "(ab)+",
        "(a|b)",
        "[a-z]+-[0-9]+",
        "(?:x{3})+",
        "é+",
    ],
)
def test_plain_ones_may_be_used(pattern: str) -> None:
    assert regex_problem(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(", "is no regular expression"),
        ("a{5,2}", "is no regular expression"),
        ("(?L)a", "is no regular expression"),
        ("[z-a]", "is no regular expression"),
        ("(a+)+", "repeat inside a repeat"),
        ("(a*)*b", "repeat inside a repeat"),
        ("(a?){50}", "repeat inside a repeat"),
        ("(a{1,3}b){2}", "repeat inside a repeat"),
        ("(a|ab)+", "alternatives inside a repeat"),
        (".*a.*b.*", "3 repeats without an upper bound"),
        ("(x|.*a.*b.*)", "3 repeats without an upper bound"),
        ("a{1000}", "repeat of more than 256"),
        (r"(a)\1", "looks around or back"),
        ("(?=a)b", "looks around or back"),
        ("(?<!a)b", "looks around or back"),
        ("(?>a+)", "looks around or back"),
        ("a" * (MAX_LENGTH + 1), "at most 256 characters"),
        ("(" * 200 + ")" * 56, "is no regular expression"),
    ],
)
def test_what_may_cost_without_bound_is_refused(pattern: str, text: str) -> None:
    assert text in (regex_problem(pattern) or "")


@given(st.text(st.sampled_from("ab().*+?[]{}|\\^$-12,:<=!P&~"), max_size=40))
def test_whatever_is_written_is_judged_and_what_is_taken_compiles(pattern: str) -> None:
    if regex_problem(pattern) is None:
        re.compile(pattern).fullmatch("ab" * 200)


def test_the_worst_that_is_taken_ends() -> None:
    assert regex_problem(".*a.*b") is None
    assert re.fullmatch(".*a.*b", "a" * 512) is None  # its square in steps, not two to its power
