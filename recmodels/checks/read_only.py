"""Reads never write: a list for any user changes neither the state nor later learning."""

from collections.abc import Callable

from recmodels.base import Recommender
from recmodels.checks.equality import expect_same_record, expect_same_state
from recmodels.checks.events import STRANGER, Factory, catalogue_of, learned, some_events, steps_of

USERS = ["u1", STRANGER, ""]
CONTEXTS = [None, {"timestamp": 1_400_000_500.0}, {"device": "never met", "timestamp": None}]


def _expect_no_write(make: Factory, read: Callable[[Recommender], object]) -> None:
    events = some_events()
    first, later = events[:80], events[80:]
    for repeats in ("allow", "exclude"):
        silent, asked = (learned(make, first, repeats=repeats) for _ in range(2))
        before = asked.dump()
        read(asked)
        expect_same_record(before, asked.dump())
        for event in later:
            assert steps_of(silent, [event]) == steps_of(asked, [event]), "what is learned later differs"
            read(asked)
        expect_same_state(silent, asked)


def check_predict_one_never_writes(make: Factory) -> None:
    """`predict_one` changes nothing, for known and unknown users, items and contexts."""
    items = ["i0", "i3", STRANGER, ""]
    _expect_no_write(
        make, lambda model: [model.predict_one(user, item, x) for user in USERS for item in items for x in CONTEXTS]
    )


def check_rank_never_writes(make: Factory) -> None:
    """`rank` changes nothing, nor the items that it is given."""
    items = [*catalogue_of(some_events()), STRANGER]
    _expect_no_write(make, lambda model: [model.rank(user, items, x) for user in USERS for x in CONTEXTS])
    assert items == [*catalogue_of(some_events()), STRANGER], "rank changed the items that it was given"


def check_top_never_writes(make: Factory) -> None:
    """`top` changes nothing, however many items it is asked for."""
    lengths = [0, 3, 100]
    _expect_no_write(make, lambda model: [model.top(user, n, x) for user in USERS for n in lengths for x in CONTEXTS])


def check_item_lists_never_write(make: Factory) -> None:
    """`related`, `trending` and `tags` change nothing, and name each item that may be shown once."""
    items = [*catalogue_of(some_events()), STRANGER, ""]

    def read(model: Recommender) -> None:
        for n in (0, 3, 100):
            lists = [model.related(item, n) for item in items] + [model.trending(n), model.trending(n, STRANGER)]
            for listed in lists:
                names = [item for item, _ in listed]
                assert len(set(names)) == len(names) <= n, "an item stands twice, or the list is too long"
                assert all(model.is_available(item) for item in names), "an item that is not available is listed"
                scores = [score for _, score in listed]
                assert scores == sorted(scores, reverse=True), "scores rise within a list"
        for item in items:
            model.tags(item)

    _expect_no_write(make, read)
