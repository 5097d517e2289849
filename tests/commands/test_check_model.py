"""`freshrank check-model`: the contract, run from the command line."""

from pathlib import Path

import pytest

from flows.cli import FAILED, WRONG
from recmodels.checks import ALL
from tests.support.cli import freshrank

MODELS = """
from recmodels import Recommender


class Counts(Recommender):
    def learn_one(self, user, item, y=1.0, x=None):
        if self.register(user, item, y) and y > 0:
            self.catalogue[item] = (self.catalogue[item] or 0) + 1

    def predict_one(self, user, item, x=None):
        taken = self.catalogue.get(item) or 0
        return taken / (1 + taken)


class Newest(Counts):
    def predict_one(self, user, item, x=None):
        return 1.0 / len(self.catalogue[item])  # line 17


class Backwards(Counts):
    def top(self, user, n=10, x=None):
        return super().top(user, n, x)[::-1]

    def _unit_test_skips(self):
        return {**super()._unit_test_skips(), "check_version_is_a_word": "it is called what it is called"}
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODELS)
    return tmp_path


def test_a_sound_model_keeps_the_contract(here: Path) -> None:
    done = freshrank(
        "check-model",
        "mine:Counts",
        "--check",
        "top_is_sorted_by_score",
        "--check",
        "check_repr_names_the_arguments",
        cwd=here,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "kept      top_is_sorted_by_score",
        "kept      repr_names_the_arguments",
        "mine:Counts keeps the contract: 2 rules kept, 0 left out.",
    ]


@pytest.mark.process
def test_every_rule_is_run_and_said(here: Path) -> None:
    done = freshrank("check-model", "mine:Counts", process=True, cwd=here)
    assert done.returncode == 0, done.stderr
    for check in ALL:
        assert f" {check.__name__.removeprefix('check_')}" in done.stderr


def test_a_broken_rule_says_what_was_expected_and_what_came(here: Path) -> None:
    done = freshrank(
        "check-model", "mine:Backwards", "--check", "top_is_sorted_by_score", "--check", "version_is_a_word", cwd=here
    )
    assert done.returncode == FAILED
    first, rule, left_out, last = done.stderr.splitlines()
    assert first.startswith("BROKEN    top_is_sorted_by_score: expected scores that fall; got [")
    assert rule == "          The rule: Scores fall along a list, and are finite."
    assert left_out == "left out  version_is_a_word: it is called what it is called"
    assert last.startswith("freshrank: mine:Backwards breaks 1 of 2 rules.")


def test_an_error_in_a_check_begins_with_the_own_line(here: Path) -> None:
    done = freshrank("check-model", "mine:Newest", "--check", "strangers_get_a_list", cwd=here)
    assert done.returncode == FAILED
    assert "strangers_get_a_list: expected no error; mine.py:17: TypeError" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "there is no model 'nothing'"),
        (["mine:Counts", "--check", "nonsense"], "--check nonsense: expected the name of a check; there are "),
    ],
)
def test_a_wrong_command_is_refused(here: Path, arguments: list[str], said: str) -> None:
    done = freshrank("check-model", *arguments, cwd=here)
    assert done.returncode == WRONG
    assert said in done.stderr


def test_rivers_models_are_checked_by_name(here: Path) -> None:
    done = freshrank("check-model", "river:linear_model.LogisticRegression", "--check", "learning_teaches", cwd=here)
    assert done.returncode == 0, done.stderr
