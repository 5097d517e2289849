"""Checks of state: dump and load, copies, erasure, and bounded memory."""

import copy
import pickle

import numpy as np

from recmodels.base import Example, Recommender
from recmodels.checks.equality import expect_same_record, expect_same_state
from recmodels.checks.events import STRANGER, Factory, learn, learned, some_events, steps_of

EVENTS = some_events()
FORGOTTEN_USER = "who-asked-to-be-forgotten"
LONG_ID = "-" * 500
"""Makes an id so long that it shows in the size of a model if it is kept."""


def _stir(model: Recommender, seed: int) -> None:
    """Have a model do something of everything."""
    learn(model, some_events(40, seed))
    model.learn_item("i1", available=bool(seed % 2))
    model.learn_item(f"new{seed}", {"title": "new"}, available=False)
    model.forget_one(f"u{seed % 9}")
    model.undo_one(f"u{(seed + 1) % 9}", "i0")
    learn(model, some_events(20, seed + 1_000))


def _expect_same_future(a: Recommender, b: Recommender) -> None:
    expect_same_state(a, b)
    for seed in range(50, 53):
        assert steps_of(a, some_events(30, seed)) == steps_of(b, some_events(30, seed)), "later lists differ"
        _stir(a, seed)
        _stir(b, seed)
        expect_same_state(a, b)


def check_loaded_models_go_on_alike(make: Factory) -> None:
    """A fresh model that loads a dump gives the same lists from then on, and remembers the same."""
    for repeats in ("allow", "exclude"):
        live, loaded = make(repeats=repeats), make(repeats=repeats)
        for seed in range(3):
            _stir(live, seed)
        loaded.load(live.dump())
        _expect_same_future(live, loaded)


def check_changes_add_up(make: Factory) -> None:
    """A dump and all later changes, loaded in order, equal the live model."""
    live, loaded = make(), make()
    _stir(live, 0)
    loaded.load(live.dump())
    for seed in range(1, 6):
        _stir(live, seed)
        loaded.load(live.dump_changes())
    _expect_same_future(live, loaded)


def check_changes_add_up_from_nothing(make: Factory) -> None:
    """Changes that begin with a model that has learned nothing are the whole model."""
    live, loaded = make(), make()
    for seed in range(4):
        loaded.load(live.dump_changes())
        _stir(live, seed)
    loaded.load(live.dump_changes())
    _expect_same_future(live, loaded)


def check_dumps_are_copies(make: Factory) -> None:
    """A dump does not change when the model learns on."""
    model = learned(make, EVENTS[:60])
    dump = model.dump()
    before = copy.deepcopy(dump)
    learn(model, EVENTS[60:])
    expect_same_record(before, dump)


def check_state_is_not_pickled(make: Factory) -> None:
    """A dump is arrays of numbers, so a model's files cannot run code."""
    record = learned(make, EVENTS).dump()
    assert record, "there is nothing in the dump"
    for name, array in record.items():
        assert isinstance(array, np.ndarray), f"{name} is no array"
        assert array.dtype.kind in "biuf", f"{name} is of {array.dtype}"
        is_pickle = array.dtype == np.uint8 and array.tobytes().startswith(b"\x80")
        assert not is_pickle, f"{name} is a pickle"


def check_copies_go_their_own_way(make: Factory) -> None:
    """A copy, and a model that was pickled, remember the same and share nothing with the first."""
    live = make()
    _stir(live, 0)
    before = live.dump()
    for twin in (copy.deepcopy(live), pickle.loads(pickle.dumps(live))):
        _stir(twin, 7)
        expect_same_record(before, live.dump())
    twin = copy.deepcopy(live)
    _stir(live, 8)
    _stir(twin, 8)
    _expect_same_future(live, twin)


def check_forget_one_leaves_no_trace(make: Factory) -> None:
    """After an erasure the user is a new user, and no state contains the user's id."""
    for repeats in ("allow", "exclude"):
        model = make(repeats=repeats)
        for event in EVENTS:
            model.learn_one(event.user, event.item, event.y, {"timestamp": event.timestamp})
            model.learn_one(FORGOTTEN_USER, event.item, event.y, {"timestamp": event.timestamp})
        if repeats == "exclude":  # with "allow" a model may keep nothing of anybody
            assert FORGOTTEN_USER.encode() in _bytes(model), (
                "the check looks in the wrong place: the id should be there now"
            )
        model.forget_one(FORGOTTEN_USER)
        assert FORGOTTEN_USER.encode() not in _bytes(model), "the id is still there"
        lists = model.top(FORGOTTEN_USER, 10), model.top(STRANGER, 10)
        assert lists[0] == lists[1], f"expected the list of a new user, {lists[1]}; got {lists[0]}"
        scores = model.predict_one(FORGOTTEN_USER, "i0"), model.predict_one(STRANGER, "i0")
        assert scores[0] == scores[1], f"expected the score for a new user, {scores[1]}; got {scores[0]}"
        assert not model.has_seen(FORGOTTEN_USER, "i0"), "expected has_seen to be False after the erasure; got True"


def check_forget_one_leaves_the_others(make: Factory) -> None:
    """An erasure changes no other user's list, nor the item that has the user's id."""
    model = learned(make, EVENTS)
    learn(model, [Example("i0", "u1", 1.0, EVENTS[-1].timestamp)])
    model.learn_one("u1", "u2", 1.0, {"timestamp": EVENTS[-1].timestamp})
    before = [model.top(user, 30) for user in ("u0", "u2", STRANGER)]
    for user in ("u1", "i0", STRANGER):
        model.forget_one(user)
    after = [model.top(user, 30) for user in ("u0", "u2", STRANGER)]
    assert before == after, f"expected the same lists of other users after an erasure; got {after}, before it {before}"


def check_forgotten_users_may_come_back(make: Factory) -> None:
    """A user who returns after an erasure starts as a new user."""
    model = learned(make, EVENTS, repeats="exclude")
    model.forget_one("u1")
    model.learn_one("u1", "i0", 1.0, {"timestamp": EVENTS[-1].timestamp})
    seen = {item for item in ("i0", "i1", "i2", "i3") if model.has_seen("u1", item)}
    assert seen == {"i0"}, f"expected a returning user to have had i0 only, since the erasure; got {sorted(seen)}"
    listed = [item for item, _ in model.top("u1", 1_000)]
    assert "i0" not in listed, f"expected a list without i0, which the user has had since the erasure; got {listed}"


def check_memory_is_bounded(make: Factory) -> None:
    """Beyond `max_users` and `max_items` a model does not grow."""
    for repeats in ("allow", "exclude"):
        model = make(repeats=repeats, max_users=20, max_items=30)
        sizes = []
        for part in range(4):
            for k in range(200 * part, 200 * part + 200):
                user, hidden = f"user{k:06}{LONG_ID}", f"announced{k:06}{LONG_ID}"
                model.learn_one(user, f"item{k:06}", 1.0, {"timestamp": float(k)})
                model.learn_one(user, f"item{k // 2:06}", 1.0, {"timestamp": float(k)})
                model.learn_one(user, "item000000", 1.0, {"timestamp": float(k)})
                model.learn_item(hidden, available=False)
            sizes.append(len(_bytes(model)))
            length = len(model.top(STRANGER, 1_000))
            assert 0 < length <= 30, f"expected a list of 1 to 30 items, where max_items is 30; got {length}"
        assert max(sizes) < 1.5 * sizes[0], f"bytes kept after each 200 users and items: {sizes}"


def _bytes(model: Recommender) -> bytes:
    return b"".join(array.tobytes() for array in model.dump().values())
