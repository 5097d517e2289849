"""Replays with a request before each visit, and the hit rate of the lists that readers get then."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from flows.errors import UsageError
from flows.evaluation.protocol import Protocol
from flows.evaluation.ranking_metrics import metric_names
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings

WriteLog = Callable[[Iterable[str]], Path]

ASKING = Protocol(requests="visits")


def clicks(*events: tuple[str, str, float]) -> list[str]:
    return [json.dumps({"user": user, "item": item, "timestamp": time}) for user, item, time in events]


def test_each_visit_is_served_what_the_model_knows_then(write_log: WriteLog) -> None:
    # "ann" comes back after an hour, when "jam" has become known; "bob" is new; the last event is the same visit.
    lines = clicks(
        ("ann", "tea", 0), ("eve", "jam", 1800), ("ann", "jam", 3600), ("bob", "tea", 3700), ("bob", "jam", 3800)
    )
    result = replay(write_log(lines), Settings(), protocol=ASKING)
    assert (result.outcomes.arrays()["served"] >= 0).tolist() == [False, False, False, False, True]
    assert (result.outcomes.arrays()["with_requests"] >= 0).tolist() == [False, False, True, True, True]
    assert result.counters.requests == result.counters.requests_of_replay == 4
    assert result.counters.read == result.counters.learned == 5
    assert result.messages_per_event == 9 / 5


def test_visit_begins_after_half_an_hour(write_log: WriteLog) -> None:
    lines = clicks(*(("ann", "tea", time) for time in (0, 1_800, 3_600, 5_401)))
    assert replay(write_log(lines), Settings(), protocol=ASKING).counters.requests == 2


@pytest.mark.slow
def test_first_event_of_each_visit_is_served_the_fresh_list() -> None:
    settings = Settings(repeats="exclude", fallback=False)
    result = replay(EVENTS, settings, protocol=ASKING, limit=4_000)
    plain = replay(EVENTS, settings, limit=4_000)
    mine, theirs = result.outcomes.arrays(), plain.outcomes.arrays()
    for column in ("position", "served"):
        assert np.array_equal(mine[column], theirs[column]), "requests change nothing else"
    new = mine["user_events"] == 0
    assert np.array_equal(mine["with_requests"][new], mine["position"][new])
    assert result.metrics["served_hit_rate_with_requests@10"] > result.metrics["served_hit_rate@10"]
    assert result.calibration is not None
    assert plain.calibration is not None
    assert result.calibration.error == plain.calibration.error
    assert result.report()["messages_per_event"] == pytest.approx(1 + result.counters.requests / 4_000)


def test_metrics_of_requests_exist_only_with_requests(write_log: WriteLog) -> None:
    result = replay(write_log(clicks(("ann", "tea", 0), ("ann", "tea", 1))), Settings())
    assert "with_requests" not in result.outcomes.arrays()
    assert set(result.metrics) <= {*metric_names([10]), "ece"}
    assert "served_hit_rate_with_requests@10" not in metric_names([10])
    assert "served_hit_rate_with_requests@10" in metric_names([10], "visits")


def test_wrong_word_for_requests_is_named() -> None:
    with pytest.raises(UsageError, match="--requests: expected none or visits; got 'all'"):
        Protocol(requests="all")  # type: ignore[arg-type]
