"""Items on trial: posteriors, evictions, and slots."""

import pytest

from recmodels.exploration.thompson import ThompsonBandit


def test_the_unknown_are_believed_to_be_as_good_as_the_average() -> None:
    arms = ThompsonBandit(3, 3)
    for item in ("known", "unknown"):
        arms.add(item)
    for k in range(100):
        arms.show("ann", "known", k)
        arms.reward("ann", "known" if k % 10 == 0 else "else")
    a, b = arms.posterior("unknown")
    assert a / (a + b) == pytest.approx(0.1, rel=0.1)
    assert arms.posterior("known")[0] == 11.0


def test_a_full_trial_gives_up_the_worst_then_the_oldest() -> None:
    arms = ThompsonBandit(3, 3)
    for item in ("first", "bad", "good"):
        arms.add(item)
    for turn, item in enumerate(["bad", "good"] * 5):
        arms.show("ann", item, turn)
        arms.reward("ann", "good")
    arms.add("new")
    assert "bad" not in arms
    arms.add("newer")
    assert "first" not in arms
    assert "good" in arms
    assert len(arms) == 3


def test_an_arms_row_that_is_given_out_again_takes_no_answer_for_the_one_before() -> None:
    arms = ThompsonBandit(1, 3)
    arms.add("old")
    arms.show("ann", "old", 1)
    arms.add("new")
    arms.reward("ann", "new")
    assert arms.posterior("new") == (1.0, 1.0)


def test_slots_that_nobody_answers_are_bounded() -> None:
    arms = ThompsonBandit(1, 5)
    arms.add("tea")
    for turn in range(1_000):
        arms.show(f"u{turn}", "tea", turn)
    arms.reward("u999", "tea")
    arms.reward("u0", "tea")
    assert arms.posterior("tea") == (2.0, 1.0)
    assert len(arms.dump_changes()["explore.slots.rows"]) <= 6
