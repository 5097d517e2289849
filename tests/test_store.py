"""The store: what is saved comes back, what is damaged is refused, and the files stay small."""

import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from flows.clean import Cleaner
from flows.emit import Emitter
from flows.kept import Kept, Record
from flows.learn import Learner
from flows.messages import Forget, Interaction, Ranked
from flows.records import FORMAT, MAGIC, START, StoreError, WriteError, append, read_records
from flows.store import LEAST_PART, MOST_SNAPSHOTS, SPAN, Store
from flows.tally import Tally
from recmodels import Blend, Example
from recmodels.tables import Table, dump_changes, dump_part

FIXTURES = Path(__file__).parent / "fixtures"


class Numbers(Kept[int, int]):
    """A table of numbers, a KiB a row; processing a row counts up its first."""

    def __init__(self, rows: int = 1_000) -> None:
        self.table = Table("numbers", rows, values=(np.int64, (128,)))
        self.table.used = rows
        self.parts: list[int] = []

    @property
    def values(self) -> Any:
        return self.table.arrays["values"]

    def process(self, batch: list[int]) -> list[int]:
        for row in batch:
            self.values[row, 0] += 1
            self.table.dirty[row] = 1
        return batch

    def dump(self) -> Record:
        return {"values": self.values.copy()}

    def dump_changes(self) -> Record:
        return dump_changes([self.table])

    def dump_part(self, place: int, size: int) -> tuple[Record, int]:
        self.parts.append(size)
        return dump_part([self.table], place, size)

    def load(self, record: Record) -> None:
        self.table.load_rows(record)


def opened(directory: Path, pointer: Any = None, rows: int = 1_000) -> tuple[Store, Numbers]:
    store, numbers = Store(directory), Numbers(rows)
    store.load(numbers, pointer)
    return store, numbers


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


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
def test_no_snapshot_writes_the_whole_state_and_the_files_stay_below_three_times_its_size(
    tmp_path: Path, dirty: int
) -> None:
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


def damaged_at(path: Path, places: set[int], pointer: Any, match: str) -> None:
    whole = path.read_bytes()
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(StoreError, match=match):
            opened(path.parent, pointer)
    path.write_bytes(whole)


