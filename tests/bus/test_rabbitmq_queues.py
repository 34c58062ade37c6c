"""The layout in RabbitMQ: what a foreign reader of our messages sees, and what keeps queues from losing any."""

import string

from aiormq import spec
from hypothesis import given
from hypothesis import strategies as st

from bus.rabbitmq_queues import CAUSE, number, properties, retry_arguments, subscription_arguments
from core.bus import Envelope


def test_cloud_events_attributes_travel_as_headers() -> None:
    sent = Envelope("e1", "sales.orders.upsert", "sales", 1_700_000_000_123, "k7", 3, "application/json", b"{}", "00-a-b-01")
    made = properties(sent, **{CAUSE: "no key"})
    assert isinstance(made, spec.Basic.Properties)
    assert (made.message_id, made.delivery_mode) == ("e1", 2)
    assert made.headers == {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": "e1",
        "cloudEvents:source": "sales",
        "cloudEvents:type": "sales.orders.upsert",
        "cloudEvents:time": "2023-11-14T22:13:20.123Z",
        "cloudEvents:subject": "k7",
        "cloudEvents:datacontenttype": "application/json",
        "cloudEvents:traceparent": "00-a-b-01",
        "x-zhiyun-cause": "no key",
    }


VALUES = st.text(max_size=300) | st.integers(-(2**63), 2**63 - 1)


@given(
    text=st.text(max_size=120), headers=st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=100), VALUES, max_size=4)
)
def test_properties_are_written_as_the_client_library_writes_them(text: str, headers: dict[str, str | int]) -> None:
    made = properties(Envelope("ev_1", "a.b", text, 1, text, 1, "application/json", b"", text), **headers)
    plain = spec.Basic.Properties(
        content_type=made.content_type,
        delivery_mode=made.delivery_mode,
        message_id=made.message_id,
        headers=made.headers,
        timestamp=made.timestamp,
    )
    written = made.marshal()
    assert sorted(written) == sorted(plain.marshal())  # the library sorts the headers by name
    flags = int.from_bytes(written[:2], "big")
    back = spec.Basic.Properties()
    back.unmarshal(flags, written[2:])
    assert (back, dict(back.headers or {})) == (plain, made.headers)


def test_queues_dead_letter_at_least_once() -> None:
    for arguments in (subscription_arguments("mirror"), retry_arguments("mirror", 600_000)):
        assert arguments["x-queue-type"] == "quorum"
        assert arguments["x-dead-letter-strategy"] == "at-least-once"
        assert arguments["x-overflow"] == "reject-publish"


def test_a_header_that_is_no_number_counts_nothing() -> None:
    assert [number(headers, "a") for headers in (None, {}, {"a": "x"}, {"a": 2})] == [0, 0, 0, 2]
