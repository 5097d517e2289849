"""Damaged, missing, forged or foreign files of the store are refused, and nothing is overwritten."""

import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.state.record_file import FORMAT, MAGIC, START, StoreError, WriteError, append, read_records
from flows.state.stateful import Snapshot
from flows.state.store import SPAN, Store
from tests.support.stored_numbers import Numbers, opened


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
    with pytest.raises(StoreError, match=r"1\.log: the record at byte 0 was not written by freshrank"):
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

    def dump_changes(self) -> Snapshot:
        return {"pickle": np.frombuffer(pickle.dumps([Trap()]), np.uint8)}

    def load(self, snapshot: Snapshot) -> None:
        pickle.loads(snapshot["pickle"].tobytes())


def test_state_is_unpickled_only_after_its_checksum(tmp_path: Path) -> None:
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
