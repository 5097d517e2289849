"""Bot filter: holds back users who act like bots, and no other users."""

import csv
import gzip
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

from flows.evaluation.scorer import PrequentialScorer
from flows.messages import Decided, Event, Forget, Interaction, ItemEvent
from flows.monitoring.counters import Counters
from flows.replay import replay
from flows.settings import Settings
from flows.state.store import Store
from flows.steps.bot_detector import LEAST_VISITS, SLOTS, WINDOW, BotDetector
from flows.steps.bot_guard import BotGuard
from flows.steps.hashing import digest
from tests.support.flow import Flow, event

NOW = 1_700_000_000.0
RealLog = Callable[[str], Path]
Row = tuple[str, str, float]


def people(count: int, start: float = NOW) -> list[Row]:
    """Everybody comes once in a while, to three items a minute apart."""
    return [(f"u{n // 3 % 50}", f"i{n * 7 % 90}", start + 60.0 * n) for n in range(count)]


def held(crowd: BotDetector, rows: Iterable[Row]) -> list[bool]:
    return [crowd.is_outlier(*row) for row in rows]


def clicks(rows: Iterable[Row]) -> list[Event]:
    return [Interaction(user, item, time) for user, item, time in rows]


def test_people_pass_and_much_faster_users_are_held_back() -> None:
    crowd = BotDetector(3.0)
    assert sum(held(crowd, people(3_000))) == 0
    bot = held(crowd, [("bot", f"i{n}", NOW + 180_000 + n / 10) for n in range(200)])
    assert bot == sorted(bot), "once outside, outside while it goes on"
    assert 120 < sum(bot) < 190
    assert sum(held(crowd, people(300, NOW + 200_000))) == 0


def test_slow_user_with_constant_repeats_is_held_back() -> None:
    crowd = BotDetector(3.0)
    held(crowd, people(3_000))
    slow = [NOW + 180_000 + 20.0 * n for n in range(200)]
    assert sum(held(crowd, [("fan", f"i{n % 3}", time) for n, time in enumerate(slow)])) > 100
    assert sum(held(crowd, [("visitor", f"i{n}", time + 9e4) for n, time in enumerate(slow)])) == 0


def test_bot_that_stops_is_let_in_again() -> None:
    crowd = BotDetector(3.0)
    held(crowd, people(3_000))
    assert held(crowd, [("bot", "tea", NOW + 180_000 + n / 10) for n in range(200)])[-1]
    assert not crowd.is_outlier("bot", "tea", NOW + 180_000 + 86_400)


def test_a_bot_does_not_become_what_is_usual_but_a_crowd_does() -> None:
    crowd = BotDetector(3.0)
    held(crowd, people(3_000))
    before = crowd.fences
    assert held(crowd, [("bot", "tea", NOW + 180_000 + n / 1_000) for n in range(20_000)])[-1]
    assert crowd.fences == before
    rush = [(f"r{n // 100}", f"i{n}", NOW + 200_000 + n / 10) for n in range(100 * WINDOW)]
    assert sum(held(crowd, rush)[-50_000:]) == 0, "all are as fast: a sale has begun"


def test_bot_filter_needs_a_least_number_of_visits() -> None:
    crowd = BotDetector(3.0)
    rows = [(f"b{n % 2}", "tea", NOW + n / 1_000) for n in range(LEAST_VISITS)]
    assert not any(held(crowd, rows))


def test_clocks_that_fall_back_do_no_harm() -> None:
    crowd = BotDetector(3.0)
    rows = [
        (user, item, time - (86_400.0 if n % 5 == 0 else 0.0)) for n, (user, item, time) in enumerate(people(3_000))
    ]
    assert sum(held(crowd, rows)) == 0


def test_a_clock_that_was_days_ahead_once_holds_nobody_back_afterwards() -> None:
    crowd = BotDetector(3.0)
    held(crowd, people(3_000))
    later = [("ann", f"i{n}", NOW + 180_000 + 300.0 * n) for n in range(600)]
    assert sum(held(crowd, [("ann", "tea", NOW + 180_000 + 6 * 86_400), *later])) == 0


def test_memory_is_bounded_and_slots_go_to_those_who_are_active() -> None:
    crowd = BotDetector(3.0)
    size = sum(array.nbytes for array in crowd.users.arrays.values())
    held(crowd, [(f"u{n}", "tea", NOW + n) for n in range(3 * SLOTS)])
    assert sum(array.nbytes for array in crowd.dump().values()) < size + 16 * WINDOW + 16 * SLOTS
    assert held(crowd, [("bot", f"i{n}", NOW + 4 * SLOTS + n / 10) for n in range(200)])[-1]


