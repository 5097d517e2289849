"""Search spaces: reading of the file, and the messages for wrong ones."""

from pathlib import Path

import pytest

from flows.experiments.search_space import CornerSampler, SpaceError, read_space
from flows.settings import Settings


def test_a_space_is_read(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(
        '[[model]]\nname = "blend"\nrecent = { low = 5, high = 40 }\nl2 = { low = 1e-5, high = 1e-2, log = true }\n'
        'half_lives = [[10.0, 100.0, 1e3, 1e4, inf]]\n[[model]]\nname = "covisitation"\nrow_length = [32, 64]\n'
        '[settings]\nemit = ["every", "changed"]\nemit_interval = 2.5\n'
    )
    space = read_space(path, Settings())
    assert space.draw(CornerSampler("blend", 0)) == {
        "model": "blend(recent=5, l2=1e-05, half_lives=(10.0, 100.0, 1000.0, 10000.0, 1e999,))",
        "emit": "every",
        "emit_interval": 2.5,
    }
    assert space.draw(CornerSampler("covisitation", 1))["model"] == "covisitation(row_length=64)"


def test_arguments_of_the_settings_stay_where_they_are_not_tuned(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text("[model]\nrecent = { low = 5, high = 40 }\n")
    space = read_space(path, Settings(model="blend(l2=0.01, recent=10)"))
    assert space.draw(CornerSampler("blend", 1)) == {"model": "blend(l2=0.01, recent=40)"}


BAD: list[tuple[str, str, str]] = [
    ("no TOML", "model = ", "expected a TOML file of what to tune"),
    ("nothing", "", "expected the tables [model] and [settings]; found none"),
    ("another table", "[emission]\n", "found emission"),
    ("low above high", "[model]\nrecent = { low = 9, high = 5 }", "model.recent: expected { low = 1, high = 9 }"),
    ("log of zero", "[model]\nl2 = { low = 0.0, high = 1.0, log = true }", "above 0 if log"),
    ("a word for a number", '[model]\nrecent = { low = "a", high = 5 }', "model.recent: expected"),
    ("half a range", "[model]\nrecent = { low = 1 }", "model.recent: expected"),
    ("no choice", "[model]\nrecent = []", "model.recent: expected a list of choices; found none"),
    ("unknown argument", "[model]\nresent = [1, 2]", "unexpected keyword argument 'resent'"),
    ("argument out of bounds", "[model]\nlearn_decay = { low = 0.5, high = 1.5 }", "learn_decay"),
    ("unknown model", '[model]\nname = "nope"', "there is no model 'nope'"),
    (
        "twice a model",
        '[[model]]\nname = "blend"\n[[model]]\nname = "blend"',
        "expected each model once, its arguments named; found 'blend'",
    ),
    (
        "decides what is scored",
        "[settings]\ntop = [5, 10]",
        "top: cannot be tuned. There are: diversity, emit, emit_budget",
    ),
    ("decides which events there are", "[settings]\nhold_back = [0.0, 3.0]", "hold_back: cannot be tuned"),
    ("wrong setting", '[settings]\nemit = ["every", "never", "changed"]', "setting emit"),
    ("several names", '[model]\nname = ["blend", "history"]', "several models are tables [[model]]"),
    ("half a model", '[model]\nname = "blend("', "model.name: model 'blend('"),
]


@pytest.mark.parametrize(("text", "told"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_space(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(SpaceError) as error:
        read_space(path, Settings())
    assert told in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
