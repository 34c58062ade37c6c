"""The clock of the hot path: the interpreter's own, whichever build gives it."""

import time

from gateway import clock


def test_it_is_the_clock_that_everybody_else_asks() -> None:
    before = time.monotonic()
    between = clock.monotonic()
    assert before <= between <= time.monotonic()
