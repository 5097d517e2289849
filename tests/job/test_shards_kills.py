"""`bench.shards_kills`: shards that are killed again and again answer each event, and count what one process counts."""

from pathlib import Path

import pytest

from bench.shards_kills import MODEL, ROUND, difference, hit_rate, in_order, measure, rows_of
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from tests.support.kafka_fixtures import AnyBroker

LIMIT = 4_000
"""Number of events. With a third of them, shards that tell each other nothing differ by less than chance allows."""
ERRORS = 3.0
"""Standard errors by which a hit rate may fall short of another one: by chance, more happens once in 700 times."""


@pytest.mark.kafka
@pytest.mark.slow
def test_four_shards_with_kills_over_all_of_them_lose_nothing(broker: AnyBroker, tmp_path: Path) -> None:
    found = measure(broker.bootstrap, tmp_path, EVENTS, limit=LIMIT, shards=4, kills=6, seconds=60.0)
    assert sum(found.kills.values()) == 6
    assert found.answered == found.events == LIMIT
    assert found.counts > 1_000
    assert found.differing == 0
    assert found.decayed_by < 1e-9
    assert found.from_simulated.mean > -ERRORS * found.from_simulated.error, found.lines()


@pytest.mark.slow
def test_shards_that_tell_each_other_nothing_are_worse_than_chance_allows(tmp_path: Path) -> None:
    rows, settings = rows_of(EVENTS, LIMIT), Settings(model=MODEL, repeats="exclude", fallback=False)

    def simulated(round_events: int) -> list[list[str]]:
        out = tmp_path / f"{round_events}.jsonl"
        replay(EVENTS, settings, limit=LIMIT, out=out, shards=4, round_events=round_events)
        return in_order(rows, out)

    found = difference(rows, simulated(LIMIT), simulated(ROUND))
    assert found.mean < -ERRORS * found.error
    nothing = difference(rows, [[] for _ in rows], simulated(ROUND))
    assert nothing.mean < -ERRORS * nothing.error


def test_the_hit_rate_is_that_of_the_list_from_the_event_before() -> None:
    rows = [("ann", "tea", 0.0), ("bob", "jam", 1.0), ("ann", "jam", 2.0), ("bob", "pie", 3.0)]
    assert hit_rate(rows, [["jam"], ["tea"], [], []]) == 0.25
