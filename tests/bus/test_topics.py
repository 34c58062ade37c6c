"""Topics and patterns: AMQP's matching, against a regular expression as the model, and what is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.topics import check_subscription, check_topics, matcher
from core.bus import Envelope, Subscription
from core.errors import InvalidInput


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("#", "a", True),
        ("#", "a.b.c", True),
        ("*", "a.b", False),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.c", False),
        ("a.#", "a", True),
        ("a.#.c", "a.c", True),
        ("a.#.c", "a.b.b.c", True),
        ("a.#.c", "a.b.b", False),
        ("#.#", "a", True),
        ("*.#.*", "a", False),
        ("a", "ab", False),
    ],
)
def test_a_pattern_matches_whole_segments(pattern: str, topic: str, matches: bool) -> None:
    assert matcher(pattern)(topic) is matches


def _as_expression(pattern: list[str]) -> str:
    parts = {"#": r"(?:\.\w+)*", "*": r"\.\w+"}
    return "".join(parts.get(segment, rf"\.{segment}") for segment in pattern)


_segments = st.sampled_from(["a", "b", "c"])


@given(
    st.lists(st.one_of(_segments, st.sampled_from(["*", "#"])), min_size=1, max_size=6), st.lists(_segments, min_size=1, max_size=8)
)
def test_it_matches_as_a_regular_expression_would(pattern: list[str], topic: list[str]) -> None:
    expected = re.fullmatch(_as_expression(pattern), "." + ".".join(topic)) is not None
    assert matcher(".".join(pattern))(".".join(topic)) is expected


@pytest.mark.parametrize("topic", ["", "A", "a..b", ".a", "a.", "a b", "a.*", "x" * 256])
def test_a_wrong_topic_names_its_envelope(topic: str) -> None:
    with pytest.raises(InvalidInput, match="e7"):
        check_topics([Envelope("e7", topic, "s", 0, "k", 1, "x", b"")])


@pytest.mark.parametrize(
    "subscription",
    [
        Subscription("", "#"),
        Subscription("a/b", "#"),
        Subscription("a.dead", "#"),
        Subscription("a.retry.600000", "#"),
        Subscription("a", ""),
        Subscription("a", "a.**"),
        Subscription("a", "#", prefetch=0),
        Subscription("a", "#", max_attempts=0),
    ],
)
def test_a_subscription_that_cannot_be_is_refused(subscription: Subscription) -> None:
    with pytest.raises(InvalidInput, match="subscription"):
        check_subscription(subscription)
