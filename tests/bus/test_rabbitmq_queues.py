"""The layout in RabbitMQ: what a foreign reader of our messages sees, and what keeps queues from losing any."""

from aiormq import spec

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


def test_queues_dead_letter_at_least_once() -> None:
    for arguments in (subscription_arguments("mirror"), retry_arguments("mirror", 600_000)):
        assert arguments["x-queue-type"] == "quorum"
        assert arguments["x-dead-letter-strategy"] == "at-least-once"
        assert arguments["x-overflow"] == "reject-publish"


def test_a_header_that_is_no_number_counts_nothing() -> None:
    assert [number(headers, "a") for headers in (None, {}, {"a": "x"}, {"a": 2})] == [0, 0, 0, 2]
