"""Refreshes: lists of idle users are recomputed and withdrawn, and the fallback list is emitted."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.evaluation.scorer import PrequentialScorer
from flows.messages import FALLBACK_USER, Forget, Interaction, Prepared, Ranked, Refresh
from flows.monitoring.counters import Counters
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from flows.state.store import Store
from flows.steps.emit import Emission, Emitter
from flows.steps.refresh import EVENTS_PER_FALLBACK, EVENTS_PER_ROUND, MAX_REFRESHES_PER_ROUND, Refresher, Refreshing
from tests.support.flow import Flow, event, sample_records

NAME = "ann-who-asked-to-be-erased"


def made(after: float = 60.0, times: int = 2, fallback: bool = False, max_users: int = 1_000) -> Refresher:
    return Refresher(Refreshing(after=after, times=times, fallback=fallback, max_users=max_users))


def clicks(*pairs: tuple[str, float]) -> list[Prepared]:
    return [Prepared(Interaction(user, "tea", time), None) for user, time in pairs]


def requests(refresher: Refresher, given: list[Prepared]) -> list[tuple[str, float, bool]]:
    found = [event for event, _ in refresher.process(given) if isinstance(event, Refresh)]
    return [(request.user, request.timestamp, request.withdraw) for request in found if request.user != FALLBACK_USER]


def others(first: int, last: int, step: int = 1) -> list[Prepared]:
    """Events of ever new users, one in `step` seconds."""
    return clicks(*((f"other{t}", float(t)) for t in range(first, last, step)))


def test_a_list_is_asked_for_after_ever_longer_absence_and_then_withdrawn() -> None:
    found = requests(made(), [*clicks(("ann", 0.0)), *others(1, 1_200)])
    mine = [(time, withdraw) for user, time, withdraw in found if user == "ann"]
    assert [withdraw for _, withdraw in mine] == [False, False, True]
    for (time, _), due in zip(mine, (60.0, 240.0, 960.0), strict=True):
        assert due <= time < due + EVENTS_PER_ROUND + 1


def test_returning_user_is_not_idle() -> None:
    visits = clicks(*(("ann", 50.0 * n) for n in range(40)))
    assert requests(made(), visits) == []
    refresher = made()
    requests(refresher, [*clicks(("ann", 0.0)), *others(1, 300)])
    back = requests(refresher, [*clicks(("ann", 300.0)), *others(301, 1_400)])
    absences = [time - 300.0 for user, time, _ in back if user == "ann"]
    for absence, due in zip(absences, (60.0, 240.0, 960.0), strict=True):
        assert due <= absence < due + 2 * EVENTS_PER_ROUND, "the absence begins anew"


def test_a_long_gap_between_events_skips_what_nobody_would_see() -> None:
    quiet = clicks(("ann", 0.0), *(("bob", 700.0) for _ in range(2 * EVENTS_PER_ROUND)))
    assert requests(made(), quiet) == [("ann", 700.0, False)], "one list, not one for each time that has passed"
    gone = clicks(("ann", 0.0), *(("bob", 5_000.0) for _ in range(2 * EVENTS_PER_ROUND)))
    assert requests(made(), gone) == [("ann", 5_000.0, True)]


def test_zero_refreshes_withdraw_a_list_at_once() -> None:
    found = requests(made(times=0), [*clicks(("ann", 0.0)), *others(1, 100)])
    assert [(user, withdraw) for user, _, withdraw in found][:1] == [("ann", True)]


def test_refreshes_of_one_round_are_bounded() -> None:
    refresher = made()
    refresher.process(clicks(*((f"u{n}", 0.0) for n in range(500))))
    out = refresher.process(clicks(*(("late", 100.0) for _ in range(40 * EVENTS_PER_ROUND))))
    between, most, total = 0, 0, 0
    for each, _ in out:
        between = between + 1 if isinstance(each, Refresh) else 0
        most, total = max(most, between), total + (isinstance(each, Refresh) and each.user != FALLBACK_USER)
    assert most == MAX_REFRESHES_PER_ROUND
    assert total == 500, "all of them in the end"


def test_fallback_list_comes_by_the_number_of_events() -> None:
    out = made(after=0.0, fallback=True).process(clicks(*(("ann", 1.0) for _ in range(2 * EVENTS_PER_FALLBACK))))
    places = [place for place, (each, _) in enumerate(out) if isinstance(each, Refresh)]
    assert places == [EVENTS_PER_FALLBACK, 2 * EVENTS_PER_FALLBACK + 1]
    assert {each.user for each, _ in out if isinstance(each, Refresh)} == {FALLBACK_USER}


def test_refresh_turned_off_adds_and_stores_nothing(tmp_path: Path) -> None:
    given = others(0, 1_000)
    off, store = made(after=0.0), Store(tmp_path)
    store.load(off, None)
    assert off.process(given) is given
    assert store.save(off) is None


def random_events(count: int) -> list[Prepared]:
    draw = random.Random(3)
    time, events = 0.0, []
    for _ in range(count):
        time += draw.expovariate(1 / 5.0)
        user = f"u{int(draw.paretovariate(0.6)) % 300}"
        gone = draw.random() < 0.02
        events.append(
            Prepared(Forget(user, time) if gone else Interaction(user, "tea", time, at=("t", 0, int(time))), None)
        )
    return events


def test_neither_batches_nor_restarts_show(tmp_path: Path) -> None:
    given = random_events(3_000)
    whole = made(max_users=100).process(given)
    assert sum(isinstance(each, Refresh) for each, _ in whole) > 300
    for size in (1, 7):
        refresher = made(max_users=100)
        assert [each for k in range(0, 3_000, size) for each in refresher.process(given[k : k + size])] == whole

    out, store, pointer = [], Store(tmp_path), None
    for k in range(0, 3_000, 250):
        refresher, store = made(max_users=100), Store(tmp_path)
        store.load(refresher, pointer)
        out += refresher.process(given[k : k + 250])
        pointer = store.save(refresher)
    assert out == whole


def test_erased_user_is_never_refreshed_and_leaves_nothing() -> None:
    refresher = made()
    refresher.process([*clicks((NAME, 0.0)), *others(1, 5)])
    refresher.process([Prepared(Forget(NAME, 5.0), None)])
    assert all(user != NAME for user, _, _ in requests(refresher, others(6, 500)))
    assert NAME.encode() not in orjson.dumps(list(refresher._users.names))
    assert b"erased" not in b"".join(array.tobytes() for array in refresher.dump().values())


def test_memory_is_bounded() -> None:
    refresher = made(after=1e6, max_users=200)
    for start in range(0, 50_000, 1_000):
        refresher.process(others(start, start + 1_000))
    assert len(refresher._users) <= 200
    assert len(refresher._queue) < 1_500
    ever = made(after=1.0, times=3, max_users=200)
    for start in range(0, 20_000, 1_000):
        ever.process(clicks(*((f"u{t % 50}", 1.0 * t) for t in range(start, start + 1_000))))
    assert len(ever._queue) < 1_500


# The whole flow.


def both(records: list[bytes], **settings: Any) -> Iterator[Flow]:
    yield Flow(records, **settings)
    yield Flow(records, refresh=3_600.0, **settings)


@pytest.mark.slow
def test_refreshes_do_not_change_lists_of_events_and_have_keys_and_positions() -> None:
    records = sample_records(3_000)
    plain, refreshed = both(records, repeats="exclude")
    lists = [each for each in refreshed.lists if each is not None]
    assert [each["source"] for each in lists] == sorted(
        (each["source"] for each in lists), key=lambda source: int(source.rpartition("/")[2])
    )
    answers, before = (
        [(each.ranked.event.source, each.ranked[1:]) for each in flow.decided if type(each.ranked.event) is Interaction]
        for flow in (refreshed, plain)
    )
    assert answers == before, "requests read, and never write"
    assert len(before) == len(plain.sent)
    assert len(refreshed.sent) > 3_000
    assert (
        sum(getattr(refreshed.connections.counters, name) for name in ("refreshed", "withdrawn", "fallbacks"))
        == len(refreshed.everything) - 3_000
    )
    strange = [message for key, message in refreshed.everything if key == FALLBACK_USER]
    assert strange
    assert {message.key for message in strange} == {b""}
    assert {orjson.loads(message.value or b"")["user"] for message in strange} == {""}


@pytest.mark.parametrize("settings", [{"refresh": 3_600.0}, {"fallback": True}, {"refresh": 60.0, "emit": "changed"}])
def test_batches_never_show_in_refreshed_lists(settings: dict[str, Any]) -> None:
    records = sample_records(1_500)
    whole = Flow(records, batch=1_000, repeats="exclude", **settings)
    assert Flow(records, batch=7, repeats="exclude", **settings).everything == whole.everything
    assert len(whole.everything) > 1_500 or "emit" in settings


def test_fallback_list_is_what_is_popular_and_goes_out_only_when_it_changes() -> None:
    records = [event(f"u{n}", "tea", float(n)) for n in range(4 * EVENTS_PER_FALLBACK)]
    strange = Flow(records, fallback=True).fallbacks
    assert [[entry["item"] for entry in each["items"]] for each in strange] == [["tea"]]
    assert strange[0]["source"] == f"events/0/{EVENTS_PER_FALLBACK - 1}"


def test_a_list_that_is_withdrawn_is_a_tombstone() -> None:
    records = [event("ann", "tea", 0.0), *(event("bob", "jam", 100.0) for _ in range(EVENTS_PER_ROUND))]
    flow = Flow(records, refresh=60.0, refreshes=0)
    assert [message.value for key, message in flow.sent if key == "ann"][1:] == [None]
    assert flow.connections.counters.withdrawn == 1


def test_served_list_of_a_user_without_one_is_the_fallback_list() -> None:
    scores = PrequentialScorer(k=10)
    tea, pie = Interaction("ann", "tea", 1.0), Interaction("bob", "pie", 2.0)
    emitter = Emitter(Emission(max_users=10), Counters())

    def pass_on(*ranked: Ranked) -> None:
        for decided in emitter.process(list(ranked)):
            scores.add(decided)

    pass_on(Ranked(Refresh(FALLBACK_USER, 0.0), None, ["tea"], [1.0]))
    pass_on(Ranked(tea, -1, ["jam"], [1.0]))
    assert scores.served_hit_rate == 1.0, "ann had no list"
    pass_on(Ranked(tea, -1, ["jam"], [1.0]))
    assert scores.served_hit_rate == 1 / 2, "ann had a list of her own"
    pass_on(Ranked(Refresh("ann", 3.0, withdraw=True), None, None, None), Ranked(tea, -1, ["pie"], [1.0]))
    assert scores.served_hit_rate == 2 / 3, "it was withdrawn"
    pass_on(Ranked(pie, -1, [], []), Ranked(Interaction("bob", "tea", 4.0), -1, ["tea"], [1.0]))
    assert scores.served_hit_rate == 2 / 5, "an empty list is a list"
    pass_on(Ranked(Refresh("bob", 5.0), None, ["jam"], [1.0]), Ranked(Interaction("bob", "jam", 6.0), -1, [], []))
    assert scores.served_hit_rate == 3 / 6, "bob's list was made anew"
    assert (len(scores.users), len(scores.items)) == (2, 3), "a request is nobody's event"
    assert set(scores.last_lists(9)) == {"ann", "bob"}


def test_refresh_may_be_turned_off_and_on_in_a_recovery_directory(tmp_path: Path) -> None:
    refreshed = []
    for limit, seconds in ((500, 3_600.0), (1_000, 0.0), (1_500, 3_600.0)):
        settings = Settings(model="history", recovery=tmp_path / "state", refresh=seconds)
        result = replay(EVENTS, settings, limit=limit)
        assert (result.counters.learned, result.counters.duplicate) == (limit, 0), "it goes on where it was"
        refreshed.append(result.counters.refreshed)  # of the whole log
    assert 0 < refreshed[0] == refreshed[1] < refreshed[2]
