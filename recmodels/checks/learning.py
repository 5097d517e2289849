"""Checks of learning: events in order, odd events, and micro-batches."""

from math import inf, isclose, isfinite, nan

from recmodels.base import Example
from recmodels.checks.equality import expect_same_state
from recmodels.checks.events import (
    STRANGER,
    Factory,
    catalogue_of,
    context_of,
    learned,
    some_events,
    steps_of,
    users_of,
)

EVENTS = some_events()


def _expect_sane(make: Factory, odd: list[Example]) -> None:
    for repeats in ("allow", "exclude"):
        model = make(repeats=repeats)
        for event in (*EVENTS[:40], *odd, *EVENTS[40:80], *odd, *EVENTS[80:]):
            step = model.step_many([event], 5, score=True)[0]
            assert all(map(isfinite, step.scores)), f"{event} gave {step}"
        for user in users_of([*EVENTS, *odd]):
            scores = {event.item: model.predict_one(user, event.item) for event in odd}
            assert all(map(isfinite, scores.values())), f"expected finite scores for {user!r}; got {scores}"
            seen = {event.item for event in (*EVENTS, *odd) if event.user == user} if repeats == "exclude" else set()
            listed = model.top(user, 1_000)
            assert all(isfinite(score) for _, score in listed), (
                f"expected finite scores in the list of {user!r}; got {listed}"
            )
            missing = set(catalogue_of(EVENTS)) - seen - {item for item, _ in listed}
            assert not missing, f"expected all other items in the long list of {user!r}; it lacks {sorted(missing)}"


def check_strange_rewards_are_no_error(make: Factory) -> None:
    """Whatever the reward, scores stay finite and lists full."""
    rewards = [0.0, -0.0, -1.0, -1e300, 1e300, 1e-300, 1e-40, 5e-324, nan, inf, -inf, True, False]
    odd = [Example(f"u{k % 5}", f"i{k % 7}", y, 1_400_000_000.0) for k, y in enumerate(rewards)]
    fresh = [Example(f"odd{k}", f"odd{k}", y, 1_400_000_000.0) for k, y in enumerate(rewards)]
    _expect_sane(make, odd + fresh)


def check_strange_times_are_no_error(make: Factory) -> None:
    """Times may run backwards, jump, or be no times at all."""
    times = [0.0, -5.0, 4e9, -1e300, 1e300, nan, inf, -inf]
    _expect_sane(make, [Example(f"u{k % 3}", f"i{k % 5}", 1.0, time) for k, time in enumerate(times)])


def check_strange_ids_are_no_error(make: Factory) -> None:
    """An id may be any string. The same id may name a user and an item."""
    ids = ["", " ", "\0", "u1", "i1", "ß∂🍵", "\ud800", "x" * 10_000, "None", "0"]
    _expect_sane(make, [Example(a, b, 1.0, 1_400_000_000.0) for a, b in zip(ids, ids[1:] + ids[:1], strict=True)])


def check_same_event_twice_is_no_error(make: Factory) -> None:
    """An event may come again and again: nothing is listed twice, nothing overflows."""
    _expect_sane(make, [Example("u1", "i1", 1.0, 1_400_000_000.0)] * 30)


def check_only_new_positive_events_are_scored(make: Factory) -> None:
    """The position is None for a reward of 0 or less, for NaN, and for a repeat where repeats are excluded."""
    for repeats in ("allow", "exclude"):
        model = make(repeats=repeats)
        seen: set[tuple[str, str]] = set()
        model.step_many(EVENTS[:20])
        seen.update((event.user, event.item) for event in EVENTS[:20] if event.y >= 0)
        for event in (*EVENTS[20:], EVENTS[0]._replace(y=nan), Example("u1", "i1", -inf)):
            step = model.step_many([event], 5, score=True)[0]
            is_repeat = repeats == "exclude" and (event.user, event.item) in seen
            assert (step.position is not None) == (event.y > 0 and not is_repeat), f"{event} gave {step}"
            if event.y >= 0:
                seen.add((event.user, event.item))


