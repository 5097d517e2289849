"""A job that catches up with several partitions gets their events in the order of time."""

import pytest

from bench.catch_up import late_events
from tests.support.kafka_fixtures import AnyBroker

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("partitions", [1, 8])
def test_no_event_of_a_full_topic_is_late(broker: AnyBroker, partitions: int) -> None:
    assert late_events(broker.bootstrap, partitions, 20_000) == (20_000, 0)
