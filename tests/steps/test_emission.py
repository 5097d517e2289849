"""Which lists are sent: policies, the least change, and a budget that is spent on the most useful lists first."""

import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.messages import FALLBACK_USER, Decided, Forget, Interaction, Ranked, Refresh, Request
from flows.monitoring.counters import Counters
from flows.state.store import Store
from flows.steps.emit import Emission, Emitter
from flows.steps.list_budget import ListBudget
from tests.support.flow import Flow, event, sample_records


def made(user: str, time: float, items: str, scores: float = 0.1) -> Ranked:
    listed = items.split()
    event_ = Interaction(user, "tea", time, at=("events", 0, int(time)))
    return Ranked(event_, None, listed, [scores] * len(listed))


def sent(emitter: Emitter, *lists: Ranked) -> list[tuple[str, float]]:
    """Return the users of the sent lists with the times of their events."""
    decided = emitter.process(list(lists))
    return [(each.ranked.event.user, each.ranked.event.timestamp) for each in decided if each.is_emitted]


def emitter_of(**rules: Any) -> Emitter:
    return Emitter(Emission(**rules), Counters())


def test_only_answers_and_the_fallback_list_are_sent_on_request() -> None:
    asked = orjson.dumps({"kind": "request", "user": "u1", "timestamp": 80.0, "request": "r1"})
    records = [event(f"u{n % 5}", f"i{n % 7}", float(n)) for n in range(80)]
    forget = orjson.dumps({"kind": "forget", "user": "u1", "timestamp": 90.0})
    flow = Flow([*records, asked, forget], emit="requests")
    assert [(key, message.value is None) for key, message in flow.sent] == [("u1", False), ("u1", True)]
    assert len(flow.fallbacks) > 0
    assert flow.connections.counters.suppressed >= 80


def test_a_list_is_sent_only_if_enough_of_it_is_new() -> None:
    emitter = emitter_of(least_change=0.3)
    lists = [("ann", "a b c"), ("ann", "c b a"), ("ann", "a b x"), ("ann", "x b c"), ("bob", "a b c")]
    assert sent(emitter, *(made(user, n, items) for n, (user, items) in enumerate(lists))) == [
        ("ann", 0.0),
        ("ann", 3.0),
        ("bob", 4.0),
    ]
    assert emitter.counters.suppressed == 2


def test_an_answer_is_sent_however_little_is_new() -> None:
    emitter = emitter_of(least_change=0.9, budget=0.001, fallback=True)
    answer = Ranked(Request("ann", 2.0, "r1"), None, ["a"], [0.1])
    assert sent(emitter, made("ann", 0, "a"), made("bob", 1, "b"), answer) == [("ann", 0.0), ("ann", 2.0)]


def test_a_budget_is_spent_on_the_most_useful_lists_first() -> None:
    emitter = emitter_of(budget=0.1, by_score=True)
    gains = {"a": 0.1, "b": 0.2, "c": 0.4, "d": 0.3}
    lists = [made(user, n, "x y", gain) for n, (user, gain) in enumerate(gains.items())]
    assert sent(emitter, *lists) == [("a", 0.0)]
    later = [made("a", 11.0 + 10 * n, "x y", 0.1) for n in range(4)]
    assert [sent(emitter, each) for each in later] == [[("c", 2.0)], [("d", 3.0)], [("b", 1.0)], [("a", 41.0)]]
    assert emitter.counters.emitted == 5
    assert emitter.counters.suppressed == 3


def test_a_waiting_list_gives_way_to_a_newer_one_of_its_user() -> None:
    emitter = emitter_of(budget=0.1)
    first = [made("a", 0, "x"), made("b", 1, "x"), made("b", 2, "y"), made("c", 12, "x")]
    assert sent(emitter, *first) == [("a", 0.0), ("c", 12.0)]
    assert sent(emitter, made("a", 22, "x")) == [("b", 2.0)]


def test_a_list_without_news_waits_longest() -> None:
    emitter = emitter_of(budget=0.1)
    assert sent(emitter, made("a", 0, "x y"), made("a", 1, "x y"), made("b", 2, "x y")) == [("a", 0.0)]
    assert sent(emitter, made("a", 11, "y x")) == [("b", 2.0)]


def test_unspent_budget_is_saved_for_a_minute() -> None:
    budget = ListBudget(rate=0.1)
    assert [budget.due(at) for at in (0.0, 10_000.0)] == [[], []]
    for n in range(20):
        budget.wait(made(f"u{n}", 10_000.0, "x"), 1.0)
    assert len(budget.due(10_000.0)) == 6


