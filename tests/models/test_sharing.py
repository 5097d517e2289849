"""Sharing: models in several processes count together what each of them saw, once, in any order."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from river import reco

from recmodels import Blend, Content, CoVisitation, Example, Popularity, RiverModel
from recmodels.checks.consistency import expect_whole
from recmodels.checks.events import some_events
from recmodels.fused.delta_format import DeltaError, Received, cut
from recmodels.fused.memory import JOURNAL
from recmodels.fused.model import FusedModel
from recmodels.fused.sharing import ROWS_PER_EVENT
from recmodels.kernels import delta_bytes
from recmodels.kernels.user_context import LENGTHS
from tests.support.item_counts import counts

SMALL = {"max_users": 100, "max_items": 100, "max_pairs": 2_000, "max_tags": 100}
"""Bounds that keep the tables small, as the check of consistency reads all of them."""
SLOW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))

interactions = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cat", "dan", "eve"]),
        st.sampled_from(["tea", "jam", "pie", "ham", "fig", "ß∂🍵"]),
        st.sampled_from([1.0, 1.0, 1.0, 0.25, -1.0]),
    ),
    max_size=40,
)


def shard_of(user: str, shards: int) -> int:
    return sum(user.encode()) % shards


def sharing(make: Any = Blend, **arguments: Any) -> FusedModel:
    bounds = {} if make is Popularity else SMALL
    model: FusedModel = make(**{**bounds, **arguments})
    model.enable_deltas()
    return model


def examples_of(log: Sequence[tuple[str, str, float]]) -> list[Example]:
    return [Example(user, item, y, 1e9 + 60.0 * k) for k, (user, item, y) in enumerate(log)]


def exchange(models: Sequence[FusedModel], late: list[bytes], draw: Any = None) -> list[bytes]:
    """Have each model apply the deltas of the others' round before, and return those of this round."""
    new = [model.take_delta() for model in models]
    for i, model in enumerate(models):
        order = [j for j in range(len(models)) if j != i]
        if draw is not None:
            order = draw.draw(st.permutations(order))
        for j in order:
            if late and late[j]:
                model.apply_delta(late[j])
    return new


@SLOW
@given(log=interactions, shards=st.integers(2, 3), cut_at=st.integers(1, 9), data=st.data())
def test_shards_count_what_one_model_counts(
    log: list[tuple[str, str, float]], shards: int, cut_at: int, data: Any
) -> None:
    whole, models = Blend(**SMALL, decay_by="time"), [sharing(decay_by="time") for _ in range(shards)]
    examples, late = examples_of(log), []
    whole.step_many(examples, 3)
    for start in range(0, len(examples), cut_at):
        for example in examples[start : start + cut_at]:
            models[shard_of(example.user, shards)].step_many([example], 3)
        late = exchange(models, late, data)
    for _ in range(2):
        late = exchange(models, late, data)
    expected = counts(whole)
    for model in models:
        expect_whole(model)
        assert counts(model) == pytest.approx(expected, rel=1e-6)
        assert model.take_delta() == b""


@SLOW
@given(log=interactions, cuts=st.sets(st.integers(0, 40)))
def test_cuts_of_rounds_lose_nothing_and_repeat_nothing(log: list[tuple[str, str, float]], cuts: set[int]) -> None:
    ours, theirs, peer = sharing(), sharing(), sharing()
    for k, example in enumerate(examples_of(log)):
        theirs.step_many([example], 3)
        peer.step_many([example], 3)
        if k in cuts and (delta := theirs.take_delta()):
            ours.apply_delta(delta)
    rest = theirs.take_delta()
    if rest:
        ours.apply_delta(rest)
    assert counts(ours) == pytest.approx(counts(peer), rel=1e-6)
    assert sum(e.y > 0 for e in examples_of(log)) == round(sum(v for k, v in counts(ours).items() if "standing" in k))


def learned(events: int = 600, **arguments: Any) -> FusedModel:
    model = sharing(**arguments)
    model.step_many(some_events(events), 5)
    return model


def test_factors_and_weights_of_a_peer_come_close_to_ours() -> None:
    theirs, ours = learned(), sharing()
    ours.apply_delta(theirs.take_delta())
    a, b = theirs.memory, ours.memory
    rows = [(row, b.items.rows[item]) for item, row in a.items.rows.items() if theirs.knows(item)]
    own, other = ([pair[k] for pair in rows] for k in range(2))
    for kind in ("out", "history"):
        mine, yours = getattr(a.state.factorization.items, kind)[own], getattr(b.state.factorization.items, kind)[other]
        assert np.abs(mine).max() > 0.05
        assert np.abs(mine - yours).max() < 0.01 * np.abs(mine).max()
    for name in ("weight", "hidden_weight", "hidden_out", "line"):
        assert np.abs(a.small[name] - b.small[name]).max() <= 0.01 * max(np.abs(a.small[name]).max(), 1e-9)


