"""What a user sees of an error in a model of their own: one message, which begins with their file and line."""

from pathlib import Path

import pytest

from flows.cli import FAILED, WRONG
from flows.sample import EVENTS
from tests.support.cli import freshrank

MODELS = """
from recmodels import Recommender


class Late(Recommender):
    def learn_one(self, user, item, y=1.0, x=None):
        self.register(user, item, y)
        if len(self.catalogue) > 50:
            self.look_up(item)

    def look_up(self, item):
        return {}[item]  # line 12

    def predict_one(self, user, item, x=None):
        return 1.0


class Unmade(Recommender):
    def __init__(self, repeats="allow", seed=0):
        super().__init__(repeats, seed)
        self.share = 1 / 0  # line 21

    def learn_one(self, user, item, y=1.0, x=None): ...

    def predict_one(self, user, item, x=None): ...


class Wrong(Recommender):
    def learn_one(self, user, item, y=1.0, x=None):
        raise ValueError("wrong\\nin two lines")  # line 30

    def predict_one(self, user, item, x=None):
        return 1.0


class Locked(Late):
    def __init__(self, repeats="allow", seed=0):
        super().__init__(repeats, seed)
        self.score = lambda item: 1.0

    def learn_one(self, user, item, y=1.0, x=None):
        self.register(user, item, y)
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODELS)
    (tmp_path / "broken.py").write_text("import recmodels\n\nclass Model(\n")
    return tmp_path


def said_by(model: str, here: Path, *more: object, process: bool = False) -> tuple[int, list[str]]:
    done = freshrank("replay", EVENTS, "--limit", 1_000, "--model", model, *more, process=process, cwd=here)
    assert "Traceback" not in done.stderr
    assert "panicked" not in done.stderr
    assert "stack backtrace" not in done.stderr
    return done.returncode, [line for line in done.stderr.splitlines() if line.startswith("freshrank")]


def test_an_error_while_learning_begins_with_the_own_line(here: Path) -> None:
    status, said = said_by("mine:Late", here)
    assert status == FAILED
    assert len(said) == 1
    assert said[0].startswith("freshrank: mine.py:12: KeyError: ")
    assert "in look_up, while the model mine:Late was at work after " in said[0]
    assert "freshrank check-model mine:Late" in said[0]


def test_an_error_of_a_member_of_a_blend_does_too(here: Path) -> None:
    status, said = said_by("blend+mine:Late", here)
    assert (status, len(said)) == (FAILED, 1)
    assert said[0].startswith("freshrank: mine.py:12: KeyError: ")


def test_an_error_with_line_breaks_stays_one_line(here: Path) -> None:
    status, said = said_by("mine:Wrong", here)
    assert (status, len(said)) == (FAILED, 1)
    assert said[0].startswith("freshrank: mine.py:30: ValueError: wrong in two lines, in learn_one")


@pytest.mark.parametrize(
    ("model", "start"),
    [
        ("mine:Unmade", "freshrank: mine.py:21: ZeroDivisionError: division by zero, in __init__"),
        ("broken:Model", "freshrank: broken.py:3: SyntaxError"),
    ],
)
def test_an_error_before_the_first_event_is_a_wrong_command(here: Path, model: str, start: str) -> None:
    status, said = said_by(model, here)
    assert (status, len(said)) == (WRONG, 1)
    assert said[0].startswith(start)


def test_attributes_that_cannot_be_stored_are_said_to_be_so(here: Path) -> None:
    status, said = said_by("mine:Locked", here, "--recovery", here / "state")
    assert (status, len(said)) == (FAILED, 1)
    assert "expected attributes of the model locked/1 that can be pickled" in said[0]


@pytest.mark.process
def test_the_engine_prints_nothing_of_a_failure(here: Path) -> None:
    status, said = said_by("mine:Late", here, process=True)
    assert (status, len(said)) == (FAILED, 1), said
    assert said[0].startswith("freshrank: mine.py:12: KeyError: ")


@pytest.mark.process
def test_compare_says_the_own_line_too(here: Path) -> None:
    models = ("--model", "mine:Wrong", "--model", "popularity")
    done = freshrank("compare", EVENTS, "--limit", 500, *models, "--results", here / "kept", cwd=here)
    assert done.returncode == FAILED
    assert done.stderr.splitlines()[-1].startswith("freshrank: mine.py:30: ValueError: wrong in two lines")
    assert "Traceback" not in done.stderr
