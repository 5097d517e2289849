"""The refresh budget: lists of idle users are made anew where that gains the most, and no more than it pays for."""

import copy
from typing import Any

import numpy as np
import orjson
import pytest

from flows.messages import Interaction, Prepared, Refresh
from flows.monitoring.counters import Counters
from flows.settings import Settings
from flows.state.stateful import Snapshot
from flows.steps.learn import Learner
from flows.steps.refresh_budget import EVENTS_PER_PLAN, MAX_REFRESHES_PER_ROUND, RefreshBudget
from flows.steps.staleness import bucket_of
from recmodels.base import Example
from tests.support.flow import Flow, event, sample_records


def visits(budget: RefreshBudget, count: int, users: int, seconds: float, fresh: bool = True) -> list[str]:
    """Let users come back in turn; each wants what only a fresh list holds. Return those whose lists are made anew."""
    made = []
    for n in range(count):
        user, time = f"u{n % users}", budget.now + seconds
        budget.observe(user, time, "news", 0 if fresh else -1)
        budget.hold(user, time, ["old"])
        due = budget.due()
        for each in due:
            budget.hold_again(each, ["old"])
        made += due
    return made


def test_nothing_is_made_before_anything_is_known() -> None:
    assert visits(RefreshBudget(1.0, 1_000, 2), EVENTS_PER_PLAN - 1, users=50, seconds=10.0) == []


def test_nothing_is_made_where_a_new_list_is_no_better() -> None:
    assert visits(RefreshBudget(1.0, 1_000, 2), 8_000, users=50, seconds=10.0, fresh=False) == []


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_no_more_is_made_than_the_budget_pays_for(share: float) -> None:
    made = visits(RefreshBudget(share, 1_000, 2), 8_000, users=50, seconds=10.0)
    most = share * 8_000 + MAX_REFRESHES_PER_ROUND
    assert 0.7 * share * (8_000 - EVENTS_PER_PLAN) < len(made) <= most


def test_a_small_budget_goes_where_it_gains_most() -> None:
    """Half of the events are of 50 users who come back after 1,000 s. The others are of users who never come back."""
    budget = RefreshBudget(0.1, 10_000, 2)
    made: list[str] = []
    for n in range(20_000):
        user = f"rare {n}" if n % 2 else f"faithful {n % 100}"
        budget.observe(user, 10.0 * n, "news", 0)
        budget.hold(user, 10.0 * n, ["old"])
        due = budget.due()
        for each in due:
            budget.hold_again(each, ["old"])
        made += due
    assert len(made) > 1_000
    assert sum(user.startswith("faithful") for user in made) > 0.9 * len(made)
    kind, bucket = np.unravel_index(int(budget.gain.argmax()), budget.gain.shape)
    assert (int(kind), int(bucket)) == (3, bucket_of(1_000.0))


def test_an_erased_user_and_one_who_came_back_get_no_list() -> None:
    budget = RefreshBudget(1.0, 1_000, 2)
    visits(budget, 4_000, users=50, seconds=10.0)
    budget.forget("u7")
    assert "u7" not in visits(budget, 7, users=7, seconds=500.0)


def test_memory_is_bounded() -> None:
    budget = RefreshBudget(0.2, 64, 2)
    for n in range(5_000):
        budget.hold(f"u{n}", float(n), ["old"])
        budget.due()
    assert len(budget._table) <= 64


def test_users_who_wait_in_vain_take_no_memory() -> None:
    """A list is due at each of 20,000 returns, and the budget pays for 20."""
    budget = RefreshBudget(0.001, 64, 2)
    made = visits(budget, 20_000, users=50, seconds=10.0)
    assert 0 < len(made) < 60
    waiting = [*budget._ahead, *budget._pending.values()]
    assert sum(map(len, waiting)) < 4 * 64 + 1_024


def learner() -> Learner:
    model = "popularity(max_users=99, max_items=999, half_life=20.0)"
    return Learner(Settings(model=model, top=3, refresh_budget=0.3).learning(), Counters())


def news(start: int, count: int) -> list[Interaction]:
    """Forty users who come back every 400 s, and a new item every 100 s."""
    return [Interaction(f"u{n % 40}", f"news {n // 10}", 10.0 * n) for n in range(start, start + count)]


def feed(model: Learner, events: list[Interaction], batch: int = 100) -> list[Any]:
    prepared = [Prepared(each, Example(each.user, each.item, 1.0, each.timestamp)) for each in events]
    ranked = [made for at in range(0, len(prepared), batch) for made in model.process(prepared[at : at + batch])]
    return [(made.event.user, made.event.timestamp, made.items) for made in ranked if isinstance(made.event, Refresh)]


def test_a_restart_does_not_show() -> None:
    live = learner()
    feed(live, news(0, 3_000))
    whole: list[Snapshot] = [copy.deepcopy(live.dump())]
    parts: list[Snapshot] = []
    place = -1
    while place:
        part, place = live.dump_part(max(place, 0), 1_000)
        parts.append(copy.deepcopy(part))
    after = feed(live, news(3_000, 2_000))
    assert len(after) > 300
    for state in (whole, parts):
        restored = learner()
        for part in state:
            restored.load(part)
        assert feed(restored, news(3_000, 2_000)) == after


@pytest.mark.slow
def test_changes_since_a_snapshot_are_the_rest_of_the_state() -> None:
    live = learner()
    feed(live, news(0, 2_000))
    state = [copy.deepcopy(live.dump())]
    feed(live, news(2_000, 1_003))
    state.append(copy.deepcopy(live.dump_changes()))
    restored = learner()
    for part in state:
        restored.load(part)
    assert feed(restored, news(3_003, 1_000)) == feed(live, news(3_003, 1_000))


@pytest.mark.parametrize("batch", [1, 7])
def test_batches_do_not_show(batch: int) -> None:
    assert feed(learner(), news(0, 3_000), batch) == feed(learner(), news(0, 3_000))


def held_hits(flow: Flow, events: list[Interaction]) -> int:
    """Return how often the topic held a list with the item of an event just before it."""
    items = {(each.user, each.timestamp): each.item for each in events}
    held: dict[str, list[str]] = {}
    hits = 0
    for user, message in flow.sent:
        made = orjson.loads(message.value or b"null")
        hits += items.get((user, made["event_time"])) in held.get(user, [])
        held[user] = [each["item"] for each in made["items"]]
    return hits


@pytest.mark.slow
def test_lists_that_are_made_anew_go_to_the_topic_and_serve_better() -> None:
    """Each item is the news for 600 s. A list made 256 s after its user's event is still good when the user is back."""
    events = [Interaction(f"u{n % 40}", f"news {n // 60}", 10.0 * n) for n in range(4_000)]
    records = [event(each.user, each.item, each.timestamp) for each in events]
    asked = {"model": "popularity(half_life=20.0)", "top": 3, "fallback": False, "hold_back": 0.0}
    flow = Flow(records, refresh_budget=1.0, **asked)
    assert 1_500 < flow.connections.counters.refreshed <= 4_000
    assert held_hits(flow, events) > 1.3 * held_hits(Flow(records, **asked), events)


@pytest.mark.slow
def test_it_is_off_unless_asked_for() -> None:
    records = sample_records(300)
    assert Flow(records, refresh_budget=0.0).everything == Flow(records).everything
    assert learner().budget is not None
    assert Learner(Settings(model="popularity").learning(), Counters()).budget is None