def test_a_flipped_bit_is_refused_with_the_file_and_the_place(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    numbers.process([4])
    first = store.save(numbers)
    numbers.process([5])
    second = store.save(numbers)
    assert first is not None
    assert second is not None
    end, advice = first["length"], "Restore the recovery directory from a copy, or start with an empty one"
    path = tmp_path / "1.log"
    places = {0, 3, len(MAGIC) + 2, START - 1, START, end // 2, end - 1}
    damaged_at(path, places, second, rf"1\.log: the record at byte 0 is damaged\. {advice}")
    damaged_at(path, {end + place for place in places}, second, rf"1\.log: the record at byte {end:,} is damaged")


def test_a_file_that_is_gone_or_short_is_refused(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path, rows=5_000)
    pointer = None
    while pointer is None or pointer["before"] == 0:
        numbers.process(list(range(2_000)))
        pointer = store.save(numbers)
    newest, before = tmp_path / f"{pointer['segment']}.log", tmp_path / f"{pointer['segment'] - 1}.log"
    for path in (newest, before):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(StoreError, match=rf"{path.name}: expected {len(whole):,} bytes; found {len(whole) - 1:,}"):
            opened(tmp_path, pointer, 5_000)
        path.unlink()
        with pytest.raises(StoreError, match=rf"{path.name}: expected a state file; there is none"):
            opened(tmp_path, pointer, 5_000)
        path.write_bytes(whole)
    assert np.array_equal(opened(tmp_path, pointer, 5_000)[1].values, numbers.values)


def test_another_format_is_refused(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    numbers.process([1])
    pointer = store.save(numbers)
    assert pointer is not None
    with pytest.raises(StoreError, match=r"expected state of format 1, got 2\. Resume with the version"):
        opened(tmp_path, pointer | {"format": 2})
    path = tmp_path / "1.log"
    path.write_bytes(MAGIC + bytes([FORMAT + 1]) + path.read_bytes()[len(MAGIC) + 1 :])
    with pytest.raises(StoreError, match=r"1\.log: the record at byte 0: expected format 1, found 2"):
        opened(tmp_path, pointer)


def test_state_of_another_shape_is_refused(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    numbers.process([999])
    pointer = store.save(numbers)
    with pytest.raises(StoreError, match=r"record at byte 0 does not fit this job: .*Resume with the version and"):
        opened(tmp_path, pointer, rows=10)


@pytest.mark.parametrize(
    "header",
    [
        b'[["x", "|O", [1]]]',
        b'[["x", "|V8", [1]]]',
        b'[["x", "<u8", [-1]]]',
        b'[["x", "<u8", [9]]]',
        b"[]",
        b"{",
        b"[1]",
    ],
)
def test_a_record_that_somebody_made_up_is_refused(tmp_path: Path, header: bytes) -> None:
    start = MAGIC + bytes([FORMAT]) + len(header).to_bytes(4, "little") + (8).to_bytes(8, "little")
    record = start + header + bytes(8)
    path = tmp_path / "1.log"
    path.write_bytes(record + zlib.crc32(record).to_bytes(4, "little"))
    with pytest.raises(StoreError, match=r"1\.log: the record at byte 0 is none of freshrank's"):
        list(read_records(path, path.stat().st_size))


def test_a_disk_that_takes_nothing_is_told_and_spoils_nothing(tmp_path: Path) -> None:
    store, numbers = opened(tmp_path)
    numbers.process([1])
    pointer = store.save(numbers)
    path = tmp_path / "1.log"
    whole = path.read_bytes()
    path.unlink()
    path.mkdir()
    numbers.process([2])
    with pytest.raises(WriteError, match=r"1\.log: expected to write the state; Is a directory\. Make room for it"):
        store.save(numbers)
    path.rmdir()
    path.write_bytes(whole)
    assert opened(tmp_path, pointer)[1].values[:3, 0].tolist() == [0, 1, 0]


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file/learn: expected a directory to write; Not a directory"):
        Store(tmp_path / "file" / "learn").load(Numbers(), None)


def learner(**arguments: Any) -> Learner:
    return Learner(
        Blend(repeats="exclude", **{"max_users": 50, "max_items": 40, "max_pairs": 400} | arguments), 5, True, Tally()
    )


def examples(count: int) -> list[Example]:
    return [Example(f"u{n * 7 % 61}", f"i{n * n % 53}", timestamp=float(n)) for n in range(count)]


def test_a_model_goes_on_bit_for_bit_after_a_restart(tmp_path: Path) -> None:
    unbroken, first, store = learner(), learner(), Store(tmp_path)
    store.load(first, None)
    for start in range(0, 400, 4):
        for each in (unbroken, first):
            each.model.step_many(examples(600)[start : start + 4], 5)
            if start % 40 == 0:
                each.model.forget_one(f"u{start % 61}")
        pointer = store.save(first)
    assert pointer is not None
    assert pointer["segment"] > 1, "parts are read too"
    resumed = learner()
    Store(tmp_path).load(resumed, pointer)
    assert resumed.model.step_many(examples(600)[400:], 5) == unbroken.model.step_many(examples(600)[400:], 5)
    ours, theirs = resumed.dump(), unbroken.dump()
    assert {name: array.tobytes() for name, array in ours.items()} == {
        name: array.tobytes() for name, array in theirs.items()
    }


@pytest.mark.parametrize("version", ["0.1.0"])
def test_state_of_each_released_version_loads(version: str) -> None:
    kept = FIXTURES / f"state-{version}"
    said = orjson.loads((kept / "said.json").read_bytes())
    resumed = learner(**said["arguments"])
    store = Store(kept)
    store._remove_all_but = lambda needed: None  # type: ignore[method-assign]  # the fixture stays as it is
    store.load(resumed, said["pointer"])
    assert {user: resumed.model.top(user, 3) for user in said["lists"]} == {
        user: [(item, score) for item, score in items] for user, items in said["lists"].items()
    }


def test_the_cleaner_goes_on_after_a_restart(tmp_path: Path) -> None:
    cleaner = Cleaner(3, Tally())
    events = [Interaction("u", "i", float(n), id=f"e{n}") for n in range(5)]
    cleaner.process(list(events))
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


def lists_of(*users: str, time: float = 1.0) -> list[Ranked]:
    return [Ranked(Interaction(user, "i", time), None, ["x"], [1.0]) for user in users]


def emitted(emitter: Emitter, *users: str) -> list[bool]:
    return [decided.is_emitted for decided in emitter.process(lists_of(*users))]


def test_the_emitter_goes_on_after_a_restart(tmp_path: Path) -> None:
    emitter, store = Emitter("changed", 0.0, 2, Tally()), Store(tmp_path)
    store.load(emitter, None)
    assert store.save(emitter) is None
    emitter.process(lists_of("a\nb", "c"))
    store.save(emitter)
    emitter.process([Ranked(Interaction("a\nb", "i", 2.0), None, ["y"], [1.0])])
    again = Emitter("changed", 0.0, 2, Tally())
    Store(tmp_path).load(again, store.save(emitter))
    for each in (emitter, again):
        assert emitted(each, "c", "a\nb", "new", "c") == [False, True, True, True], "c's list was the oldest"


def test_a_full_emitter_gives_up_the_oldest_and_an_erased_user_is_new() -> None:
    emitter = Emitter("changed", 0.0, 200, Tally())
    users = [f"u{n}" for n in range(200)]
    assert emitted(emitter, *users, *users) == [True] * 200 + [False] * 200
    assert emitted(emitter, "new", "u3", "u0") == [True, False, True], "one in 64 goes: u0, u1 and u2"
    emitter.process([Ranked(Forget("u9", 2.0), None, None, None)])
    assert emitted(emitter, "u9", "u8") == [True, False]


def in_parts(directory: Path) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """A state in the middle of being written anew: its pointer, and the records of its newest segment."""
    store, numbers = opened(directory, rows=20_000)
    pointer = None
    while pointer is None or pointer["segment"] < 2 or pointer["place"] < 10_000:
        numbers.process(list(range(1_000)))
        pointer = store.save(numbers)
    newest = directory / f"{pointer['segment']}.log"
    return pointer, [record for _, record in read_records(newest, pointer["length"])]


@pytest.mark.parametrize("gone", ["first", "middle", "last"])
def test_a_part_of_the_state_that_is_missing_is_refused(tmp_path: Path, gone: str) -> None:
    """Every record that is there is whole and its checksum right."""
    pointer, records = in_parts(tmp_path)
    parts = [place for place, record in enumerate(records) if SPAN in record]
    assert len(parts) > 2
    del records[{"first": parts[0], "middle": parts[1], "last": parts[-1]}[gone]]
    path = tmp_path / f"{pointer['segment']}.log"
    path.unlink()
    length = append(path, 0, records)
    with pytest.raises(StoreError, match=r"2\.log: .*expected.* parts? of the state .*found .*Restore the recovery"):
        opened(tmp_path, pointer | {"length": length}, 20_000)


def test_a_pointer_of_an_earlier_build_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"before, place is missing: an earlier build of this version wrote it"):
        opened(tmp_path, {"format": 1, "segment": 1, "length": 40})


class Trap:
    """Says when it is unpickled."""

    sprung = False

    def __reduce__(self) -> Any:
        return setattr, (Trap, "sprung", True)


class Pickled(Numbers):
    """Keeps what the models do that are not ours: a pickle."""

    def dump_changes(self) -> Record:
        return {"pickle": np.frombuffer(pickle.dumps([Trap()]), np.uint8)}

    def load(self, record: Record) -> None:
        pickle.loads(record["pickle"].tobytes())


def test_nothing_is_unpickled_before_its_checksum_is_right(tmp_path: Path) -> None:
    state, store = Pickled(), Store(tmp_path)
    store.load(state, None)
    pointer, path = store.save(state), tmp_path / "1.log"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path).load(Pickled(), pointer)
    assert not Trap.sprung
    path.write_bytes(whole)
    Store(tmp_path).load(Pickled(), pointer)
    assert Trap.sprung, "the trap works"
