"""Checks of lists: their items and their order."""

from itertools import pairwise
from math import isclose, isfinite

from recmodels.base import Recommender
from recmodels.checks.events import STRANGER, Factory, catalogue_of, learn, learned, some_events, users_of

EVENTS = some_events()
CATALOGUE = catalogue_of(EVENTS)
USERS = [*users_of(EVENTS), STRANGER]


def _items(model: Recommender, user: str, n: int = 1_000) -> list[str]:
    return [item for item, _ in model.top(user, n)]


def check_lists_are_deterministic(make: Factory) -> None:
    """The same events give the same lists."""
    a, b = learned(make, EVENTS), learned(make, EVENTS)
    for user in USERS:
        assert a.top(user, 10) == b.top(user, 10), f"{user!r} has two different lists"


def check_equal_scores_keep_the_order_first_seen(make: Factory) -> None:
    """Among items of equal score, that which was seen first comes first, in `top` and in `rank`."""
    model = learned(make, EVENTS)
    age = {item: place for place, item in enumerate(CATALOGUE)}
    for user in USERS:
        scores = dict(model.top(user, 1_000))
        ranked = model.rank(user, sorted(scores))
        scores_of_ranked = {item: model.predict_one(user, item) for item in ranked}
        for listed, score in ((list(scores), scores), (ranked, scores_of_ranked)):
            for first, second in pairwise(listed):
                if score[first] == score[second]:
                    assert age[first] < age[second], f"{second!r} was seen before {first!r}, and comes after it"


def check_unknown_items_rank_last_as_given(make: Factory) -> None:
    """Unseen items have one score, and keep the given order."""
    strangers = [f"{STRANGER} {k}" for k in (3, 1, 2)]
    model = learned(make, EVENTS)
    for user in ("u1", STRANGER):
        ranked = [item for item in model.rank(user, [*strangers, "i0"]) if item != "i0"]
        assert ranked == strangers, f"expected unseen items in the order given, {strangers}; got {ranked}"
        scores = {item: model.predict_one(user, item) for item in strangers}
        assert len(set(scores.values())) == 1, f"expected one score for all unseen items; got {scores}"
        assert all(map(isfinite, scores.values())), f"expected finite scores; got {scores}"


def check_excluded_repeats_are_left_out(make: Factory) -> None:
    """With `repeats="exclude"` a list excludes exactly the items that the user has had with a reward of 0 or more."""
    model = learned(make, EVENTS, repeats="exclude")
    for user in USERS:
        seen = {event.item for event in EVENTS if event.user == user and event.y >= 0}
        listed = set(_items(model, user)) & set(CATALOGUE)
        assert not listed & seen, f"expected no item that {user!r} has had; got {sorted(listed & seen)}"
        missing = set(CATALOGUE) - seen - listed
        assert not missing, f"expected every item that {user!r} has not had; the list lacks {sorted(missing)}"
        unknown = [item for item in seen if not model.has_seen(user, item)]
        assert not unknown, f"expected has_seen to be True for what {user!r} has had; it is False for {unknown}"


def check_allowed_repeats_are_listed(make: Factory) -> None:
    """With `repeats="allow"` a user's list may contain items of the user's history."""
    model = learned(make, EVENTS, repeats="allow")
    for user in USERS:
        missing = set(CATALOGUE) - set(_items(model, user))
        assert not missing, f"expected every item in the long list of {user!r}; it lacks {sorted(missing)}"


def check_top_is_sorted_by_score(make: Factory) -> None:
    """Scores fall along a list, and are finite."""
    model = learned(make, EVENTS)
    for user in USERS:
        scores = [score for _, score in model.top(user, 1_000)]
        assert scores == sorted(scores, reverse=True), f"expected scores that fall; got {scores} for {user!r}"
        assert all(map(isfinite, scores)), f"expected finite scores; got {scores} for {user!r}"


def check_top_agrees_with_predict_one(make: Factory) -> None:
    """The score of a listed item equals `predict_one`, to rounding, at any time."""
    model = learned(make, EVENTS)
    for user in USERS:
        for x in (None, {"timestamp": EVENTS[-1].timestamp}, {"timestamp": EVENTS[-1].timestamp + 1e6}):
            for item, score in model.top(user, 1_000, x):
                said = model.predict_one(user, item, x)
                assert isclose(score, said, rel_tol=1e-5, abs_tol=1e-5), f"{item!r}: {score} in the list, else {said}"


