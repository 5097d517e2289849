"""The fallback list says from which age of a user's own list it serves better, learned from users who came back."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pytest

from flows.evaluation.scorer import PrequentialScorer
from flows.messages import FALLBACK_USER, FallbackAges, Forget, Interaction, Ranked, Refresh
from flows.monitoring.counters import Counters
from flows.state.store import Store
from flows.steps.emit import Emission, Emitter
from flows.steps.encode import encode_list
from flows.steps.refresh import EVENTS_PER_FALLBACK
from flows.steps.staleness import BUCKETS, MEMORY, Staleness, alternate, best_ages, bucket_of, heeded
from tests.support.flow import Flow, event, sample_records

DAY = 86_400.0
NAME = "ann-who-asked-to-be-erased"


def planted(own_until: float, merged_until: float) -> Staleness:
    """Users who come back after all ages: for their own list's item, the merged lists' last, or the fallback's."""
    staleness = Staleness()
    own, fallback = [f"o{n}" for n in range(10)], [f"f{n}" for n in range(10)]
    staleness.hold_fallback(fallback)
    number = 0
    for age in (2.0**k + 0.5 for k in range(24)):
        for turn in range(30):
            number += 1
            staleness.hold(f"u{number}", 0.0, own)
            # o9 is only in the own list, f9 only in the fallback list; o0 and f0 are in the merged one, too
            wanted = "o9" if age < own_until else ("o0", "f0")[turn % 2] if age < merged_until else "f9"
            staleness.observe(f"u{number}", age, wanted)
    return staleness


@pytest.mark.parametrize(("own", "merged"), [(256.0, 65_536.0), (256.0, 256.0), (4.0, 1_048_576.0)])
def test_planted_ages_are_found(own: float, merged: float) -> None:
    assert planted(own, merged).ages() == FallbackAges(None if own == merged else own, merged)


def test_own_list_that_always_serves_better_is_never_stale() -> None:
    assert planted(1e12, 1e12).ages() == FallbackAges(None, None)
    assert Staleness().ages() == FallbackAges(None, None)


def test_best_ages_are_those_of_an_exhaustive_search() -> None:
    draw = np.random.default_rng(5)
    for _ in range(50):
        counts = draw.integers(0, 9, (BUCKETS, 4)).astype(float)
        starts = [0.0, *(float(1 << k) for k in range(BUCKETS - 1)), np.inf]

        def hits(ages: FallbackAges, counts: np.ndarray = counts, starts: list[float] = starts) -> float:
            merge = np.inf if ages.merge_after is None else ages.merge_after
            stale = np.inf if ages.stale_after is None else ages.stale_after
            at = [2 if age >= stale else 1 if age >= merge else 0 for age in starts[:BUCKETS]]
            return float(counts[range(BUCKETS), at].sum())

        best = max(hits(FallbackAges(merge, stale)) for merge in starts for stale in starts if merge <= stale)
        assert hits(best_ages(counts)) == best


def test_buckets_double_in_width() -> None:
    assert [bucket_of(2.0**k) for k in range(20)] == list(range(1, 21))
    assert all(bucket_of(a) <= bucket_of(b) for a, b in pairwise(np.geomspace(0.1, 1e11, 500).tolist()))
    assert bucket_of(-5.0) == 0


def test_old_returns_fade() -> None:
    staleness = Staleness()
    staleness.hold_fallback(["new"])
    for number in range(int(2 * MEMORY)):
        staleness.hold("ann", 0.0, ["old"])
        staleness.observe("ann", 100.0, "old" if number < MEMORY else "new")
    assert staleness.counts[bucket_of(100.0)].max() <= MEMORY
    for _ in range(int(MEMORY)):
        staleness.observe("ann", 100.0, "new")
    assert staleness.ages() == FallbackAges(merge_after=64.0), "merged, both items have room"


def test_reader_shows_each_item_once() -> None:
    assert alternate(["a", "b", "c"], ["b", "x", "a", "y"], 4) == ["a", "b", "x", "c"]
    assert heeded(["a"], ["x", "y"], 5.0, FallbackAges(1.0, None)) == ["a", "x"]
    assert heeded(["a"], ["x"], 5.0, FallbackAges(None, 0.0)) == ["x"]
    assert heeded(["a"], ["x"], 5.0, None) == ["a"]


def test_memory_is_bounded_and_long_absences_stay_in_the_sample() -> None:
    staleness = Staleness(most_users=64)
    staleness.hold_fallback(["new"])
    users = [f"u{number}" for number in range(2_000)]
    for user in users:
        staleness.hold(user, 0.0, ["old"])
    assert 16 < len(staleness._users) <= 64
    assert len(staleness._lists) == len(staleness._users)
    for user in users:
        staleness.observe(user, 1_000.0, "new")
    assert staleness.ages() == FallbackAges(merge_after=512.0)
    assert 16 < staleness.counts.max() <= 64, "users of the sample, from the first to the last"


def test_erased_user_leaves_nothing() -> None:
    staleness = Staleness()
    staleness.hold(NAME, 0.0, ["old"])
    staleness.forget(NAME)
    assert NAME.encode() not in b"".join(array.tobytes() for array in staleness.dump().values())
    staleness.observe(NAME, 9.0, "old")
    assert not staleness.counts.any()


