"""The contract as a list of small checks. Each takes a maker of fresh models and fails on a model that breaks its rule.

`for_model` lists those that hold for a model: all, but for what its `_unit_test_skips` names.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from recmodels.base import Example, Recommender, Step

Maker = Callable[..., Recommender]
"""Makes a fresh model; takes `repeats`."""


def for_model(model: Recommender) -> list[Callable[[Maker], None]]:
    """List the checks that hold for a model."""
    return [check for check in ALL if check.__name__ not in model._unit_test_skips()]


def examples(count: int, users: int = 17, items: int = 23) -> list[Example]:
    """Make interactions of an order that looks random and is always the same."""
    return [Example(f"u{n * n % users}", f"i{(7 * n + n * n // 3) % items}", 1.0, 60.0 * n) for n in range(count)]


def taught(make: Maker, count: int = 60, **arguments: Any) -> Recommender:
    """Make a model that has learned `count` examples."""
    model = make(**arguments)
    for example in examples(count):
        teach(model, example)
    return model


def teach(model: Recommender, example: Example) -> None:
    """Teach one example by `learn_one`."""
    model.learn_one(example.user, example.item, example.y, {"timestamp": example.timestamp})


def state_of(model: Recommender) -> dict[str, bytes]:
    """Return the whole state as bytes, for comparing."""
    return {name: array.tobytes() for name, array in copy.deepcopy(model).dump().items()}


def assert_same_state(one: Recommender, other: Recommender) -> None:
    """Hold two states against each other: bit for bit, or by their lists where the state is pickled, for equal objects
    may be pickled to other bytes."""
    if "pickle" not in state_of(one):
        assert state_of(one) == state_of(other)
    for user in [f"u{n}" for n in range(31)]:
        assert one.top(user, 50) == other.top(user, 50)


def listed(model: Recommender, user: str, n: int = 10) -> list[str]:
    """Return the items of a user's list."""
    return [item for item, _ in model.top(user, n)]


def reads_never_write(make: Maker) -> None:
    """`predict_one`, `rank` and `top` change nothing, whoever is asked for."""
    model, untouched = taught(make), taught(make)
    for user in ("u0", "u1", "stranger"):
        model.top(user, 5)
        model.rank(user, ["i0", "i1", "unheard of"])
        for item in ("i0", "unheard of"):
            model.predict_one(user, item)
    assert state_of(model) == state_of(untouched)
    later = [example._replace(timestamp=1e6) for example in examples(20)]
    assert model.step_many(later, 5) == untouched.step_many(later, 5)


def lists_are_deterministic(make: Maker) -> None:
    """The same examples give the same lists."""
    one, other = taught(make), taught(make)
    for user in ("u0", "u1", "u4", "stranger"):
        assert one.top(user, 10) == other.top(user, 10)


def a_list_is_sorted_and_has_no_item_twice(make: Maker) -> None:
    """Scores fall along a list, are finite, and each item is there once."""
    for n in (1, 3, 10):
        made = taught(make).top("u1", n)
        scores = [score for _, score in made]
        assert len(made) <= n
        assert scores == sorted(scores, reverse=True)
        assert all(math.isfinite(score) for score in scores)
        assert len({item for item, _ in made}) == len(made)


def a_list_agrees_with_predict_one_and_rank(make: Maker) -> None:
    """`top` gives each item the score that `predict_one` gives, and orders items as `rank` does."""
    model = taught(make)
    made = model.top("u1", 10)
    for item, score in made:
        assert math.isclose(model.predict_one("u1", item), score, rel_tol=1e-4, abs_tol=1e-4)
    items = [item for item, _ in made]
    assert model.rank("u1", list(reversed(items))) == items


def ties_break_by_what_was_seen_first(make: Maker) -> None:
    """Items of equal score keep the order in which they were first seen."""
    model = make()
    for item in ("z", "a", "m"):
        model.learn_one("u", item)
    made = model.top("stranger", 3)
    for (first, score), (second, next_score) in pairwise(made):
        if score == next_score:
            assert ["z", "a", "m"].index(first) < ["z", "a", "m"].index(second)
    unheard = ["y", "x", "b"]
    assert model.rank("stranger", unheard) == unheard


def excluded_repeats_are_left_out(make: Maker) -> None:
    """With `repeats="exclude"` no list holds an item that its user has interacted with."""
    model = taught(make, repeats="exclude")
    for user in ("u0", "u1", "u4"):
        seen = {example.item for example in examples(60) if example.user == user}
        assert seen
        assert not seen & set(listed(model, user, 100))
        assert all(model.has_seen(user, item) for item in seen)


def allowed_repeats_may_be_listed(make: Maker) -> None:
    """With `repeats="allow"` a list may hold them: a catalogue of one item is listed for whoever touched it."""
    model = make(repeats="allow")
    model.learn_one("u", "only")
    assert listed(model, "u") == ["only"]


def an_empty_model_gives_empty_lists(make: Maker) -> None:
    """Before it has learned anything, a model lists nothing and scores anything."""
    model = make()
    assert model.top("stranger", 10) == []
    assert math.isfinite(model.predict_one("stranger", "unheard of"))
    assert model.rank("stranger", []) == []


def a_stranger_gets_a_list(make: Maker) -> None:
    """A user whom nobody has seen gets a list, for the catalogue is there."""
    assert len(listed(taught(make), "stranger", 5)) == 5


def n_may_be_larger_than_the_catalogue(make: Maker) -> None:
    """A list ends where the catalogue does."""
    model = taught(make)
    assert len(listed(model, "stranger", 1_000)) == len({example.item for example in examples(60)})


