"""Scores that are probabilities: whether they come true as often as they say, and the threshold below which nothing
is recommended."""

import random
from collections.abc import Callable, Iterable
from math import inf, nan
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.evaluation.calibration import Reliability
from flows.evaluation.scorer import PrequentialScorer
from flows.messages import FALLBACK_USER, Interaction, Ranked, Refresh
from flows.monitoring.counters import Counters
from flows.replay import replay
from flows.settings import Settings, SettingsError, load_settings
from flows.steps.emit import Emission, Emitter
from recmodels import Recommender
from recmodels.base import Context
from recmodels.evaluation.metrics import Calibration
from tests.support.cli import freshrank
from tests.support.flow import Flow, event, sample_records

CHANCES = {"tea": 0.7, "jam": 0.2, "pie": 0.1}


class Calibrated(Recommender):
    """A model that knows the truth."""

    scores_are_probabilities = True

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        self.register(user, item)

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        return CHANCES[item]


class Boasting(Calibrated):
    """A model that says twice the truth."""

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        return min(2 * CHANCES[item], 1.0)


def drawn(count: int, stretch: Callable[[float], float]) -> Calibration:
    """Lists of three items whose probabilities are known, told through `stretch`."""
    draw, calibration = random.Random(7), Calibration()
    for _ in range(count):
        chances = [draw.uniform(0, 0.6), draw.uniform(0, 0.3), draw.uniform(0, 0.1)]
        at = draw.random()
        chosen = next((k for k in range(3) if at < sum(chances[: k + 1])), -1)
        calibration.update([stretch(chance) for chance in chances], chosen)
    return calibration


def test_true_probabilities_have_no_error_and_others_have_theirs() -> None:
    assert drawn(20_000, lambda chance: chance).error < 0.008
    assert drawn(20_000, lambda chance: chance + 0.1).error == pytest.approx(0.1, abs=0.008)
    assert drawn(20_000, lambda chance: chance / 2).error == pytest.approx((0.3 + 0.15 + 0.05) / 3 / 2, abs=0.008)


def test_bins_hold_about_as_many_and_rise() -> None:
    bins = drawn(5_000, lambda chance: chance).bins()
    assert len(bins) == 10
    assert sum(each.listed for each in bins) == 15_000
    assert all(1_300 < each.listed < 1_700 for each in bins)
    assert [each.score for each in bins] == sorted(each.score for each in bins)


def test_single_value_is_one_bin_and_no_data_is_no_error() -> None:
    assert Calibration().error == 0.0
    assert Calibration().bins() == []
    calibration = Calibration()
    for chosen in [0, 0, 0, -1]:
        calibration.update([0.25], chosen)
    assert [tuple(each) for each in calibration.bins()] == [(4, 0.25, 0.75)]
    assert calibration.error == 0.5


@pytest.mark.parametrize("score", [nan, inf, -0.1, 1.1])
def test_invalid_probability_is_refused(score: float) -> None:
    calibration = Calibration()
    calibration.update([0.5, score], 0)
    with pytest.raises(ValueError, match="expected probabilities from 0 to 1; got"):
        calibration.bins()


def test_scores_of_the_list_on_the_topic_count() -> None:
    reliability, emitter = Reliability(), Emitter(Emission(max_users=10), Counters())

    def pass_on(ranked: Ranked) -> list[tuple[float, ...]]:
        for decided in emitter.process([ranked]):
            reliability.add(decided)
        return [tuple(each) for each in reliability.calibration.bins()]

    tea = Interaction("ann", "tea", 1.0)
    assert pass_on(Ranked(tea, 0, ["tea"], [0.9])) == [], "ann had no list"
    assert pass_on(Ranked(Refresh(FALLBACK_USER, 1.0), None, ["tea"], [0.5])) == []
    assert pass_on(Ranked(tea, None, ["tea"], [0.8])) == [], "an event that is not scored"
    assert pass_on(Ranked(tea, -1, ["jam"], [0.2])) == [(1, 0.8, 1.0)]
    assert pass_on(Ranked(tea, -1, [], [])) == [(1, 0.2, 0.0), (1, 0.8, 1.0)]
    assert len(pass_on(Ranked(tea, -1, [], []))) == 2, "an empty list says nothing"
    assert pass_on(Ranked(Interaction("bob", "jam", 2.0), -1, [], []))[1] == (1, 0.5, 0.0), "bob had the fallback list"


