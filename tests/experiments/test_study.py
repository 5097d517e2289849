"""Studies: trials are drawn, stored, stopped early and resumed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.experiments.search_space import Choice, Range, Space
from flows.experiments.trials import Study

SPACE = Space({"popularity": {"half_life": Range(1.0, 1e4, log=True)}}, {"emit": Choice(("every", "changed"))})


def value_of(drawn: dict[str, Any]) -> float:
    """Highest where the half-life is 100."""
    half_life = float(drawn["model"].partition("=")[2].rstrip(")"))
    return float(-abs(np.log10(half_life) - 2))


def make_trials(study: Study, count: int) -> None:
    while (asked := study.ask(SPACE, count)) is not None:
        study.end(asked[0], "finished", value_of(asked[1]))


@pytest.mark.slow
def test_a_study_comes_near_the_best_and_its_seed_decides_the_way(tmp_path: Path) -> None:
    study, same, other = (Study(tmp_path / name, {}, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    for one in (study, same, other):
        make_trials(one, 30)
    best = study.best()
    assert best is not None
    assert best.value > -0.1
    assert study.trials() == same.trials() != other.trials()


def test_a_study_that_was_killed_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    whole, path = Study(tmp_path / "whole", {}), tmp_path / "killed"
    make_trials(whole, 20)
    make_trials(Study(path, {}), 13)
    assert Study(path, {}).ask(SPACE, 20) is not None, "killed in the middle of this one"
    resumed = Study(path, {})
    make_trials(resumed, 20)
    assert [(trial.settings, trial.value) for trial in resumed.trials()] == [
        (trial.settings, trial.value) for trial in whole.trials()
    ]


def test_a_poor_trial_is_stopped_early_and_a_good_one_is_not(tmp_path: Path) -> None:
    study = Study(tmp_path / "study", {})
    for level in (0.1, 0.2, 0.3, 0.4, 0.5):
        asked = study.ask(SPACE, 100)
        assert asked is not None
        assert not any(study.is_poor(asked[0], step, level) for step in range(1, 21)), "there are too few to judge by"
        study.end(asked[0], "finished", level)
    good, poor = study.ask(SPACE, 100), study.ask(SPACE, 100)
    assert good is not None
    assert poor is not None
    assert [study.is_poor(poor[0], step, 0.29) for step in (1, 2, 3, 4)] == [False, False, True, True]
    assert not any(study.is_poor(good[0], step, 0.31) for step in range(1, 21))
    ended = study.end(poor[0], "stopped early")
    assert (ended.state, ended.value) == ("stopped early", 0.29)
    best = study.best()
    assert best is not None
    assert best.value == 0.5


def test_a_failed_trial_is_made_no_second_time(tmp_path: Path) -> None:
    study = Study(tmp_path / "study", {})
    asked = study.ask(SPACE, 1)
    assert asked is not None
    assert study.end(asked[0], "failed").state == "failed"
    assert study.ask(SPACE, 1) is None
    assert study.best() is None
