"""Cleaning: repeats are dropped, late events counted, and wrong clocks corrected."""

import random
from pathlib import Path

import orjson
import pytest

from flows.messages import Event, Forget, Interaction, ItemEvent, Ranked
from flows.monitoring.counters import Counters
from flows.state.store import Store
from flows.steps.clean import Cleaner
from flows.steps.emit import Emission, Emitter
from flows.steps.event_time import MAX_JUMP_SECONDS, MIN_AGREEING_EVENTS, EventTime
from tests.support.flow import Flow, event

NOW = 1_700_000_000.0
FAR = 4_000_000_000.0
"""The year 2096."""


def click(user: str, timestamp: float, id: str | None = None) -> Interaction:
    return Interaction(user, "tea", timestamp, id=id)


def ids(events: list[Event]) -> list[str | None]:
    return [each.id for each in events if isinstance(each, Interaction)]


# --- repeats ---


def test_an_id_is_known_for_as_many_ids_as_the_window_holds() -> None:
    cleaner = Cleaner(3, Counters())
    assert ids(cleaner.process([click("u", NOW, i) for i in "abcabc"])) == list("abc")
    assert ids(cleaner.process([click("u", NOW, i) for i in "dbc"])) == ["d"], "b and c are still among the last three"
    assert ids(cleaner.process([click("u", NOW, "a")])) == ["a"], "the fourth since"
    assert cleaner.counters.duplicate == 5


def test_a_repeat_is_neither_late_nor_in_the_way_of_time() -> None:
    cleaner = Cleaner(10, Counters())
    cleaner.process([click("ann", NOW, "a"), click("bob", NOW + 5, "b"), click("ann", NOW, "a")])
    assert (cleaner.counters.duplicate, cleaner.counters.late, cleaner.counters.event_time) == (1, 0, NOW + 5)


def test_events_without_an_id_and_windows_of_nothing_drop_nothing() -> None:
    assert len(Cleaner(10, Counters()).process([click("u", NOW)] * 3)) == 3
    assert len(Cleaner(0, Counters()).process([click("u", NOW, "a")] * 3)) == 3


def test_memory_is_bounded_whatever_comes() -> None:
    cleaner = Cleaner(100, Counters())
    for number in range(10_000):
        cleaner.process([click(f"u{number}", NOW + number, f"e{number}")])
        if number % 1_000 == 0:
            cleaner.process([Forget(f"u{number}", NOW)])
    assert len(cleaner._known) <= 100
    assert sum(array.nbytes for array in cleaner.dump().values()) < 100 * 24 + 100


def test_a_forgotten_user_leaves_no_id() -> None:
    cleaner = Cleaner(10, Counters())
    cleaner.process([click("ann", NOW, "a"), click("bob", NOW, "b"), Forget("ann", NOW)])
    assert ids(cleaner.process([click("ann", NOW, "a"), click("bob", NOW, "b")])) == ["a"]