def write_drawn(write_log: Callable[[Iterable[str]], Path], count: int) -> Path:
    draw = random.Random(2)
    items = [*CHANCES, *draw.choices(list(CHANCES), list(CHANCES.values()), k=count)]
    return write_log(event(f"u{n % 9}", item, float(n)).decode() for n, item in enumerate(items))


@pytest.mark.parametrize(("model", "error"), [("Calibrated", 0.0), ("Boasting", (0.3 + 0.2 + 0.1) / 3)])
def test_replay_reports_the_calibration_error(
    write_log: Callable[[Iterable[str]], Path], model: str, error: float
) -> None:
    log = write_drawn(write_log, 4_000)
    result = replay(log, Settings(model=f"tests.evaluation.test_reliability:{model}"))
    assert result.metrics["ece"] == pytest.approx(error, abs=0.02)
    table = result.report()["reliability"]
    assert [set(row) for row in table] == [{"listed", "score", "share"}] * 3
    assert [row["share"] for row in table] == pytest.approx(sorted(CHANCES.values()), abs=0.03)


def test_scores_that_are_no_probabilities_are_not_measured(write_log: Callable[[Iterable[str]], Path]) -> None:
    result = replay(write_drawn(write_log, 50), Settings(model="popularity"))
    assert "ece" not in result.metrics
    assert "reliability" not in result.report()


# The threshold.


@pytest.mark.parametrize("model", ["blend", "popularity", "river:reco.BiasedMF(n_factors=4, seed=1)"])
def test_lists_leave_out_what_is_below_the_threshold_and_nothing_else(model: str) -> None:
    records = sample_records(200)
    whole = Flow(records, model=model)
    scores = sorted(entry["score"] for each in whole.lists for entry in each["items"])
    least = scores[len(scores) // 2]
    cut = Flow(records, model=model, min_score=least)
    assert len(cut.sent) == 200, "an empty list is a list"
    for before, after in zip(whole.lists, cut.lists, strict=True):
        assert after["items"] == [entry for entry in before["items"] if entry["score"] >= least]
    assert 0 < sum(len(each["items"]) for each in cut.lists) < len(scores)
    positions = [[each.ranked.position for each in flow.decided] for flow in (whole, cut)]
    assert positions[0] == positions[1], "what the model would have said is another thing"


def test_a_threshold_above_all_leaves_empty_lists_that_are_held() -> None:
    flow = Flow([event("ann", "tea", 1.0), event("ann", "tea", 2.0)], min_score=1e9, fallback=True)
    assert [each["items"] for each in flow.lists] == [[], []]
    scores = PrequentialScorer()
    for decided in flow.decided:
        scores.add(decided)
    assert scores.served_hit_rate == 0.0 < scores.hit_rate


def test_a_score_that_is_no_number_is_below_every_threshold() -> None:
    ranked = Ranked(Interaction("ann", "tea", 1.0), None, ["a", "b", "c"], [nan, 0.5, -inf])
    (decided,) = Emitter(Emission(max_users=10, min_score=-1e308), Counters()).process([ranked])
    assert decided.ranked.items == ["b"]


def test_scores_of_the_items_above_the_threshold_count() -> None:
    emitter = Emitter(Emission(policy="changed", max_users=10, min_score=0.5), Counters())
    tea = Interaction("ann", "tea", 1.0)
    batch = [Ranked(tea, None, ["a", item], [0.9, 0.1]) for item in "bc"]
    assert [decided.is_emitted for decided in emitter.process(batch)] == [True, False]


def test_the_command_takes_a_threshold(write_log: Callable[[Iterable[str]], Path], tmp_path: Path) -> None:
    out = tmp_path / "lists.jsonl"
    log = write_drawn(write_log, 20)
    done = freshrank(
        "replay", log, "--model", "tests.evaluation.test_reliability:Calibrated", "--min-score", 0.5, "--out", out
    )
    assert done.returncode == 0, done.stderr
    lists: list[dict[str, Any]] = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert lists[-1]["items"] == [{"item": "tea", "score": 0.7}]


@pytest.mark.parametrize("value", ["high", "nan"])
def test_a_threshold_that_is_no_number_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match="setting min_score: Input should be a"):
        load_settings(min_score=value)
