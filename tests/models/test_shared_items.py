"""A shard that missed deltas takes over what another one knows of items: nothing is lost, nor counted twice."""

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recmodels import Blend, Content, Popularity
from recmodels.checks.consistency import expect_whole
from recmodels.checks.events import some_events
from recmodels.fused.model import FusedModel
from recmodels.fused.sharing import WEIGHTS
from tests.support.item_counts import counts

SMALL = {"max_users": 100, "max_items": 100, "max_pairs": 2_000, "max_tags": 100}


def sharing(make: Any = Blend, **arguments: Any) -> FusedModel:
    model: FusedModel = make(**{**SMALL, **arguments}) if make is not Popularity else make(**arguments)
    model.enable_deltas()
    return model


def users(model: FusedModel) -> dict[str, Any]:
    """What a model knows of its users, by the names of items."""
    memory, found = model.memory, {}
    for user, row in memory.users.rows.items():
        recent = memory.state.shared.users.recent[row]
        found[user] = [memory.items.names[item] for item in recent if item], sorted(model.seen_by(user))
    return found


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    cuts=st.lists(st.tuples(st.integers(1, 30), st.sampled_from("ab"), st.booleans()), min_size=1, max_size=12),
    saved_at=st.integers(0, 11),
)
def test_own_deltas_behind_the_record_are_added_to_it(cuts: list[tuple[int, str, bool]], saved_at: int) -> None:
    ours, theirs, whole = sharing(decay_by="time"), sharing(decay_by="time"), Blend(**SMALL, decay_by="time")
    record, behind, start = theirs.dump_items(), [], 0
    events = some_events(400)
    for number, (size, who, is_heard) in enumerate(cuts):
        part = [event for event in events[start : start + size] if (ord(event.user[-1]) % 2 == 0) == (who == "a")]
        start += size
        whole.step_many(part, 3)
        model = ours if who == "a" else theirs
        model.step_many(part, 3)
        delta = model.take_delta()
        if who == "a" and delta:
            behind.append(delta)
        elif delta and is_heard:
            ours.apply_delta(delta)  # it is part of what is replaced
        if who == "b" and number >= saved_at:
            for each in behind:
                theirs.apply_delta(each)
            behind = []
        record = theirs.dump_items()
    kept = users(ours)
    ours.load_items(record, behind)
    expect_whole(ours)
    assert users(ours) == kept
    assert counts(ours) == pytest.approx(counts(whole), rel=1e-6)
    for delta in behind:
        theirs.apply_delta(delta)
    assert counts(ours) == pytest.approx(counts(theirs), rel=1e-6)


def test_factors_and_weights_are_those_that_all_know_and_what_was_not_sent_stays() -> None:
    ours, theirs = sharing(), sharing()
    events = some_events(600)
    for start in range(0, 600, 20):
        ours.step_many(events[start : start + 10], 5)
        theirs.step_many(events[start + 10 : start + 20], 5)
        mine, yours = ours.take_delta(), theirs.take_delta()
        ours.apply_delta(yours)
        theirs.apply_delta(mine)
    lost = copy.deepcopy(ours)  # it learns the same, and lacks nothing
    ours.load_items(theirs.dump_items())
    a, b = lost.memory, ours.memory
    for item, row in a.items.rows.items():
        assert b.items.rows[item] == row
    for kind in ("out", "history", "bias", "out_squares"):
        before, after = (getattr(m.state.factorization.items, kind) for m in (a, b))
        assert np.allclose(before, after, rtol=1e-4, atol=1e-4), kind
        assert np.abs(before).max() > 0.05
    for name in WEIGHTS:
        assert np.allclose(a.small[name], b.small[name], rtol=1e-4, atol=1e-4), name
    more = some_events(20, seed=5)
    for model in (lost, ours):
        model.step_many(more, 5)
    assert [item for item, _ in ours.top("u1", 5)] == [item for item, _ in lost.top("u1", 5)]


def test_tags_and_availability_are_taken_over() -> None:
    ours, theirs = sharing(Content), sharing(Content)
    ours.learn_item("old", {"tags": ["gone"]})
    ours.take_delta()
    ours.learn_one("ann", "mine")
    own = ours.take_delta()
    theirs.learn_item("rose", {"tags": ["red", "flower"]})
    theirs.learn_one("bob", "tea")
    theirs.learn_item("sky", {"tags": ["blue"]}, available=False)
    theirs.take_delta()
    ours.load_items(theirs.dump_items(), [own])
    expect_whole(ours)
    assert ours.tags("rose") == ["red", "flower"]
    assert not ours.is_available("sky")
    assert ours.sharing.take_withdrawn() == ["sky"]
    assert ours.has_seen("ann", "mine")
    assert {item for item, _ in ours.top("new", 5)} >= {"rose", "tea", "mine"}
    assert not ours.knows("old")  # nobody else had learned of it


def test_items_of_the_record_get_rows_where_the_table_is_full() -> None:
    ours, theirs = sharing(max_items=12), sharing(max_items=12)
    for number in range(12):
        ours.learn_one("ann", f"mine {number}")
        theirs.learn_one("bob", f"theirs {number}")
    theirs.learn_one("bob", "mine 0")
    for model in (ours, theirs):
        model.take_delta()
    expected = {item for item in theirs.memory.items.rows if theirs.knows(item)}
    ours.load_items(theirs.dump_items())
    expect_whole(ours)
    assert {item for item in ours.memory.items.rows if ours.knows(item)} == expected
    ours.learn_one("ann", "another")
    expect_whole(ours)


def test_a_snapshot_behind_it_holds_all_of_it() -> None:
    ours, theirs = sharing(), sharing()
    ours.step_many(some_events(100, items=40), 3)
    theirs.step_many(some_events(100, seed=3), 3)
    ours.take_delta()
    theirs.take_delta()
    first = ours.dump()
    ours.load_items(theirs.dump_items())
    changes, again = ours.dump_changes(), sharing()
    again.load(first)
    again.load(changes)
    expect_whole(again)
    assert counts(again) == counts(ours) == counts(theirs)
    assert users(again) == users(ours)


def test_a_record_of_another_model_or_at_another_time_is_refused_and_changes_nothing() -> None:
    ours, theirs = sharing(), sharing(n_factors=16)
    ours.learn_one("ann", "tea")
    with pytest.raises(ValueError, match="right after take_delta; 1 events were learned since"):
        ours.dump_items()
    with pytest.raises(ValueError, match="right after take_delta"):
        ours.load_items({})
    ours.take_delta()
    before = counts(ours)
    theirs.learn_one("bob", "jam")
    theirs.take_delta()
    with pytest.raises(ValueError, match="expected rows of out of shape"):
        ours.load_items(theirs.dump_items())
    with pytest.raises(ValueError, match="is missing"):
        ours.load_items({"small.top": np.zeros(1)})
    with pytest.raises(ValueError, match="expected a delta of this model"):
        ours.load_items(ours.dump_items(), [b"garbage"])
    assert counts(ours) == before
