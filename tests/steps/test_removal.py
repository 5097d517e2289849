"""Lists that hold an item which has become unavailable are made anew, within a bound."""

import copy
from typing import Any

import orjson
import pytest

from flows.messages import Interaction, ItemEvent, Prepared, Ranked, Refresh
from flows.monitoring.counters import Counters
from flows.settings import Settings
from flows.state.stateful import Snapshot
from flows.steps.emit import Emission, Emitter
from flows.steps.learn import Learner
from flows.steps.removal import HeldItems
from recmodels.base import Example
from tests.support.flow import Flow, event


def item(name: str, timestamp: float, **fields: object) -> bytes:
    return orjson.dumps({"kind": "item", "item": name, "timestamp": timestamp, **fields})


def log(users: int = 10) -> list[bytes]:
    """The catalogue, users who all get the tea in their lists, its removal, and events of one user."""
    return [
        item("tea", 0, available=True),
        *(event(f"u{n}", name, 1 + n) for n in range(users) for name in ("tea", "jam")),
        item("tea", 50, available=False),
        *(event("eve", "pie", 60 + n) for n in range(4)),
    ]


def last_lists(flow: Flow) -> dict[str, list[str]]:
    return {made["user"]: [each["item"] for each in made["items"]] for made in flow.lists}


def test_no_list_on_the_topic_holds_a_removed_item() -> None:
    flow = Flow(log())
    assert all("tea" not in items for items in last_lists(flow).values())
    assert flow.connections.counters.refreshed == 10
    assert not any("tea" in [each["item"] for each in made["items"]] for made in flow.fallbacks[-1:])
    assert any("tea" in items for items in last_lists(Flow(log(), refresh_removed=0)).values())


@pytest.mark.parametrize("most", [1, 3])
def test_lists_are_made_anew_a_few_after_each_event(most: int) -> None:
    flow = Flow(log(), refresh_removed=most, fallback=False)
    made = [each.ranked.event for each in flow.decided]
    removed = 2 * 10
    due = [place for place, each in enumerate(made) if isinstance(each, Refresh)]
    assert len(due) == min(10, most * 5), "after the removal, and after each of four events"
    assert due[:most] == list(range(removed, removed + most)), "the first come at once"
    assert [each.user for each in made if isinstance(each, Refresh)] == [f"u{n}" for n in range(len(due))]


@pytest.mark.parametrize("batch", [1, 5])
def test_batches_do_not_show(batch: int) -> None:
    assert Flow(log(), batch=batch, refresh_removed=2).everything == Flow(log(), refresh_removed=2).everything


def test_nothing_is_kept_before_the_first_item_event() -> None:
    flow = Flow(log()[1:])
    assert flow.connections.counters.refreshed == 0


def test_policies_hold_no_due_list_back() -> None:
    flow = Flow(log(), emit_interval=1e6, emit="changed")
    assert flow.connections.counters.refreshed == 10
    emitter = Emitter(Emission(max_users=100, withdraw_stale=True), Counters())
    [decided] = emitter.process([Ranked(Refresh("gone", 1.0, is_due=True), None, ["a"], [1.0])])
    assert not decided.is_emitted, "a list that was withdrawn stays so"


def learner() -> Learner:
    return Learner(Settings(model="popularity(max_users=99, max_items=99)", top=3).learning(), Counters())


def feed(model: Learner, *events: Any) -> list[str]:
    prepared = [
        Prepared(each, Example(each.user, each.item, 1.0, each.timestamp) if isinstance(each, Interaction) else None)
        for each in events
    ]
    return [ranked.event.user for ranked in model.process(prepared) if isinstance(ranked.event, Refresh)]


def test_lists_that_wait_are_made_anew_after_a_restart() -> None:
    live = learner()
    feed(live, ItemEvent("tea", 0.0, available=True), *(Interaction(f"u{n}", "tea", 1.0 + n) for n in range(50)))
    states: list[list[Snapshot]] = [[live.dump()], []]
    place = -1
    while place:
        part, place = live.dump_part(max(place, 0), 1_000)
        states[1].append(copy.deepcopy(part))
    hide = ItemEvent("tea", 60.0, available=False)
    assert feed(live, hide) == [f"u{n}" for n in range(32)]
    states.append([live.dump()])
    for state in states[:2]:
        restored = learner()
        for part in state:
            restored.load(part)
        assert feed(restored, hide) == [f"u{n}" for n in range(32)]
    restored = learner()
    restored.load(states[2][0])
    assert feed(restored, Interaction("eve", "jam", 70.0)) == [f"u{n}" for n in range(32, 50)]
    assert feed(restored, Interaction("eve", "jam", 71.0)) == []


def test_memory_of_lists_is_bounded() -> None:
    held = HeldItems(max_users=64, top=2)
    held.start()
    for n in range(200):
        held.hold(f"u{n}", ["tea", "jam"])
        if n == 100:
            held.remove("tea")
    waiting = held.due(1_000)
    assert waiting == [f"u{n}" for n in range(137, 101)] or all(int(user[1:]) <= 100 for user in waiting)
    held.remove("jam")
    assert len(held.due(1_000)) == 64