@pytest.mark.parametrize(("shards", "share"), [(2, 0.25), (4, 0.25), (16, 0.0625)])
def test_more_shards_take_over_less_of_what_strangers_teach(shards: int, share: float) -> None:
    model = Blend(**SMALL)
    model.enable_deltas(shards)
    first = model.memory.small["weight"].copy()
    model.step_many(some_events(100), 5)
    changed = model.memory.small["weight"] - first
    assert np.abs(changed).max() > 0.1
    model.take_delta()
    changed *= 0.25
    changed[[0, LENGTHS]] *= share / 0.25
    assert np.abs(changed[[0, LENGTHS]]).max() > 0.0
    assert model.memory.small["weight"] - first == pytest.approx(changed, abs=1e-12)


def test_what_a_delta_rounds_off_is_sent_later() -> None:
    theirs, ours = sharing(), sharing()
    for event in some_events(400):
        theirs.step_many([event], 5)
        ours.apply_delta(theirs.take_delta())
    sent = theirs.memory.state.factorization.sent
    for item, row in theirs.memory.items.rows.items():
        known = ours.memory.state.factorization.items.out[ours.memory.items.row(item)]
        assert np.abs(sent.out[row] - known).max() < 1e-4, item
        assert np.abs(sent.out[row] - theirs.memory.state.factorization.items.out[row]).max() < 0.01, item


def test_item_events_and_erasures_reach_the_others() -> None:
    ours, theirs = sharing(Content), sharing(Content)
    for model in (ours, theirs):
        model.learn_one("ann", "tea")
    theirs.learn_item("rose", {"tags": ["red", "flower"]})
    theirs.learn_item("sky", {"tags": ["blue"]})
    theirs.learn_item("sky", available=False)
    theirs.forget_one("ann")
    assert ours.has_seen("ann", "tea")
    ours.apply_delta(theirs.take_delta())
    assert ours.tags("rose") == ["red", "flower"]
    assert not ours.is_available("sky")
    assert not ours.has_seen("ann", "tea")
    assert {item for item, _ in ours.top("new", 5)} >= {"rose", "tea"}
    assert "sky" not in {item for item, _ in ours.top("new", 5)}


def test_an_event_that_comes_late_counts_at_its_own_time_in_all_shards() -> None:
    events = [Example("ann", "tea", 1.0, 1e9), Example("bob", "tea", 1.0, 1e9 + 40.0), Example("ann", "jam", 1.0, 1e9)]
    whole, ours, theirs = Blend(**SMALL, decay_by="time"), sharing(decay_by="time"), sharing(decay_by="time")
    whole.step_many([events[0], events[2], events[1]], 3)
    theirs.step_many([events[1]], 3)
    ours.apply_delta(theirs.take_delta())  # it was away, and its peer is ahead
    ours.step_many([events[0], events[2], Example("ann", "pie", 1.0, 0.0)], 3)
    whole.step_many([Example("ann", "pie", 1.0, 0.0)], 3)  # of an unknown time: the newest is taken
    theirs.apply_delta(ours.take_delta())
    for model in (ours, theirs):
        levels = {name: count for name, count in counts(model).items() if name.startswith("level")}
        assert levels == pytest.approx({name: counts(whole)[name] for name in levels})


def test_an_item_that_was_announced_before_its_interactions_is_new_to_the_others_too() -> None:
    ours, theirs = sharing(Content), sharing(Content)
    theirs.learn_one("ann", "old")
    theirs.learn_item("rose", {"tags": ["red"]})
    theirs.learn_one("ann", "rose")
    theirs.learn_item("old", {"tags": ["red"]})
    ours.apply_delta(theirs.take_delta())
    for model in (ours, theirs):
        newness = model.memory.state.shared.items.newness
        assert float(newness[model.memory.items.row("rose")]) == 0.5
        assert float(newness[model.memory.items.row("old")]) == 0.0


@pytest.mark.parametrize("make", [Blend, CoVisitation])
def test_items_that_lose_their_rows_lose_no_interaction(make: Any) -> None:
    theirs, ours = sharing(make, max_items=10), sharing(make)
    events = some_events(500, items=60)
    for start in range(0, 500, 50):
        theirs.step_many(events[start : start + 50], 5)
        expect_whole(theirs)
        delta = theirs.take_delta()
        ours.apply_delta(delta)
    standing = ours.memory.state.shared.items.standing
    assert int(standing.sum()) == sum(event.y > 0 for event in events)


def test_deltas_fit_into_a_model_with_few_rows() -> None:
    theirs, ours = sharing(), sharing(max_items=7, max_users=5)
    events = some_events(400, items=50)
    for start in range(0, 400, 40):
        theirs.step_many(events[start : start + 40], 5)
        ours.step_many(events[start + 20 : start + 30], 5)
        ours.apply_delta(theirs.take_delta())
        expect_whole(ours)
    assert len(ours.memory.items) <= 7


