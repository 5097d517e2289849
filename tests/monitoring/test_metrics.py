"""Metrics: scraped over HTTP from a running flow, and compared with what happened."""

import time
from collections.abc import Callable
from pathlib import Path

import prometheus_client
import pytest

from flows.monitoring.metrics import EDGES, registry_of
from flows.settings import Settings
from flows.state.recovery import recovery_in
from flows.steps.refresh import EVENTS_PER_FALLBACK
from tests.support.flow import sample_records
from tests.support.monitored_flow import mixed, scrape, watching


def test_scraped_metrics_equal_the_counters() -> None:
    job = watching(mixed(500))
    with job.serve() as url:
        job.run(emit="changed", repeats="exclude")
        told = scrape(url)
    counters = job.connections.counters
    assert told["freshrank_received_total", ""] == counters.read == 508
    assert told["freshrank_learned_total", ""] == counters.learned == 502
    assert told["freshrank_rejected_total", "not JSON"] == 2
    assert told["freshrank_rejected_total", "empty id"] == 1
    assert told["freshrank_rejected_total", "not UTF-8"] == 0, "a reason that has not been met is there from the start"
    assert sum(count for (name, _), count in told.items() if name == "freshrank_events_total") == 502
    assert told["freshrank_duplicate_total", ""] == told["freshrank_item_events_total", ""] == 1
    assert told["freshrank_forgotten_total", ""] == 1
    assert told["freshrank_late_total", ""] == counters.late > 0
    assert told["freshrank_ahead_total", ""] == counters.ahead == 1
    assert (
        told["freshrank_emitted_total", ""] + told["freshrank_suppressed_total", ""] == 503 + 502 // EVENTS_PER_FALLBACK
    )
    assert told["freshrank_suppressed_total", ""] == counters.suppressed
    assert 0 < told["freshrank_hits_total", ""] == counters.hits < told["freshrank_scored_total", ""] == counters.scored
    assert told["freshrank_list_latency_seconds_count", ""] == counters.emitted
    assert told["freshrank_list_latency_seconds_bucket", "+Inf"] == counters.emitted
    assert told["freshrank_event_age_seconds", ""] == pytest.approx(time.time() - (counters.event_time or 0), abs=3_600)
    assert 0 <= told["freshrank_since_progress_seconds", ""] < 3_600
    assert ("freshrank_epoch_pause_seconds_count", "") in told


@pytest.mark.slow
def test_hits_are_the_hit_rate_that_a_replay_measures(write_log: Callable[..., Path]) -> None:
    from flows.replay import replay

    records = sample_records(3_000)
    job = watching(records)
    job.run(repeats="exclude")
    result = replay(write_log(record.decode() for record in records), Settings(repeats="exclude"))
    assert job.connections.counters.scored == len(result.outcomes)
    assert job.connections.counters.hits / job.connections.counters.scored == pytest.approx(result.hit_rate, abs=1e-12)


@pytest.mark.slow
def test_snapshots_and_state_are_measured(tmp_path: Path) -> None:
    job = watching(sample_records(3_000), state=tmp_path / "state")
    with recovery_in(tmp_path, {"model": "blend"}) as recovery, job.serve() as url:
        assert recovery is not None
        job.connections.store = recovery.store
        job.run(recovery, epoch_seconds=0.01)
        told = scrape(url)
    for step in ("clean", "learn"):
        on_disk = sum(path.stat().st_size for path in (tmp_path / "state" / step).iterdir())
        assert told["freshrank_state_bytes", step] == on_disk > 0
    assert told["freshrank_epoch_pause_seconds_count", ""] > 0
    assert 0 < told["freshrank_last_epoch_pause_seconds", ""] < told["freshrank_epoch_pause_seconds_sum", ""] + 1e-9


def test_a_pause_is_from_the_first_partitions_snapshot_to_the_next_question() -> None:
    watched = watching([]).watched
    for epoch in (1, 2):
        watched.note_question()
        watched.note_snapshot({"offsets": {"events/0": 5}})
        watched.note_snapshot({"offsets": {"events/1": 7, "events/2": 9}})
        assert watched.pauses.cumulative(EDGES)[1] == epoch - 1
        for _ in range(3):
            watched.note_question()
        assert watched.pauses.cumulative(EDGES)[1] == epoch
    assert watched.positions == {("events", 0): 5, ("events", 1): 7, ("events", 2): 9}


def test_the_watched_flow_is_the_same_flow() -> None:
    records = mixed(300)
    watched, plain = watching(records), watching(records)
    plain.connections.source = plain.watched.source
    watched.run()
    plain.run()
    assert watched.sent == plain.sent
    assert len(watched.sent) > 300
    assert list(watched.watched.positions.values()) == [len(records)]


def test_the_engines_registry_is_left_alone() -> None:
    before = {family.name for family in prometheus_client.REGISTRY.collect()}
    registry_of(watching([]).gathered)
    after = {family.name for family in prometheus_client.REGISTRY.collect()}
    assert before == after
    assert not any(name.startswith("freshrank") for name in after)
