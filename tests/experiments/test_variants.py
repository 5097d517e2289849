"""Comparisons of settings, marks of the best, and what cannot change a metric."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cli import WRONG
from flows.errors import UsageError
from flows.experiments.compare import Comparison, Difference, ModelResult
from flows.experiments.default_space import default_space
from flows.experiments.effects import EMISSION, NOTHING, why_no_effect
from flows.experiments.interval_text import interval_text
from flows.experiments.search_space import SpaceError
from flows.experiments.variants import contenders_of, read_variants
from flows.replay import replay
from flows.settings import Settings, all_settings
from recmodels.evaluation.bootstrap import Interval
from tests.support.cli import freshrank
from tests.support.compare_fixtures import TWO, Compare

METRIC = "hit_rate@10"


@given(st.floats(-1.0, 1.0), st.floats(1e-7, 0.5), st.floats(1e-7, 0.5))
def test_the_text_of_an_interval_never_contradicts_it(mean: float, below: float, above: float) -> None:
    found = Interval(mean, mean - below, mean + above)
    text = interval_text(found)
    if "±" in text:
        middle, half = map(float, text.split(" ± "))
        low, high = middle - half, middle + half
    else:
        low, high = (float(end) for end in text.partition("(")[2].rstrip(")").split(" to "))
    assert (low <= 0.0 <= high) == found.holds_zero or min(abs(found.low), abs(found.high)) < 1e-8


def test_uneven_arms_are_written_as_both_ends() -> None:
    assert interval_text(Interval(0.01, 0.002, 0.03)) == "0.0100 (0.0020 to 0.0300)"
    assert interval_text(Interval(0.01, 0.002, 0.03), signed=True) == "+0.0100 (+0.0020 to +0.0300)"
    said = Difference("b", "a", METRIC, 9, Interval(-0.01, -0.03, -0.00001)).sentence()
    assert said == "b is worse than a by 0.01000 (0.00001 to 0.03000) in hit_rate@10."


def comparison(values: dict[str, float], intervals: dict[tuple[str, str], Interval]) -> Comparison:
    """Return a comparison with the differences given, by model and other model."""
    first, best = next(iter(values)), max(values, key=lambda name: values[name])
    found = {pair: Difference(*pair, METRIC, 100, interval) for pair, interval in intervals.items()}
    return Comparison(
        [ModelResult(name, {METRIC: value}, {"log": {}}, False, {}, {}) for name, value in values.items()],
        [each for (_, other), each in found.items() if other == first],
        METRIC,
        [each for (model, _), each in found.items() if model == best],
    )


def test_every_pair_with_the_first_or_the_best_has_a_sentence() -> None:
    sure, unsure = Interval(0.1, 0.05, 0.15), Interval(0.01, -0.02, 0.04)
    found = comparison(
        {"a": 0.1, "b": 0.2, "c": 0.21, "d": 0.12},
        {("b", "a"): sure, ("c", "a"): sure, ("d", "a"): unsure, ("c", "b"): unsure, ("c", "d"): sure},
    )
    assert found.sentences() == [
        "b is better than a by 0.1000 ± 0.0500 in hit_rate@10.",
        "c is better than a by 0.1000 ± 0.0500 in hit_rate@10.",
        "No difference between d and a can be told in hit_rate@10: 0.0100 ± 0.0300.",
        "No difference between c and b can be told in hit_rate@10: 0.0100 ± 0.0300.",
        "c is better than d by 0.1000 ± 0.0500 in hit_rate@10.",
        "Best in hit_rate@10: c, 0.2100. It cannot be told from b.",
    ]
    assert found.report()["best"]["better_than"] == ["a", "d"]


def test_equal_models_have_no_best() -> None:
    nothing = Interval(0.0, 0.0, 0.0)
    found = comparison({"a": 0.1, "b": 0.1}, {("b", "a"): nothing, ("a", "b"): nothing})
    assert found.sentences()[-1] == "Best in hit_rate@10: none, as all have 0.1000."


@pytest.mark.usefixtures("in_this_process")
def test_settings_are_compared_as_models_are(compare: Compare, faithful_log: Path, tmp_path: Path) -> None:
    said = tmp_path / "said.json"
    done = compare(faithful_log, "--model", "history", "--vary", "refresh=0,600", "--json", said)
    assert done.returncode == 0, done.stderr
    assert "refresh can change served lists only, so the sentences are about served_hit_rate@10." in done.stderr
    told: dict[str, Any] = orjson.loads(said.read_bytes())
    assert [one["model"] for one in told["models"]] == ["history refresh=0", "history refresh=600"]
    assert told["best"]["metric"] == "served_hit_rate@10"
    first, second = (one["values"]["hit_rate@10"] for one in told["models"])
    assert first == second
    assert done.stderr.splitlines()[-1].startswith("Best in served_hit_rate@10: ")


@pytest.mark.usefixtures("in_this_process")
def test_the_best_is_marked_in_the_table(compare: Compare, faithful_log: Path) -> None:
    done = compare(faithful_log, *TWO, "--model", "covisitation")
    [row] = [line for line in done.stderr.splitlines() if line.startswith("│ hit_rate@10 ")]
    assert [cell.strip().endswith("*") for cell in row.split("│")[2:5]] == [False, True, False]
    assert "history is better than covisitation by 0." in done.stderr
    assert "Best in hit_rate@10: history, 0." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--vary", "refresh"), "expected a setting and its values, such as 'refresh=0,86400'"),
        (("--vary", "refresh=0"), "expected two models or more, each once"),
        (("--vary", "top=5,10"), "--vary top: it decides which events exist or are scored"),
        (("--vary", "nonsense=1,2"), "--vary nonsense: there is no such setting. There are: "),
        (("--vary", "refresh=0,0"), "each once"),
        (("--vary", "refresh=0,1", "--vary", "refresh=2,3"), "expected each setting once"),
        (("--vary", "refresh=0,never"), "setting refresh: "),
    ],
)
def test_what_cannot_be_varied_is_refused(compare: Compare, faithful_log: Path, arguments: Any, said: str) -> None:
    done = compare(faithful_log, *arguments)
    assert done.returncode == WRONG
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_values_are_read_as_in_the_file_of_settings() -> None:
    assert read_variants(["explore=0, 0.05", "fallback=true,false", 'fill={},{ value = "mean" }']) == {
        "explore": [0, 0.05],
        "fallback": [True, False],
        "fill": [{}, {"value": "mean"}],
    }
    assert list(contenders_of(["a", "b"], {"why": [True, False]})) == [
        *("a why=true", "a why=false", "b why=true", "b why=false"),
    ]
    with pytest.raises(UsageError, match="got blend"):
        contenders_of(["blend"], {})


OTHER_VALUES: dict[str, Sequence[Any]] = {
    "diversity": [0.5],
    "emit": ["changed"],
    "emit_budget": [0.001],
    "emit_change": [0.5],
    "emit_interval": [5_000.0],
    "explore": [0.3],
    "fallback": [False],
    "max_users": [2],
    "min_score": [0.9],
    "refresh": [60.0],
    "refresh_budget": [0.5],
    "refresh_removed": [0],
    "refreshes": [3],
    "why": [True],
    "withdraw_stale": [True],
    "fill": [{"value": "mean"}],
}


@pytest.mark.slow
def test_what_cannot_change_a_metric_does_not(faithful_log: Path) -> None:
    tuned = {each.name for each in all_settings() if each.is_tuned}
    assert tuned == OTHER_VALUES.keys(), "a new setting: say in flows/experiments/effects.py what it can change"
    assert tuned >= EMISSION | NOTHING
    usual = replay(faithful_log, Settings(model="history")).metrics
    for name in EMISSION | NOTHING:
        for value in OTHER_VALUES[name]:
            metrics = replay(faithful_log, Settings(model="history", **{name: value})).metrics
            for metric, before in usual.items():
                if why_no_effect(name, metric, {"refresh": 1.0}) is not None:
                    assert metrics[metric] == before, f"{name} changed {metric}"


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("blend", {"recent", "row_length", "learning_rate", "factor_rate"}),
        ("blend(recent=9)", {"recent", "row_length", "learning_rate", "factor_rate"}),
        ("covisitation", {"recent"}),
        ("river:reco.BiasedMF", {"n_factors"}),
    ],
)
def test_each_model_has_a_default_space(model: str, arguments: set[str]) -> None:
    [found] = default_space(Settings(model=model)).models.values()
    assert found.keys() >= arguments
    assert not found.keys() & {"seed", "max_users", "max_items"}
    if model == "blend(recent=9)":
        assert found["recent"].values == (9,)  # type: ignore[union-attr]


@pytest.mark.parametrize("model", ["river:preprocessing.StandardScaler() | linear_model.LogisticRegression()"])
def test_a_model_without_numbers_needs_a_space(model: str) -> None:
    with pytest.raises(SpaceError, match="--space: expected a file of values"):
        default_space(Settings(model=model))


@pytest.mark.process
def test_tune_says_what_its_space_is_and_what_cannot_matter(faithful_log: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    common = ("--results", tmp_path / "kept", "--trials", 2, "--processes", 2)
    done = freshrank(
        *("tune", faithful_log, "--out", tmp_path / "a.toml", *common), FRESHRANK_MODEL="popularity(decay_by='events')"
    )
    assert done.returncode == 0, done.stderr
    assert "No --space is given, so these are tried: popularity: " in done.stderr
    assert "half_life from 75 to 1200" in done.stderr
    space = tmp_path / "space.toml"
    space.write_text('[settings]\nemit = ["every", "changed"]\n')
    done = freshrank("tune", faithful_log, "--space", space, "--out", tmp_path / "b.toml", *common)
    assert done.returncode == WRONG
    assert "emit cannot change hit_rate@10: it decides which lists go out" in done.stderr
    assert "expected settings or arguments that can change hit_rate@10; there are none" in done.stderr