def check_position_is_where_top_lists_the_item(make: Factory) -> None:
    """`step_many` scores each event against the list that `top` gives just before, at the time of the event."""
    for repeats in ("allow", "exclude"):
        model = make(repeats=repeats)
        for event in EVENTS:
            listed = [item for item, _ in model.top(event.user, 5, context_of(event))]
            position = model.step_many([event], 5, score=True)[0].position
            if position is not None:
                assert position == (listed.index(event.item) if event.item in listed else -1), f"{event}: {listed}"


def check_step_many_lists_what_top_lists(make: Factory) -> None:
    """The list that comes with an event is what `top` gives just after."""
    for repeats in ("allow", "exclude"):
        model = make(repeats=repeats)
        for event in EVENTS:
            step = model.step_many([event], 5)[0]
            listed = model.top(event.user, 5, event.x)
            assert list(step.items) == [item for item, _ in listed], (
                f"expected the list of top, {listed}; got {step.items}"
            )
            for said, (_, score) in zip(step.scores, listed, strict=True):
                assert isclose(said, score, rel_tol=1e-3, abs_tol=1e-3), f"{event}: {step}, then {listed}"


def check_step_many_learns_what_learn_one_learns(make: Factory) -> None:
    """Every way of learning leaves the same state, for any length of list."""
    one = learned(make, EVENTS)
    for n in (0, 5, 1_000):
        many = make()
        many.step_many(EVENTS, n)
        expect_same_state(one, many)


def check_batches_never_show(make: Factory) -> None:
    """Micro-batches of 1, 7 and 1,000 give identical steps and leave the same behind."""
    for repeats in ("allow", "exclude"):
        one = make(repeats=repeats)
        steps = steps_of(one, EVENTS, batch=1)
        for batch in (7, 1_000):
            many = make(repeats=repeats)
            for event, a, b in zip(EVENTS, steps, steps_of(many, EVENTS, batch=batch), strict=True):
                assert a == b, f"batches of {batch}: {event} gave {b}, and {a} one at a time"
            expect_same_state(one, many)


def check_undo_says_whether_it_took_back(make: Factory) -> None:
    """`Step.is_undone` is True for an interaction that the user had, unless the model or a member cannot undo.

    It is False for one that never was, and None for an ordinary event. An undo is not scored, and batches never show.
    """
    for repeats in ("allow", "exclude"):
        one, many = make(repeats=repeats), make(repeats=repeats)
        examples = [*EVENTS[:40], Example("undoer", "i0"), Example("undoer", "i0", -1.0, undoes="")]
        examples += [Example("undoer", "never", -1.0, undoes=""), *EVENTS[40:60]]
        for model in (one, many):
            model.enable_undo()
        steps = many.step_many(examples, 5, score=True)
        assert steps == steps_of(one, examples)
        said = [step.is_undone for step in steps]
        takes_back = not one.without_undo or said[41] is True
        assert said == [None] * 41 + [takes_back, False] + [None] * 20, f"{said[41:43]}"
        assert [step.position for step in steps[41:43]] == [None, None]


def check_undone_item_is_not_had(make: Factory) -> None:
    """With repeats excluded, an item whose only interaction was taken back may be recommended again."""
    model = learned(make, EVENTS, repeats="exclude")
    model.enable_undo()
    model.learn_one("undoer", "i0", 1.0, {"timestamp": EVENTS[-1].timestamp})
    assert model.has_seen("undoer", "i0")
    model.undo_one("undoer", "i0", "", -1.0, {"timestamp": EVENTS[-1].timestamp})
    assert not model.has_seen("undoer", "i0")
    assert "i0" in [item for item, _ in model.top("undoer", 1_000)]


def check_learning_teaches(make: Factory) -> None:
    """An item that everybody takes again and again is soon in a new user's list."""
    model = learned(make, EVENTS)
    before = model.predict_one(STRANGER, "hit")
    for k in range(60):
        model.learn_one(f"fan{k}", "hit", 1.0, {"timestamp": 1_400_100_000.0 + k})
    after = model.predict_one(STRANGER, "hit")
    assert after != before, f"expected another score of an item after 60 users took it; got {after} as before"
    listed = [item for item, _ in model.top(STRANGER, 10)]
    assert "hit" in listed, f"expected 'hit' in a new user's list, as the last 60 users took it; got {listed}"
