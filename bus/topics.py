"""Topic names and patterns, as AMQP's topic exchange matches them: `*` is one segment, `#` any number, also none."""

import functools
import re
from collections.abc import Callable, Sequence

from core.bus import Envelope, Subscription
from core.errors import InvalidInput

_TOPIC = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_PATTERN = re.compile(r"([a-z0-9_-]+|\*|#)(\.([a-z0-9_-]+|\*|#))*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")
_RESERVED = re.compile(r"\.dead$|\.retry\.\d+$")
_MAX_TOPIC = 255  # an AMQP routing key is a short string


def check_topics(envelopes: Sequence[Envelope]) -> None:
    """Raise InvalidInput for a topic that no transport could route."""
    for topic in {envelope.topic for envelope in envelopes}:  # few topics, many envelopes
        if len(topic) > _MAX_TOPIC or not _TOPIC.fullmatch(topic):
            named = next(envelope.id for envelope in envelopes if envelope.topic == topic)
            raise InvalidInput(
                f"envelope {named}: topic {topic!r} is not segments of [a-z0-9_-] joined by dots, at most {_MAX_TOPIC} characters"
            )


def check_subscription(subscription: Subscription) -> None:
    """Raise InvalidInput for a name, pattern or number that can't be declared."""
    where = f"subscription {subscription.name!r}"
    if not _NAME.fullmatch(subscription.name):
        raise InvalidInput(f"{where}: a name is 1 to 200 letters, digits and _ . : - and starts with a letter or digit")
    if _RESERVED.search(subscription.name):
        raise InvalidInput(f"{where}: names that end in .dead or .retry.<number> are the transport's own")
    check_pattern(subscription.pattern, f"{where}: ")
    if subscription.prefetch < 1 or subscription.max_attempts < 1:
        raise InvalidInput(f"{where}: prefetch and max_attempts must be 1 or more")


def check_pattern(pattern: str, where: str = "") -> None:
    """Raise InvalidInput for what is no pattern of topics."""
    if len(pattern) > _MAX_TOPIC or not _PATTERN.fullmatch(pattern):
        raise InvalidInput(f"{where}pattern {pattern!r} is not segments of [a-z0-9_-], * or # joined by dots")


@functools.lru_cache(maxsize=1024)
def matcher(pattern: str) -> Callable[[str], bool]:
    """A predicate over topics for `pattern`."""
    wanted = tuple(pattern.split("."))

    @functools.lru_cache(maxsize=4096)  # few topics, many messages
    def matches(topic: str) -> bool:
        return _matches(wanted, tuple(topic.split(".")))

    return matches


def _matches(pattern: tuple[str, ...], topic: tuple[str, ...]) -> bool:
    """Row by row over the pattern, so that many `#` cost no more than pattern times topic."""
    reachable = {0}  # how many segments of the topic the pattern so far can have used
    for segment in pattern:
        if segment == "#":
            reachable = set(range(min(reachable), len(topic) + 1)) if reachable else reachable
        else:
            reachable = {used + 1 for used in reachable if used < len(topic) and segment in ("*", topic[used])}
    return len(topic) in reachable