def check_top_agrees_with_rank(make: Factory) -> None:
    """A list is in the order in which `rank` puts its items."""
    model = learned(make, EVENTS)
    for user in USERS:
        listed = model.top(user, 1_000)
        place = {item: k for k, item in enumerate(model.rank(user, sorted(item for item, _ in listed)))}
        for (a, score_a), (b, score_b) in pairwise(listed):
            assert place[a] < place[b] or isclose(score_a, score_b, rel_tol=1e-5, abs_tol=1e-5), f"{a!r} and {b!r}"


def check_top_holds_each_item_once(make: Factory) -> None:
    """A list longer than the catalogue is the catalogue. Shorter lists are its beginning."""
    model = learned(make, EVENTS)
    for user in USERS:
        whole = model.top(user, 1_000)
        assert len({item for item, _ in whole}) == len(whole), f"expected each item once; got {whole} for {user!r}"
        assert len(whole) >= len(CATALOGUE), f"expected all {len(CATALOGUE)} items in a long list; got {len(whole)}"
        for n in (0, 1, 7, len(CATALOGUE)):
            assert model.top(user, n) == whole[:n], f"a list of {n} is not the beginning of a longer one"


def check_empty_catalogue_gives_empty_lists(make: Factory) -> None:
    """A model that has learned nothing answers, with nothing."""
    model = make()
    listed = model.top(STRANGER, 10)
    assert listed == [], f"expected an empty list of a model that has learned nothing; got {listed}"
    assert model.rank(STRANGER, []) == [], f"expected rank to order no items as []; got {model.rank(STRANGER, [])}"
    score = model.predict_one(STRANGER, STRANGER)
    assert isfinite(score), f"expected a finite score of an unknown item; got {score}"
    ranked = model.rank(STRANGER, ["b", "a"])
    assert ranked == ["b", "a"], f"expected unknown items in the order given, ['b', 'a']; got {ranked}"
    steps = model.step_many([], 10)
    assert steps == [], f"expected no steps of no examples; got {steps}"


def check_strangers_get_a_list(make: Factory) -> None:
    """A new user gets a list, and all new users get the same."""
    model = learned(make, EVENTS)
    lists = model.top(STRANGER, 5), model.top("another", 5)
    assert len(lists[0]) == 5, f"expected 5 items for a new user; got {lists[0]}"
    assert lists[0] == lists[1], f"expected one list for all new users; got {lists[0]} and {lists[1]}"
    assert not model.has_seen(STRANGER, "i0"), "expected has_seen to be False for a new user; got True"


def check_unavailable_items_are_not_listed(make: Factory) -> None:
    """An unavailable item is in no list until it is available again, even after interactions."""
    model = learned(make, EVENTS)
    hidden = [item for item, _ in model.top(STRANGER, 4)]
    for item in hidden:
        model.learn_item(item, available=False)
    learn(model, [event for event in EVENTS if event.item in hidden][:10])
    for user in USERS:
        listed = set(CATALOGUE) & set(_items(model, user))
        assert not listed & set(hidden), f"expected no hidden item; got {sorted(listed & set(hidden))} for {user!r}"
        missing = set(CATALOGUE) - set(hidden) - listed
        assert not missing, f"expected every item that is not hidden; the list of {user!r} lacks {sorted(missing)}"
    for item in hidden:
        model.learn_item(item, {"title": "as it was"}, available=None)
    assert not set(hidden) & set(_items(model, STRANGER)), "an event that says nothing of it made an item available"
    for item in hidden:
        model.learn_item(item, available=True)
    for user in USERS:
        missing = set(CATALOGUE) - set(_items(model, user))
        assert not missing, f"expected every item in the long list of {user!r}; it lacks {sorted(missing)}"


def check_untouched_items_are_not_listed(make: Factory) -> None:
    """An item event without features puts the item into no list. Its first interaction does, if it is available."""
    model = learned(make, EVENTS)
    for item, available in (("new", True), ("old", False), ("odd", None)):
        model.learn_item(item, {"stock": 5}, available)
    early = {"new", "old", "odd"} & set(_items(model, STRANGER))
    assert not early, f"expected no item in a list before its first interaction; got {sorted(early)}"
    for item in ("new", "old", "odd"):
        model.learn_one("u1", item, 1.0, {"timestamp": EVENTS[-1].timestamp})
    found = {"new", "old", "odd"} & set(_items(model, STRANGER))
    assert found == {"new", "odd"}, f"expected new and odd in the list, and old hidden; got {sorted(found)}"
