"""The store: what is saved comes back, and what is damaged is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.clean import Cleaner
from flows.emit import Emitter
from flows.kept import Kept, Record
from flows.learn import Learner
from flows.messages import Forget, Interaction, Ranked
from flows.store import FORMAT, LEAST_LOG, MAGIC, Store, StoreError
from flows.tally import Tally
from recmodels import Blend, Example


class Numbers(Kept[int, int]):
    """Rows of numbers, with the rows that have changed."""

    def __init__(self, rows: int = 1_000) -> None:
        self.values = np.zeros(rows, np.int64)
        self.changed: set[int] = set()

    def process(self, batch: list[int]) -> list[int]:
        for row in batch:
            self.values[row] += 1
            self.changed.add(row)
        return batch

    def dump(self) -> Record:
        self.changed.clear()
        return {"rows": np.arange(len(self.values)), "values": self.values.copy()}

    def dump_changes(self) -> Record:
        rows = np.array(sorted(self.changed), np.int64)
        self.changed.clear()
        return {"rows": rows, "values": self.values[rows]}

    def load(self, record: Record) -> None:
        self.values[record["rows"]] = record["values"]


def opened(directory: Path, pointer: Any = None) -> tuple[Store, Numbers]:
    store, numbers = Store(directory), Numbers()
    store.load(numbers, pointer)
    return store, numbers


def test_state_comes_back_as_it_was_at_the_pointer(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    pointers, expected = [], []
    for batch in ([1, 2], [2, 3], [3, 999]):
        numbers.process(batch)
        pointers.append(store.save(numbers))
        expected.append(numbers.values.copy())
    for pointer, values in reversed(list(zip(pointers, expected, strict=True))):  # resuming cuts what comes later
        assert np.array_equal(opened(tmp_path, pointer)[1].values, values)


def test_a_log_holds_only_what_changed(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    store.save(numbers)
    numbers.process([5])
    pointer = store.save(numbers)
    assert 0 < pointer["log"] < 200
    assert (tmp_path / "1.base").stat().st_size > 16_000


def test_an_unfinished_epoch_is_cut_off(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    store.save(numbers)
    numbers.process([1])
    pointer = store.save(numbers)
    numbers.process([1])
    store.save(numbers)
    resumed, again = opened(tmp_path, pointer)
    assert again.values[1] == 1
    assert (tmp_path / "1.log").stat().st_size == pointer["log"]
    again.process([7])
    assert opened(tmp_path, resumed.save(again))[1].values[[1, 7]].tolist() == [1, 1]


def test_a_long_log_becomes_a_new_base_and_old_files_go_when_nobody_needs_them(tmp_path: Path) -> None:
    store, numbers = Store(tmp_path), Numbers(rows=LEAST_LOG // 16)
    store.load(numbers, None)
    for _ in range(4):
        numbers.process(list(range(len(numbers.values))))
        pointer = store.save(numbers)
    assert pointer["generation"] > 1
    before = Numbers(rows=len(numbers.values))
    Store(tmp_path).load(before, pointer)
    assert np.array_equal(before.values, numbers.values)
    generations = {path.stem for path in tmp_path.iterdir()}
    assert len(generations) <= 2


def test_a_new_job_in_a_used_directory_starts_empty_and_spoils_nothing(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    numbers.process([1])
    old = store.save(numbers)
    _, fresh = opened(tmp_path)
    assert fresh.values.sum() == 0
    assert np.array_equal(opened(tmp_path, old)[1].values, numbers.values)


@pytest.mark.parametrize("kind", ["base", "log"])
def test_a_flipped_bit_is_refused_with_the_file_and_the_place(tmp_path: Path, kind: str) -> None:
    store, numbers = opened(tmp_path)
    store.save(numbers)
    numbers.process([4])
    pointer = store.save(numbers)
    path = tmp_path / f"1.{kind}"
    whole = path.read_bytes()
    for place in {0, 3, len(MAGIC) + 2, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(StoreError, match=rf"1\.{kind}: the record at byte 0 is damaged"):
            opened(tmp_path, pointer)


def test_a_file_that_is_gone_or_short_is_refused(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    store.save(numbers)
    numbers.process([4])
    pointer = store.save(numbers)
    log = tmp_path / "1.log"
    log.write_bytes(log.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"1\.log: expected \d+ bytes; found \d+"):
        opened(tmp_path, pointer)
    (tmp_path / "1.base").unlink()
    with pytest.raises(StoreError, match=r"1\.base: expected a state file; there is none"):
        opened(tmp_path, pointer)


def test_another_format_is_refused(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    pointer = store.save(numbers)
    with pytest.raises(StoreError, match="expected state of format 1, got 2"):
        opened(tmp_path, pointer | {"format": 2})
    base = tmp_path / "1.base"
    base.write_bytes(MAGIC + bytes([FORMAT + 1]) + base.read_bytes()[len(MAGIC) + 1 :])
    with pytest.raises(StoreError, match="expected format 1, found 2"):
        opened(tmp_path, pointer)


def test_a_model_goes_on_bit_for_bit_after_a_restart(tmp_path: Path) -> None:
    def model() -> Blend:
        return Blend(repeats="exclude", max_users=50, max_items=40, max_pairs=400)

    examples = [Example(f"u{n * 7 % 61}", f"i{n * n % 53}", timestamp=float(n)) for n in range(600)]
    unbroken = Learner(model(), 5, True, Tally())
    first = Learner(model(), 5, True, Tally())
    store = Store(tmp_path)
    store.load(first, None)
    for start in range(0, 400, 100):
        for learner in (unbroken, first):
            learner.model.step_many(examples[start : start + 100], 5)
        pointer = store.save(first)
    resumed = Learner(model(), 5, True, Tally())
    Store(tmp_path).load(resumed, pointer)
    assert resumed.model.step_many(examples[400:], 5) == unbroken.model.step_many(examples[400:], 5)
    ours, theirs = resumed.dump(), unbroken.dump()
    assert {name: array.tobytes() for name, array in ours.items()} == {
        name: array.tobytes() for name, array in theirs.items()
    }


def test_the_cleaner_goes_on_after_a_restart(tmp_path: Path) -> None:
    cleaner = Cleaner(3, Tally())
    events = [Interaction("u", "i", float(n), id=f"e{n}") for n in range(5)]
    cleaner.process(events)
    store = Store(tmp_path)
    store.load(cleaner, None)
    again = Cleaner(3, Tally())
    Store(tmp_path).load(again, store.save(cleaner))
    assert again.process([events[4], events[2], events[0]]) == [events[0]], "the window holds the last three"
    assert again.tally.late == 1


def test_the_cleaner_forgets_a_users_ids() -> None:
    cleaner = Cleaner(10, Tally())
    mine, other = Interaction("u", "i", 1.0, id="mine"), Interaction("v", "i", 1.0, id="other")
    cleaner.process([mine, other, Forget("u", 2.0)])
    assert cleaner.process([mine, other]) == [mine]


def test_the_emitter_goes_on_after_a_restart(tmp_path: Path) -> None:
    emitter = Emitter("changed", 0.0, 2, Tally())
    for user in ("a\nb", "c"):
        emitter.process([Ranked(Interaction(user, "i", 1.0), None, ["x"], [1.0])])
    store = Store(tmp_path)
    store.load(emitter, None)
    again = Emitter("changed", 0.0, 2, Tally())
    Store(tmp_path).load(again, store.save(emitter))
    lists = [Ranked(Interaction(user, "i", 2.0), None, ["x"], [1.0]) for user in ("a\nb", "c", "new")]
    assert [decided.is_emitted for decided in again.process(lists)] == [False, False, True]
