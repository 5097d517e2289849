"""VMIS-kNN, which the bench compares with the blend: its lists are what its docstring says."""

import math

import numpy as np
import pytest

from bench.session_neighbours import SCORED, SessionNeighbours, hits_of_neighbours
from recmodels import Example

EVENTS = [("a", "tea"), ("a", "jam"), ("b", "tea"), ("b", "nut"), ("b", "jam"), ("c", "pie"), ("c", "nut")]


def taught(*live: tuple[str, str]) -> SessionNeighbours:
    """Return a model with an index of `EVENTS`, which then has learned a live session."""
    model = SessionNeighbours(100)
    for session, item in EVENTS:
        model.learn(session, item)
    model.rebuild()
    for session, item in live:
        model.learn(session, item)
    return model


@pytest.mark.slow
def test_items_of_similar_sessions_come_first() -> None:
    # a and b share tea alone (similarity 1/2 at place 1), c shares pie (1 at place 0)
    n_sessions, half = 3, 0.5 * (1 - 1 / 10)
    scores = {
        "nut": (half + 1.0) * math.log(n_sessions / 2),
        "pie": 1.0 * math.log(n_sessions / 1),
        "jam": 2 * half * math.log(n_sessions / 2),
        "tea": 2 * half * math.log(n_sessions / 2),
    }
    listed = taught(("live", "tea"), ("live", "pie")).top("live", set())
    assert sorted(listed) == sorted(scores)
    assert [scores[item] for item in listed] == sorted(scores.values(), reverse=True)
    assert taught(("live", "tea"), ("live", "pie")).top("live", {"pie", "tea"}) == ["nut", "jam"]


@pytest.mark.slow
def test_session_is_no_neighbour_of_itself_and_asking_changes_nothing() -> None:
    model = taught(("c", "cup"))
    assert model.top("c", set()) == model.top("c", set())
    assert "cup" not in model.top("c", set()), "only the live session had it"
    assert model.top("nobody", set()) == []


@pytest.mark.slow
def test_every_fifth_event_is_scored_and_repeats_are_not_where_they_are_excluded() -> None:
    log = [Example("a", item, 1.0, float(number)) for number, item in enumerate("vwxyzvvvvvvv")]
    assert np.flatnonzero(~np.isnan(hits_of_neighbours(log, "allow", 4))).tolist() == [0, SCORED, 2 * SCORED]
    assert np.flatnonzero(~np.isnan(hits_of_neighbours(log, "exclude", 4))).tolist() == [0]