@pytest.mark.parametrize("seed", range(5))
def test_loaded_cleaner_continues_like_the_dumped_one(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    kept, store, pointer = Cleaner(50, Counters()), Store(tmp_path), None
    store.load(kept, None)
    for _ in range(40):
        batch = [random_event(draw) for _ in range(draw.randrange(30))]
        resumed = Cleaner(50, Counters())
        if pointer is not None:
            Store(tmp_path).load(resumed, pointer)
            before = (kept.counters.duplicate, kept.counters.late, kept.counters.ahead)
            assert resumed.process(batch) == kept.process(batch)
            told = resumed.counters
            assert before == (
                kept.counters.duplicate - told.duplicate,
                kept.counters.late - told.late,
                kept.counters.ahead - told.ahead,
            )
        pointer = store.save(kept) or pointer


def random_event(draw: random.Random) -> Event:
    user, time = (
        f"u{draw.randrange(5)}",
        draw.choice([NOW, NOW, NOW, NOW + 3 * MAX_JUMP_SECONDS, FAR, 0.0]) + draw.random(),
    )
    if draw.random() < 0.05:
        return Forget(user, time)
    return click(user, time, f"e{draw.randrange(100)}")


@pytest.mark.parametrize(("window", "known"), [(100, "abcde"), (5, "abcde"), (2, "de"), (0, "")])
def test_the_window_may_change_between_runs(window: int, known: str) -> None:
    before, after = Cleaner(10, Counters()), Cleaner(window, Counters())
    before.process([click("u", NOW, i) for i in "abcde"])
    after.load(before.dump())
    after.process([])
    again = Cleaner(window, Counters())
    again.load(after.dump_changes())
    for cleaner in (after, again):
        fresh = [i for i in "abcde" if digest_is_new(cleaner, i)]
        assert fresh == [i for i in "abcde" if i not in known]


def digest_is_new(cleaner: Cleaner, id: str) -> bool:
    from flows.steps.hashing import digest

    return digest(f"{id}\0u\0tea\0interaction") not in cleaner._known


def test_parts_are_the_whole() -> None:
    cleaner, copy = Cleaner(100, Counters()), Cleaner(100, Counters())
    cleaner.process([click(f"u{n % 7}", NOW + n, f"e{n}") for n in range(130)])
    place, parts = 0, 0
    while parts == 0 or place:
        record, place = cleaner.dump_part(place, 1_000)
        copy.load(record)
        parts += 1
    assert parts == 3
    assert {name: array.tolist() for name, array in copy.dump().items()} == {
        name: array.tolist() for name, array in cleaner.dump().items()
    }


# --- late ---


def test_late_events_are_counted_pass_and_never_move_time_backwards() -> None:
    cleaner = Cleaner(10, Counters())
    batch: list[Event] = [click("ann", NOW), click("bob", NOW - 50), click("ann", NOW - 1), click("bob", NOW)]
    assert cleaner.process(batch) == batch
    assert (cleaner.counters.late, cleaner.counters.ahead, cleaner.counters.event_time) == (2, 0, NOW)


def test_a_clock_that_is_years_behind_is_late_and_no_more() -> None:
    cleaner = Cleaner(10, Counters())
    batch: list[Event] = [click("ann", NOW), click("bob", NOW), click("eve", 0.0), click("eve", 1.0)]
    assert cleaner.process(batch) == batch
    assert (cleaner.counters.late, cleaner.counters.event_time) == (2, NOW)


def test_item_events_have_the_catalogues_time() -> None:
    cleaner = Cleaner(10, Counters())
    batch: list[Event] = [click("ann", NOW), ItemEvent("tea", FAR), ItemEvent("jam", 0.0), click("bob", NOW + 1)]
    assert cleaner.process(batch) == batch
    assert (cleaner.counters.late, cleaner.counters.ahead, cleaner.counters.event_time) == (0, 0, NOW + 1)


# --- clocks that jump ahead ---


def placed(*events: tuple[float, str]) -> tuple[list[float], float]:
    clock = EventTime()
    return [clock.place(*each) for each in events], clock.newest


def test_single_clock_far_ahead_moves_no_time() -> None:
    times, newest = placed((NOW, "ann"), (NOW, "bob"), (FAR, "eve"), (NOW + 1, "ann"), (FAR, "eve"), (NOW + 2, "bob"))
    assert times == [NOW, NOW, NOW, NOW + 1, NOW + 1, NOW + 2]
    assert newest == NOW + 2


def test_two_wrong_clocks_with_a_right_one_between_do_not_agree() -> None:
    assert placed((NOW, "ann"), (NOW, "bob"), (FAR, "eve"), (NOW, "ann"), (FAR, "mal"))[1] == NOW


def test_after_a_gap_in_the_log_time_goes_on_with_the_second_user() -> None:
    times, newest = placed(
        (NOW, "ann"), (NOW, "bob"), (NOW + 2 * MAX_JUMP_SECONDS, "ann"), (NOW + 2 * MAX_JUMP_SECONDS + 1, "bob")
    )
    assert times == [NOW, NOW, NOW, NOW + 2 * MAX_JUMP_SECONDS + 1]
    assert newest == NOW + 2 * MAX_JUMP_SECONDS + 1


def test_after_a_gap_in_the_log_of_one_user_time_goes_on_too() -> None:
    later = [(NOW + 2 * MAX_JUMP_SECONDS + n, "ann") for n in range(MIN_AGREEING_EVENTS + 1)]
    times, newest = placed((NOW, "ann"), *later)
    assert times == [NOW] * MIN_AGREEING_EVENTS + [time for time, _ in later[-2:]]
    assert newest == later[-1][0]


def test_the_very_first_clock_may_be_wrong() -> None:
    times, newest = placed((FAR, "eve"), (NOW, "ann"), (NOW + 1, "bob"))
    assert times == [FAR, NOW, NOW + 1]
    assert newest == NOW + 1


def test_a_wrong_clock_silences_nobody() -> None:
    """A list at most every minute: had the year 2096 been believed, ann would wait for it."""
    records = [event("bob", "tea", NOW), event("ann", "tea", NOW), event("ann", "jam", FAR)]
    flow = Flow([*records, event("bob", "jam", NOW + 60), event("ann", "pie", NOW + 61)], emit_interval=60)
    assert [decided.is_emitted for decided in flow.decided] == [True, True, False, True, True]
    assert [orjson.loads(message.value or b"")["event_time"] for _, message in flow.sent] == [
        NOW, NOW, NOW + 60, NOW + 61,
    ]  # fmt: skip
    assert (flow.connections.counters.ahead, flow.connections.counters.late, flow.connections.counters.learned) == (
        1,
        0,
        5,
    )


def test_a_clock_that_falls_back_silences_nobody() -> None:
    emitter = Emitter(Emission(interval=60.0, max_users=100), Counters())
    batch = [Ranked(click("ann", time), None, ["tea"], [1.0]) for time in (NOW, 10.0, NOW + 30, NOW + 60)]
    assert [decided.is_emitted for decided in emitter.process(batch)] == [True, True, False, True]
