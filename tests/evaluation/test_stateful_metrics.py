"""The report of a replay that was stopped and resumed equals that of one that was never stopped."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.evaluation.calibration import Reliability
from flows.evaluation.scorer import PrequentialScorer
from flows.evaluation.stateful_metrics import StatefulMetrics
from flows.messages import Decided, Forget, Interaction, Ranked
from flows.monitoring.counters import Counters
from flows.replay import ReplayResult, replay
from flows.settings import Settings
from flows.state.store import MOST_SNAPSHOTS, Store

MODEL = "river:reco.Baseline"  # no kernels
OF_THE_PROCESS = ("seconds", "cpu_seconds", "events_per_second", "latency_us", "peak_rss_mb")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    rows = ["user,item,timestamp,event,id"]
    for n in range(400):
        rows.append(
            f"u{n * 7 % 23},i{n * 5 % 17},{1_600_000_000 + n - 3 * (n % 10 == 0)},{'buy' if n % 3 else 'view'},e{n}"
        )
        if n % 40 == 9:
            rows += ["broken", ",i1,5,view,", rows[-1]]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def told(result: ReplayResult) -> dict[str, Any]:
    return {name: value for name, value in result.report().items() if name not in OF_THE_PROCESS}


@pytest.mark.parametrize("stops", [[1], [211], [5, 100, 101, 390]])
def test_a_resumed_replay_reports_the_whole_log(log: Path, tmp_path: Path, stops: list[int]) -> None:
    whole = replay(log, Settings(model=MODEL))
    resumed = Settings(model=MODEL, recovery=tmp_path / "state", epoch_seconds=0.01)
    for limit in stops:
        replay(log, resumed, limit=limit)
    last = replay(log, resumed)
    assert told(last) == told(whole)
    assert last.counters.faults == whole.counters.faults
    assert last.last_lists == whole.last_lists
    for name, column in whole.outcomes.arrays().items():
        np.testing.assert_array_equal(last.outcomes.arrays()[name], column)


def test_a_resumed_replay_tells_all_that_rules_did(log: Path, tmp_path: Path) -> None:
    rules = {"few": {"exclude": "item in ['i1', 'i2']"}, "late": {"require": "item != 'i3'", "when": "hour > 12"}}
    asked: dict[str, Any] = {"model": MODEL, "rules": rules, "diversity": 0.3, "hide": ["buy"], "top": 9}
    whole = replay(log, Settings(**asked)).report()["rules"]
    assert whole["removed"]["few"] > 20
    assert whole["short"] > 5
    for limit in (100, 250, None):
        resumed = replay(log, Settings(**asked, recovery=tmp_path / "state", epoch_seconds=0.01), limit=limit)
    assert resumed.report()["rules"] == whole


def test_a_finished_replay_still_knows_what_it_measured(log: Path, tmp_path: Path) -> None:
    settings = Settings(model=MODEL, recovery=tmp_path / "state")
    first = replay(log, settings)
    again = replay(log, settings)
    assert told(again) == told(first)
    assert again.problem is not None
    assert first.problem is None


def decided(number: int) -> Decided:
    user = f"u{number * 3 % 7}"
    if number % 11 == 5:
        return Decided(Ranked(Forget(user, float(number)), None, None, None), True)
    event = Interaction(user, f"i{number % 5}", float(number))
    scores = [0.6, 0.3, 0.1]
    items = [f"i{(number + place) % 5}" for place in range(3)]
    return Decided(Ranked(event, number % 4 - 1, items, scores), number % 6 != 2)


def kept() -> StatefulMetrics:
    return StatefulMetrics(PrequentialScorer(k=2, reliability=Reliability()), Counters())


def test_metrics_of_a_replay_survive_a_stop_at_any_event(tmp_path: Path) -> None:
    whole = kept()
    whole.process([decided(number) for number in range(300)])
    pointer, state = None, kept()
    for start in range(0, 300, 25):
        store, state = Store(tmp_path / "measures"), kept()
        store.load(state, pointer)
        for number in range(start, start + 25, 5):
            state.process([decided(each) for each in range(number, number + 5)])
            pointer = store.save(state)
    assert told_by(state) == told_by(whole)


def told_by(state: StatefulMetrics) -> dict[str, Any]:
    scores = state.scores
    assert scores.reliability is not None
    return {
        "lists": list(scores.last_lists(99).items()),
        "users": scores.users,
        "items": scores.items,
        "events": (scores.events, scores.filled, scores.erased),
        "ece": scores.reliability.calibration.bins(),
        "outcomes": {name: column.tolist() for name, column in scores.outcomes.arrays().items()},
    }


def test_an_erased_user_is_gone_from_the_files(tmp_path: Path) -> None:
    name, state, store = "erasable-user-4711", kept(), Store(tmp_path / "measures")
    store.load(state, None)
    event = Interaction(name, "i1", 0.0)
    state.process([Decided(Ranked(event, 0, ["i1", "i2"], [0.6, 0.4]), True)])
    store.save(state)
    assert holds(tmp_path, name)
    state.process([Decided(Ranked(Forget(name, 1.0), None, None, None), True)])
    for number in range(2 * MOST_SNAPSHOTS + 2):
        state.process([decided(number)])
        store.save(state)
    assert not holds(tmp_path, name)
    assert state.scores.erased >= 1


def holds(directory: Path, text: str) -> bool:
    return any(text.encode() in path.read_bytes() for path in directory.rglob("*") if path.is_file())
