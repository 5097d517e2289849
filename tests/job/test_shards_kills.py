"""`bench.shards_kills`: shards that are killed again and again answer each event, and count what one process counts."""

from pathlib import Path

import pytest

from bench.shards_kills import hit_rate, measure
from flows.sample import EVENTS
from tests.support.kafka_fixtures import AnyBroker


@pytest.mark.kafka
@pytest.mark.slow
def test_four_shards_with_kills_over_all_of_them_lose_nothing(broker: AnyBroker, tmp_path: Path) -> None:
    found = measure(broker.bootstrap, tmp_path, EVENTS, limit=1_500, shards=4, kills=6, seconds=60.0)
    assert sum(found.kills.values()) == 6
    assert found.answered == found.events == 1_500
    assert found.counts > 1_000
    assert found.differing == 0
    assert found.decayed_by < 1e-9
    assert found.hit_rate > 0.25 * found.hit_rate_simulated


def test_the_hit_rate_is_that_of_the_list_from_the_event_before() -> None:
    rows = [("ann", "tea", 0.0), ("bob", "jam", 1.0), ("ann", "jam", 2.0), ("bob", "pie", 3.0)]
    assert hit_rate(rows, [["jam"], ["tea"], [], []]) == 0.25
