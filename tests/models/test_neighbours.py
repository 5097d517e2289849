"""The kNN over users that the bench measures: its scores are what its docstring says."""

from math import log, sqrt

import pytest

from bench.neighbours import UserNeighbours

pytestmark = pytest.mark.slow
"""They compile a kernel of their own."""

EVENTS = [
    ("ann", "tea"),
    ("bob", "tea"),
    ("bob", "jam"),
    ("cat", "pie"),
    ("cat", "nut"),
    ("dan", "tea"),
    ("dan", "nut"),
]


def taught(**arguments: int) -> UserNeighbours:
    model = UserNeighbours(max_users=10, max_items=10, **arguments)
    for user, item in EVENTS:
        model.learn_one(user, item)
    return model


def test_scores_are_the_roots_of_what_alike_users_had() -> None:
    shared_tea = log(1 + len(EVENTS) / 3)
    said = taught().predict_many("ann", ["jam", "nut", "tea", "pie", "never"])
    assert said == pytest.approx([sqrt(shared_tea), sqrt(shared_tea), sqrt(2 * 0.9 * shared_tea), 0.0, 0.0])


def test_asking_changes_nothing() -> None:
    model = taught()
    first = [model.predict_many(user, ["tea", "jam", "nut", "pie"]) for user in ("ann", "cat", "eve")]
    assert first == [model.predict_many(user, ["tea", "jam", "nut", "pie"]) for user in ("ann", "cat", "eve")]
    assert first[2] == [0.0] * 4, "nobody is like a stranger"


def test_only_the_last_takers_and_the_nearest_are_asked() -> None:
    assert taught(takers=1).predict_one("ann", "jam") == 0.0, "dan alone was asked, who took tea last"
    model = taught(neighbours=1)
    model.learn_one("ann", "nut")
    assert model.predict_one("ann", "nut") > 0.0, "dan shares both items"
    assert model.predict_one("ann", "jam") == 0.0, "bob shares one, and is not the nearest"


def test_users_and_items_are_bounded() -> None:
    model = UserNeighbours(max_users=2, max_items=2)
    for user, item in EVENTS:
        model.learn_one(user, item)
    assert model.predict_many("cat", ["tea", "jam"]) == [0.0, 0.0]
    assert model.predict_one("ann", "jam") > 0.0