def test_unspent_budget_is_saved_for_as_long_as_the_settings_say() -> None:
    """A user acts ten times every 1,000 s. The budget is as many lists as there are events."""
    sent_lists = []
    for burst in (60.0, 1_000.0):
        records = [event("eve", f"i{n}", 1_000.0 * (n // 10) + n % 10) for n in range(100)]
        flow = Flow(records, fallback=False, emit_budget=0.01, emit_burst=burst, model="popularity")
        sent_lists.append(len(flow.sent))
    assert sent_lists[0] < 35
    assert sent_lists[1] >= 90


def test_lists_that_waited_through_a_quiet_time_go_at_its_end() -> None:
    budget = ListBudget(rate=0.1)
    for n in range(20):
        budget.wait(made(f"u{n}", 0.0, "x"), 1.0)
    assert [len(budget.due(at)) for at in (0.0, 100.0, 10_000.0)] == [1, 10, 9]


def test_a_forgotten_user_has_no_list_waiting() -> None:
    emitter = emitter_of(budget=0.1)
    erased = Ranked(Forget("b", 3.0), None, None, None)
    assert sent(emitter, made("a", 0, "x"), made("b", 1, "x"), erased) == [("a", 0.0), ("b", 3.0)]
    assert sent(emitter, made("c", 99, "x")) == [("c", 99.0)]
    assert not any(b'"b"' in array.tobytes() for array in emitter.dump().values())


def test_lists_that_wait_are_bounded() -> None:
    budget = ListBudget(rate=1e-9, most=3)
    budget.due(0.0)
    given_up = [budget.wait(made(f"u{n}", n, "x"), 1.0 / (n + 1)) for n in range(5)]
    assert (len(budget), given_up) == (3, [0, 0, 0, 1, 1])


def crowd(count: int) -> list[Ranked]:
    draw = random.Random(3)
    lists = []
    for n in range(count):
        user = f"u{draw.randrange(40)}"
        items = " ".join(draw.sample("abcdefghijklmnop", 5))
        lists.append(made(user, n, items, draw.random()))
        if n % 50 == 49:
            lists.append(Ranked(Refresh(FALLBACK_USER, float(n)), None, ["a", "b"], [0.1, 0.1]))
    return lists


RULES: list[dict[str, Any]] = [
    {"budget": 0.2, "by_score": True, "fallback": True},
    {"budget": 0.2, "policy": "changed", "least_change": 0.2},
    {"least_change": 0.4, "interval": 20.0},
]


@pytest.mark.parametrize("rules", RULES)
def test_batches_do_not_show(rules: dict[str, Any]) -> None:
    one, other = emitter_of(**rules), emitter_of(**rules)
    lists = crowd(400)
    alone = [each for made_ in lists for each in sent(one, made_)]
    assert alone == [each for at in range(0, len(lists), 7) for each in sent(other, *lists[at : at + 7])]
    assert 0 < len(alone) < 300


@pytest.mark.parametrize("rules", RULES)
def test_an_emitter_goes_on_after_a_restart(rules: dict[str, Any], tmp_path: Path) -> None:
    emitter, store = emitter_of(**rules), Store(tmp_path)
    store.load(emitter, None)
    lists = crowd(400)
    for at in range(0, 300, 30):
        sent(emitter, *lists[at : at + 30])
        pointer = store.save(emitter)
    again = emitter_of(**rules)
    Store(tmp_path).load(again, pointer)
    assert sent(emitter, *lists[300:]) == sent(again, *lists[300:])


def test_state_of_another_policy_loads() -> None:
    plain, limited = emitter_of(policy="changed"), emitter_of(policy="changed", budget=0.2)
    sent(plain, made("a", 0, "x"), made("b", 1, "y"))
    limited.load(plain.dump())
    assert sent(limited, made("a", 2, "x"), made("b", 3, "z")) == [("b", 3.0)]
    plain = emitter_of(policy="changed")
    plain.load(limited.dump())
    assert sent(plain, made("a", 4, "x"), made("b", 5, "q")) == [("b", 5.0)]


def test_every_list_is_emitted_kept_in_or_waits() -> None:
    emitter = emitter_of(budget=0.2)
    lists = crowd(400)
    decided: list[Decided] = emitter.process(lists)
    budget = emitter._budget
    assert budget is not None
    assert sum(each.is_emitted for each in decided) == emitter.counters.emitted
    assert emitter.counters.emitted + emitter.counters.suppressed + len(budget) == len(lists)


def test_a_budget_bounds_the_messages_of_a_flow() -> None:
    """The sample has 300 events in some hours. The lists are the model's, and keep the position of their event."""
    records = sample_records(300)
    plain, limited = Flow(records, fallback=False), Flow(records, fallback=False, emit_budget=0.001)
    assert len(limited.lists) < len(plain.lists)
    everything = [message.value for _, message in plain.sent]
    assert all(message.value in everything for _, message in limited.sent)
    assert [each.ranked.position for each in limited.decided if each.ranked.position is not None] == [
        each.ranked.position for each in plain.decided if each.ranked.position is not None
    ]
