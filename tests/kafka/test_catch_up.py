"""A job that catches up with several partitions gets most of their events in the order of time."""

import pytest

from bench.catch_up import late_events
from tests.support.kafka_fixtures import AnyBroker

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("partitions", [1, 8])
def test_most_events_of_a_full_topic_come_in_the_order_of_time(broker: AnyBroker, partitions: int) -> None:
    read, late = late_events(broker.bootstrap, partitions, 20_000)
    assert read == 20_000
    assert late < 10_000, "read one partition after the other, seven of eight events would be late"
