"""The experiment on what was shown and not taken: its member, its changes, and its truth."""

from bench.exploration import Shop
from bench.shown_not_taken import TakeRate, logged, replayed, weighed
from recmodels import Example, Popularity


def see(model: TakeRate, item: str, place: int, times: int, clicks: int) -> None:
    for number in range(times):
        model.learn_one(f"u{number}", item, -0.05, {"event": "impression", "place": place})
        if number < clicks:
            model.learn_one(f"u{number}", item, 1.0, {"event": "click", "place": place})


def test_an_item_in_a_bad_place_is_not_blamed_for_it() -> None:
    """Two items are taken as often as their places allow. A third is in the bad place, and taken more often."""
    orders = []
    for by_place in (True, False):
        model = TakeRate(by_place=by_place)
        for _ in range(20):
            see(model, "first", 0, 20, 8)
            see(model, "ninth", 8, 20, 1)
            see(model, "good", 8, 20, 2)
        orders.append(model.rank("eve", ["ninth", "first", "good"]))
    assert orders == [["good", "first", "ninth"], ["first", "good", "ninth"]]


def test_impressions_are_weighed_by_place() -> None:
    seen = Example("eve", "tea", -0.05, 0.0, {"event": "impression", "place": 2})
    changed = weighed(0.4, by_place=0.5)(seen)
    assert changed is not None
    assert changed.y == -0.1
    assert weighed(0.0)(seen) is None
    click = Example("eve", "tea", 1.0)
    assert weighed(0.0)(click) is click


def test_the_worth_of_lists_is_the_number_of_items_that_users_take() -> None:
    taken = worth = 0.0
    listed = [f"i{number}" for number in range(10)]
    for visit in Shop(seed=3, searches=0.0).visits(6_000):
        worth += visit.worth(listed)
        taken += sum(each.y > 0.0 for each in visit.look(listed))
    assert abs(taken / worth - 1.0) < 0.1


def test_a_log_is_the_same_each_time_and_can_be_replayed() -> None:
    log = list(logged(seed=0, count=60))
    assert log == list(logged(seed=0, count=60))
    hit_rate, worth = replayed(Popularity(), weighed(0.05), log)
    assert 0.0 < hit_rate <= 1.0
    assert worth > 0.0