def history(count: int) -> list[Ranked]:
    """Users who come back after days, for what is new and not in their old lists."""
    draw = np.random.default_rng(7)
    ranked: list[Ranked] = []
    own, fallback = [f"old {n}" for n in range(9)], [f"other {n}" for n in range(9)]
    for number in range(count):
        time, new = 600.0 * number, f"news {number // 50}"
        user = f"u{draw.integers(300)}"
        ranked.append(Ranked(Interaction(user, new, time, at=("events", 0, number)), -1, [new, *own], [0.5] * 10))
        if number % 10 == 9:
            ranked.append(Ranked(Refresh(FALLBACK_USER, time), None, [*fallback, new], [0.5] * 10))
    ranked.insert(count // 2, Ranked(Forget("u7", 0.0), None, None, None))
    return ranked


def emitter(**settings: bool) -> Emitter:
    return Emitter(Emission(max_users=1_000, fallback=True, **settings), Counters())


@pytest.mark.parametrize("withdraws", [False, True])
@pytest.mark.slow
def test_neither_batches_nor_restarts_show(tmp_path: Path, withdraws: bool) -> None:
    given = history(3_000)
    whole = emitter(withdraw_stale=withdraws).process(given)
    ages = [each.ranked.ages for each in whole if each.ranked.ages is not None]
    assert ages[-1].stale_after or ages[-1].merge_after
    out, store, pointer = [], Store(tmp_path), None
    for start in range(0, len(given), 250):
        each, store = emitter(withdraw_stale=withdraws), Store(tmp_path)
        store.load(each, pointer)
        out += each.process(given[start : start + 250])
        pointer = store.save(each)
    assert out == whole


def test_stale_lists_are_withdrawn_for_readers_who_cannot_compare() -> None:
    each, given = emitter(withdraw_stale=True), history(3_000)
    held: dict[str, float] = {}
    stale: float | None = None
    for decided in each.process(given):
        happened = decided.ranked.event
        if decided.ranked.items is None:
            if isinstance(happened, Refresh):
                assert stale is not None
                assert happened.timestamp - held[happened.user] >= stale
            held.pop(happened.user, None)
        elif decided.is_emitted and happened.user == FALLBACK_USER:
            stale = decided.ranked.ages and decided.ranked.ages.stale_after
        elif decided.is_emitted:
            held[happened.user] = happened.timestamp
    assert each.counters.withdrawn > 100
    assert stale is not None
    newest = max(held.values())
    assert all(newest - time < stale + 600.0 for time in held.values()), "none is left that is stale"


def test_withdrawn_list_is_followed_on() -> None:
    plain, withdrawing = emitter(), emitter(withdraw_stale=True)
    plain.process(history(2_000))
    withdrawing.process(history(2_000))
    assert plain._staleness is not None
    assert withdrawing._staleness is not None
    assert np.array_equal(plain._staleness.counts, withdrawing._staleness.counts)


def test_fallback_list_carries_its_ages_on_the_wire() -> None:
    ranked = Ranked(Refresh("", 60.0, "events/0/63"), None, ["tea"], [0.5])
    plain = orjson.loads(encode_list(ranked, "blend/1").value or b"")
    assert set(plain) == {"user", "items", "event_time", "source", "model"}
    told = orjson.loads(encode_list(ranked._replace(ages=FallbackAges(None, 600.0)), "blend/1").value or b"")
    assert told == plain | {"stale_after": 600.0}


def test_served_hit_rate_is_that_of_a_reader_who_heeds_the_ages() -> None:
    scores, heeding = PrequentialScorer(k=10), FallbackAges(60.0, 600.0)
    each = Emitter(Emission(max_users=10), Counters())
    fallback = Ranked(Refresh(FALLBACK_USER, 0.0), None, ["new", "other"], [1.0, 0.5], ages=heeding)
    visits = [Ranked(Interaction("ann", "new", time), -1, ["old", "older"], [1.0, 0.5]) for time in (0, 59, 120, 800)]
    for decided in each.process([fallback, *visits]):
        scores.add(decided)
    assert scores.outcomes.arrays()["served"].tolist() == [0, -1, 1, 0]
    assert scores.outcomes.arrays()["any_age"].tolist() == [0, -1, -1, -1]


def test_fallback_off_gives_one_list_for_each_event() -> None:
    records = sample_records(500)
    flow = Flow(records, fallback=False)
    assert len(flow.everything) == 500
    both = Flow(records)
    assert both.sent == flow.everything, "the lists of users are the same bytes"
    assert 0 < len(both.fallbacks) <= 500 // EVENTS_PER_FALLBACK


def test_negative_events_and_excluded_repeats_say_nothing() -> None:
    records = [event("ann", "tea", 0.0), event("ann", "tea", 50.0), event("ann", "pie", 60.0, event="return")]
    flow = Flow(records, repeats="exclude")
    assert [decided.ranked.is_target for decided in flow.decided] == [True, False, False]
    each = emitter()
    each.process([decided.ranked for decided in flow.decided])
    assert each._staleness is not None
    assert not each._staleness.counts.any()