def items_of(delta: Received, section: int) -> list[str]:
    """Return the items that a section of a delta names."""
    return [delta.expect_names()[place] for place in np.frombuffer(delta.section(section), "<u2")]


def test_what_is_noted_survives_dump_and_load_and_copies() -> None:
    model = learned(50)
    model.learn_item("rose", {"tags": ["red"]})
    model.forget_one("nobody")
    twin, loaded = copy.deepcopy(model), sharing()
    loaded.load(copy.deepcopy(model).dump())
    [expected] = model.sharing.expect_delta(model.take_delta())
    for other in (twin, loaded):
        [found] = other.sharing.expect_delta(other.take_delta())
        assert found.events == expected.events == 50
        assert items_of(found, delta_bytes.ITEM) == items_of(expected, delta_bytes.ITEM)
        assert found.item_events == expected.item_events == [(expected.n, "rose", ["red"], None)]
        assert found.erased == expected.erased == ["nobody"]


def test_a_model_that_begins_to_share_keeps_what_it_knows_for_itself() -> None:
    model = Blend(**SMALL)
    model.step_many(some_events(300), 5)
    model.enable_deltas()
    model.step_many(some_events(1, seed=9), 5)
    [event] = some_events(1, seed=9)
    [found] = model.sharing.expect_delta(model.take_delta())
    assert found.events == 1
    assert len(items_of(found, delta_bytes.ROWS)) <= ROWS_PER_EVENT
    fresh = sharing()
    fresh.step_many([event], 5)
    assert counts(fresh)[f"standing {event.item}"] < counts(model)[f"standing {event.item}"]


def test_events_without_end_between_two_deltas_are_refused_before_they_are_learned() -> None:
    model = sharing(Popularity)
    model.step_many([Example("ann", "tea")] * (JOURNAL - 1), 0)
    with pytest.raises(ValueError, match=r"at most 8,192 events between two deltas; got 8,193.*take_delta"):
        model.step_many([Example("ann", "jam")] * 2, 0)
    assert not model.knows("jam")
    model.take_delta()
    model.step_many([Example("ann", "jam")] * 2, 0)


def damaged(data: bytes) -> list[bytes]:
    flipped = [data[:k] + bytes([data[k] ^ 0x40]) + data[k + 1 :] for k in range(0, len(data), 97)]
    return [*flipped, data[:-1], data[:10], b"garbage", data + b"x", b'{"item": "tea"}']


def test_damaged_deltas_are_refused_and_change_nothing() -> None:
    ours, data = learned(100), learned(100).take_delta()
    before = counts(ours)
    for bad in damaged(data):
        with pytest.raises(DeltaError, match="expected a delta of this model"):
            ours.apply_delta(bad)
    assert counts(ours) == before
    assert ours.apply_delta(data) > 0


@pytest.mark.parametrize(
    "other", [{"n_factors": 16}, {"seed": 1}, {"decay_by": "time"}, {"reranker": False}, {"half_lives": (1.0,) * 5}]
)
def test_deltas_of_a_model_with_other_arguments_are_refused(other: dict[str, Any]) -> None:
    with pytest.raises(DeltaError, match="of another model or of other arguments"):
        sharing().apply_delta(learned(20, **other).take_delta())


def test_models_that_cannot_share_say_why() -> None:
    for model, reason in (
        (RiverModel(reco.Baseline(reco_optimizer())), "keeps no account"),
        (Blend(outside="river:reco.RandomNormal"), "its members river:reco.RandomNormal keep no account"),
    ):
        with pytest.raises(ValueError, match=f"shards can share, such as blend; .*{reason}"):
            model.enable_deltas()


def reco_optimizer() -> Any:
    from river import optim

    return optim.SGD(0.1)


def test_a_model_does_not_share_and_take_back_at_once() -> None:
    shares, undoes = sharing(), Blend(**SMALL)
    undoes.enable_undo()
    for ask in (shares.enable_undo, undoes.enable_deltas, lambda: shares.undo_one("ann", "tea")):
        with pytest.raises(ValueError, match="cannot do both"):
            ask()


def test_a_model_that_does_not_share_keeps_nothing_for_it() -> None:
    plain, shares = Blend(**SMALL), sharing()
    state = plain.memory.state
    for array in (*state.shared.journal[1:], *state.factorization.sent[:-1], state.factorization.origin):
        assert array.size == 0
    new = set(shares.dump()) - set(plain.dump())
    assert {name.partition(".")[0] for name in new} == {"journal", "sent_factors", "small"}
    with pytest.raises(ValueError, match="after enable_deltas"):
        plain.take_delta()


def test_deltas_can_be_joined_to_one() -> None:
    theirs, ours = sharing(), sharing()
    parts = []
    for event in some_events(20):
        theirs.step_many([event], 5)
        parts.append(theirs.take_delta())
    assert cut(b"".join(parts)) == [part for part in parts if part]
    ours.apply_delta(b"".join(parts))
    assert counts(ours)["events"] == 20