def an_unavailable_item_is_not_listed(make: Maker) -> None:
    """An item that is made unavailable leaves the lists, and comes back when it is available again."""
    model = taught(make)
    item = listed(model, "stranger", 1)[0]
    model.learn_item(item, available=False)
    assert item not in listed(model, "stranger", 1_000)
    model.learn_item(item, {"title": "Tea"})
    assert item not in listed(model, "stranger", 1_000), "features do not make it available"
    model.learn_item(item, available=True)
    assert item in listed(model, "stranger", 1_000)


def an_item_that_nobody_touched_may_be_described(make: Maker) -> None:
    """An item event may come before any interaction, and before any other event."""
    model = make()
    model.learn_item("new", {"title": "New"}, available=True)
    model.learn_item("hidden", available=False)
    model.learn_one("u", "hidden")
    assert "hidden" not in listed(model, "stranger", 10)


def the_same_event_twice_is_no_error(make: Maker) -> None:
    """An event may come twice."""
    model = make(repeats="exclude")
    for example in (*examples(5), *examples(5)):
        teach(model, example)
    assert model.top("stranger", 3)


def any_reward_and_time_are_taken(make: Maker) -> None:
    """Rewards that are 0, negative, huge or no number, and times that jump, leave finite scores."""
    model = taught(make)
    for n, y in enumerate([0.0, -1.0, -1e9, 1e9, 1e300, 1e-300, float("nan"), float("inf"), float("-inf")]):
        model.learn_one("u1", f"i{n}", y, {"timestamp": (-1.0) ** n * 1e9})
    made = model.top("u1", 50)
    assert made
    assert all(math.isfinite(score) for _, score in made)


def forget_makes_a_stranger(make: Maker) -> None:
    """A user who is forgotten gets the list of a stranger, has seen nothing, and is not named in the state."""
    model = make(repeats="exclude")
    for example in examples(60):
        teach(model, example._replace(user="the one to forget" if example.user == "u1" else example.user))
    assert any(b"the one to forget" in array for array in state_of(model).values())
    model.forget_one("the one to forget")
    assert not model.has_seen("the one to forget", "i0")
    assert model.top("the one to forget", 10) == model.top("stranger", 10)
    assert not any(b"the one to forget" in array for array in state_of(model).values())
    model.forget_one("never heard of")
    model.learn_one("the one to forget", "i0")


def a_clone_has_the_arguments_and_not_the_state(make: Maker) -> None:
    """`clone` gives a fresh model with the same arguments."""
    model = taught(make, repeats="exclude")
    clone = model.clone()
    assert type(clone) is type(model)
    assert clone.repeats == "exclude"
    assert repr(clone) == repr(model)
    assert clone.top("u1", 10) == []


def batches_never_show(make: Maker) -> None:
    """`step_many` gives the same whether events come one by one or many at once."""
    events = examples(150)
    whole = make(repeats="exclude").step_many(events, 5, True)
    for size in (1, 7, 64):
        model = make(repeats="exclude")
        steps: list[Step] = []
        for start in range(0, len(events), size):
            steps += model.step_many(events[start : start + size], 5, True)
        assert steps == whole


def a_position_is_where_the_item_stood_just_before(make: Maker) -> None:
    """`step_many` scores an event against the list that `top` would have given."""
    model = make(repeats="exclude")
    for example in examples(60):
        before = listed(model, example.user, 5)
        repeat = model.has_seen(example.user, example.item)
        (step,) = model.step_many([example], 5, True)
        if repeat:
            assert step.position is None
        elif example.item in before:
            assert step.position == before.index(example.item)
    (negative,) = model.step_many([Example("u", "i", -1.0)], 5, True)
    assert negative.position is None


def a_step_ends_with_the_users_new_list(make: Maker) -> None:
    """The list of a step is what `top` gives after it."""
    model = make(repeats="exclude")
    for example in examples(40):
        (step,) = model.step_many([example], 5)
        assert list(step.items) == listed(model, example.user, 5)


def a_dump_goes_on_where_the_model_was(make: Maker) -> None:
    """A fresh model that loads a dump goes on bit for bit as the model it was taken of."""
    model, fresh = taught(make, repeats="exclude"), make(repeats="exclude")
    fresh.load({name: array.copy() for name, array in model.dump().items()})
    later = [example._replace(timestamp=1e6 + n) for n, example in enumerate(examples(60, users=31, items=41))]
    assert fresh.step_many(later, 5, True) == model.step_many(later, 5, True)
    assert_same_state(fresh, model)


def changes_add_up(make: Maker) -> None:
    """A dump and the changes since, applied in order, make the state as it is."""
    model, follower = taught(make), make()
    follower.load(copy.deepcopy(model.dump()))
    for start in range(0, 60, 20):
        model.step_many(examples(60, users=31, items=41)[start : start + 20], 5)
        model.forget_one(f"u{start}")
        follower.load(copy.deepcopy(model.dump_changes()))
    assert_same_state(follower, model)


def _checks() -> Iterator[Callable[[Maker], None]]:
    helpers = {"for_model", "examples", "taught", "teach", "state_of", "assert_same_state", "listed"}
    for name, value in globals().items():
        if callable(value) and getattr(value, "__module__", "") == __name__ and name[0] != "_" and name not in helpers:
            yield value


ALL: Sequence[Callable[[Maker], None]] = tuple(_checks())
"""Every check, in the order of the file."""
