"""A job that catches up with several partitions gets their events in the order of time, however slowly they come."""

import pytest

from bench.catch_up import late_events
from flows.kafka import consumer
from flows.kafka.consumer import Reader
from flows.kafka.partition_buffer import WAIT_SECONDS, TimeMerge
from tests.support.kafka_fixtures import AnyBroker, Clock

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("partitions", [1, 8])
def test_events_of_a_full_topic_come_in_the_order_of_time_from_a_slow_broker(
    broker: AnyBroker, partitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, fill = Clock(), Reader.fill

    def fill_slowly(reader: Reader) -> None:
        held = reader.buffered
        fill(reader)
        if reader.buffered > held:
            clock.seconds += WAIT_SECONDS / 2

    monkeypatch.setattr(consumer, "TimeMerge", lambda high: TimeMerge(high, clock.monotonic))
    monkeypatch.setattr(Reader, "fill", fill_slowly)
    assert late_events(broker.bootstrap, partitions, 20_000) == (20_000, 0)
