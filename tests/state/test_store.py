"""The store: saved state loads again, and the files stay small."""

from pathlib import Path

import numpy as np
import pytest

from flows.state.store import LEAST_PART, MOST_SNAPSHOTS
from tests.support.stored_numbers import opened, size_of


def test_state_comes_back_as_it_was_at_the_pointer(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    pointers, expected = [], []
    for batch in ([1, 2], [2, 3], [3, 999]):
        numbers.process(batch)
        pointers.append(store.save(numbers))
        expected.append(numbers.values.copy())
    for pointer, values in reversed(list(zip(pointers, expected, strict=True))):  # resuming cuts what comes later
        assert np.array_equal(opened(tmp_path, pointer)[1].values, values)


def test_a_state_that_nothing_has_happened_to_is_not_written(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    assert store.save(numbers) is None
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_holds_only_what_has_changed(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    numbers.process(list(range(1_000)))
    store.save(numbers)
    before = size_of(tmp_path)
    numbers.process([5])
    store.save(numbers)
    assert 1_024 < size_of(tmp_path) - before < 1_300


@pytest.mark.parametrize("dirty", [1, 200, 3_000])
def test_snapshots_are_small_and_files_stay_below_three_times_the_state(tmp_path: Path, dirty: int) -> None:
    rows, draw = 20_000, np.random.default_rng(1)
    store, numbers = opened(tmp_path, rows=rows)
    numbers.process(list(range(rows)))
    store.save(numbers)
    state, seen = numbers.values.nbytes, {1}
    for _ in range(80):
        before = size_of(tmp_path)
        changed = draw.choice(rows, dirty, replace=False).tolist()
        numbers.process(changed)
        pointer = store.save(numbers)
        assert pointer is not None
        seen.add(pointer["segment"])
        written = size_of(tmp_path) - before
        assert written < max(LEAST_PART, 2 * 1_100 * dirty) + 1_100 * dirty + 1_000
        assert size_of(tmp_path) < 3.1 * state + 3 * 1_100 * dirty
        assert len(list(tmp_path.iterdir())) <= 2
    assert len(seen) > 3, "the state was written anew several times"
    assert np.array_equal(opened(tmp_path, pointer, rows)[1].values, numbers.values)


def test_every_pointer_that_may_be_asked_for_can_be_resumed_while_segments_come_and_go(tmp_path: Path) -> None:
    rows = 6_000
    store, numbers = opened(tmp_path, rows=rows)
    last = None
    for turn in range(40):
        kept = numbers.values.copy()
        numbers.process(list(range(turn, rows, 7)))
        pointer = store.save(numbers)
        if last is not None and turn % 3 == 0:  # killed before the engine knew of the last one
            store, numbers = opened(tmp_path, last, rows)
            assert np.array_equal(numbers.values, kept)
            continue
        last = pointer
    assert last is not None
    assert last["segment"] > 3


def test_a_small_state_is_written_anew_now_and_then_too(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path, rows=10)
    for _ in range(2 * MOST_SNAPSHOTS + 2):
        numbers.process([1])
        pointer = store.save(numbers)
    assert pointer is not None
    assert pointer["segment"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["3.log"]


def test_an_unfinished_epoch_and_a_torn_record_are_cut_off(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    numbers.process([1])
    pointer = store.save(numbers)
    assert pointer is not None
    numbers.process([1])
    store.save(numbers)
    path = tmp_path / "1.log"
    whole = path.read_bytes()
    for length in (len(whole), len(whole) - 1, pointer["length"] + 3, pointer["length"]):
        path.write_bytes(whole[:length])
        resumed, again = opened(tmp_path, pointer)
        assert again.values[1, 0] == 1
        assert path.stat().st_size == pointer["length"]
    again.process([7])
    assert opened(tmp_path, resumed.save(again))[1].values[[1, 7], 0].tolist() == [1, 1]


def test_a_new_job_in_a_used_directory_starts_empty_and_spoils_nothing(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    numbers.process([1])
    old = store.save(numbers)
    again, fresh = opened(tmp_path)
    assert fresh.values.sum() == 0
    fresh.process([2])
    again.save(fresh)
    assert np.array_equal(opened(tmp_path, old)[1].values, numbers.values)