def state(guard: BotGuard) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in guard.dump().items()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_resumed_step_continues_bit_for_bit(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    unbroken, resumed, store, pointer, time = (
        BotGuard(3.0, Counters()),
        BotGuard(3.0, Counters()),
        Store(tmp_path),
        None,
        NOW,
    )
    store.load(resumed, None)
    for turn in range(120):
        batch: list[Event] = [Forget(f"u{draw.randrange(30)}", time)] if turn % 7 == 0 else []
        for _ in range(draw.randrange(60)):
            time += draw.choice([0.0, 0.1, 30.0])
            batch.append(Interaction(f"u{min(draw.randrange(30), draw.randrange(30))}", f"i{draw.randrange(9)}", time))
        if turn % 10 == 3:
            batch += clicks([(f"bot{turn % 20}", "tea", time + n / 100) for n in range(draw.randrange(200))])
        assert unbroken.process(batch) == resumed.process(batch)
        pointer = store.save(resumed) or pointer
        if turn % 5 == 4:
            resumed, store = BotGuard(3.0, resumed.counters), Store(tmp_path)
            store.load(resumed, pointer)
    assert resumed.counters.held_back == unbroken.counters.held_back > 0
    assert state(resumed) == state(unbroken)


def test_an_erased_user_leaves_nothing_but_what_the_crowd_gained() -> None:
    guard = BotGuard(3.0, Counters())
    guard.process(clicks(people(3_000)))
    guard.process(clicks([("bot", "tea", NOW + 180_000 + n / 10) for n in range(200)]))
    mark = np.uint64(digest("bot")).tobytes()
    assert any(mark in array for array in state(guard).values())
    passed = guard.process([Forget("bot", NOW + 181_000), Interaction("bot", "tea", NOW + 180_021)])
    assert len(passed) == 2, "the user starts again as a stranger"
    guard.process([Forget("bot", NOW + 181_000)])
    assert not any(mark in array for array in state(guard).values())


def test_item_events_pass() -> None:
    guard, change = BotGuard(3.0, Counters()), ItemEvent("tea", NOW)
    assert guard.process([change]) == [change]


def with_a_bot() -> list[bytes]:
    rows = [*people(1_500), *(("bot", "rubbish", NOW + 90_000 + n / 10) for n in range(300))]
    return [event(*row) for row in rows]


def test_events_of_bots_are_counted_and_neither_learned_nor_answered() -> None:
    flow = Flow(with_a_bot(), model="popularity")
    counters = flow.connections.counters
    assert 200 < counters.held_back < 300
    assert counters.learned == len(flow.sent) == 1_800 - counters.held_back
    assert counters.read == 1_800
    assert counters.counts()["held_back"] == counters.held_back
    assert f"{counters.held_back} events held back, as their users act like bots" in counters.sentence()


def test_bot_filter_can_be_turned_off() -> None:
    flow = Flow(with_a_bot(), model="popularity", hold_back=0)
    assert (flow.connections.counters.held_back, len(flow.sent)) == (0, 1_800)


def rows_of(log: Path, limit: int | None = None) -> list[Row]:
    with gzip.open(log, "rt") as lines:
        rows = [(row["user"], row["item"], float(row["timestamp"])) for row in csv.DictReader(lines)]
    return rows[:limit]


@pytest.mark.parametrize("name", ["ml-100k", "movietweetings-142k", "online-retail", "globo-300k"])
def test_nearly_nobody_is_held_back_in_real_logs(real_log: RealLog, name: str) -> None:
    rows = rows_of(real_log(name), 150_000)
    assert sum(held(BotDetector(3.0), rows)) <= 1e-3 * len(rows)


class OfPeople(PrequentialScorer):
    """Scores the lists of people, and not those of bots."""

    @override
    def add(self, decided: Decided) -> None:
        if not decided.ranked.event.user.startswith("bot"):
            super().add(decided)


def boosters(rows: list[Row], share: float) -> Iterator[Row]:
    """Events of bots: `share` of the rows. Each bot presses eight items for a quarter of an hour, again and again."""
    draw, items = random.Random(1), sorted({item for _, item, _ in rows})
    for visit in range(round(share * len(rows) / 500)):
        start, mine = draw.choice(rows)[2], draw.sample(items, 8)
        yield from ((f"bot{visit % 5}", mine[n % 8], start + 2.0 * n) for n in range(500))


def hit_rate(rows: list[Row], log: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> float:
    lines = (f"{user},{item},{time}\n" for user, item, time in sorted(rows, key=lambda row: row[2]))
    log.write_text("".join(["user,item,timestamp\n", *lines]))
    monkeypatch.setattr("flows.replay.PrequentialScorer", OfPeople)
    return replay(log, Settings(repeats="exclude", **settings)).hit_rate


@pytest.mark.parametrize(("model", "count"), [("popularity", 40_000), ("blend", 20_000)])
def test_one_bot_event_in_twenty_costs_people_less_than_2_percent(
    real_log: RealLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, count: int
) -> None:
    real = rows_of(real_log("ml-100k"), count)
    mixed, log = [*real, *boosters(real, 0.05)], tmp_path / "log.csv"
    assert len(mixed) == 1.05 * count
    alone = hit_rate(real, log, monkeypatch, model=model)
    assert hit_rate(mixed, log, monkeypatch, model=model) > 0.98 * alone
    if model == "popularity":  # the blend's weights find out by themselves what bots have spoilt
        assert hit_rate(mixed, log, monkeypatch, model=model, hold_back=0) < 0.95 * alone
