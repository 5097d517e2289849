"""The store: files of a step's state, to which each snapshot appends the changed rows.

A step has a directory of segments: `1.log`, `2.log` and so on. Each snapshot appends the changed rows to the newest
segment, with absolute values. It also appends a part of all rows, changed or not, twice as large as the changes. Once
the newest segment contains the full state, the previous segment is deleted and a new one is started.

So compaction needs no thread and no pause, and no snapshot writes the whole state. An erased row leaves the files once
the state has been rewritten twice. The files take at most about three times the size of the state. A small state takes
4 MiB and one snapshot.

The engine keeps a pointer for each snapshot. It has the end of the newest segment, the valid bytes of the previous one,
and the start of the next part. `flows.state.record_file` has the format of the files.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from flows.state.atomic_files import sync_directory
from flows.state.record_file import ADVICE, FORMAT, StoreError, append, read_records
from flows.state.stateful import Pointer, Snapshot, StatefulStep

LEAST_PART: Final = 1 << 20
"""Minimum bytes of state that a snapshot rewrites."""
PART: Final = 2
"""Rewritten bytes of state for each byte of changes."""
LEAST_SEGMENT: Final = 1 << 22
"""Minimum bytes of a segment before a new one starts, ..."""
MOST_SNAPSHOTS: Final = 64
"""... or this number of snapshots, so that erasures reach the files of a small state."""

SPAN: Final = "part of the state"
"""Name of the array with the start of a part and the start of the next one. 0 means that there is no next part."""


class Store:
    """The files of one step's state.

    Args:
        directory: Folder of the segments. It is created if it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._segment = 0
        self._length = 0
        self._before = 0  # bytes of the segment before that still count; 0: this one holds the whole state
        self._place = 0  # where in the state the next part begins
        self._snapshots = 0

    def save(self, state: StatefulStep[Any, Any]) -> Pointer | None:
        """Make a state durable and return a pointer to its end. Return None while nothing has ever changed.

        The engine asks for a snapshot only when the previous one is durable. So segments that the previous one does
        not need are deleted.

        Raises:
            WriteError: The disk is full or gone.
        """
        changes = state.dump_changes()
        if not changes and not self._length:
            return None
        if self._length:
            self._remove_all_but(self._needed())
        is_new = not self._length or (
            not self._before and (self._length >= LEAST_SEGMENT or self._snapshots >= MOST_SNAPSHOTS)
        )
        if is_new:
            self._segment += 1
            self._length, self._before, self._place, self._snapshots = 0, self._length, 0, 0
        records = [changes]
        if self._before:
            start = self._place
            part, self._place = state.dump_part(start, max(LEAST_PART, PART * _size(changes)))
            part = {**part, SPAN: np.array([start, self._place])}
            records = [part] if is_new and not self._place else [changes, part]
            if not self._place:
                self._before = 0
        self._length = append(self._path(self._segment), self._length, filter(None, records))
        if is_new:
            sync_directory(self.directory)
        self._snapshots += 1
        return {
            "format": FORMAT,
            "segment": self._segment,
            "length": self._length,
            "before": self._before,
            "place": self._place,
        }

    def load(self, state: StatefulStep[Any, Any], pointer: Pointer | None) -> None:
        """Bring a fresh state to a pointer. None starts a new state, whatever the directory contains.

        Raises:
            StoreError: A file is missing, damaged, of another version, or of another state.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.directory}: expected a directory to write; {error.strerror}. Set `recovery` to one of yours."
            ) from None
        if pointer is None:
            self._segment = max(self._segments(), default=0)
            return
        self._segment, self._length, self._before, self._place = self.read(state, pointer)
        os.truncate(self._path(self._segment), self._length)  # later bytes belong to an unfinished epoch
        self._remove_all_but(self._needed())

    def read(self, state: StatefulStep[Any, Any], pointer: Pointer) -> list[int]:
        """Bring a fresh state to a pointer, without changing the files.

        Returns:
            The numbers of the pointer.

        Raises:
            StoreError: As of `load`.
        """
        segment, length, before, place = numbers = self._read_pointer(pointer)
        if before:
            self._replay(state, segment - 1, before, 0)
        self._replay(state, segment, length, place)
        return numbers

    def _read_pointer(self, pointer: Pointer) -> list[int]:
        found = pointer.get("format") if isinstance(pointer, dict) else pointer
        if found != FORMAT:
            raise StoreError(
                f"{self.directory}: expected state of format {FORMAT}, got {found!r}. Resume with the "
                "version of freshrank that wrote it, or start with an empty recovery directory."
            )
        missing = [name for name in _POINTER if not isinstance(pointer.get(name), int)]
        if missing:
            raise StoreError(
                f"{self.directory}: expected a pointer with the numbers {', '.join(_POINTER)}; {', '.join(missing)} is "
                "missing: an earlier build of this version wrote it. Resume with that build, or start with an empty "
                "recovery directory."
            )
        return [pointer[name] for name in _POINTER]

    def _replay(self, state: StatefulStep[Any, Any], segment: int, end: int, last: int) -> None:
        path, spans = self._path(segment), [[0, 0]]
        for offset, record in read_records(path, end):
            if SPAN in record:
                spans.append(record.pop(SPAN).tolist())
                if spans[-1][0] != spans[-2][1]:
                    raise StoreError(
                        f"{path}: the record at byte {offset:,}: expected the part of the state from {spans[-2][1]:,} "
                        f"on; found the one from {spans[-1][0]:,}. {ADVICE}"
                    )
            try:
                state.load(record)
            except Exception as error:
                raise StoreError(
                    f"{path}: the record at byte {offset:,} does not fit this job: {error}. Resume with the version "
                    f"and the settings that wrote it. {ADVICE}"
                ) from None
        if spans[1:] and spans[-1][1] != last:
            raise StoreError(
                f"{path}: expected parts of the state up to {last or 'its end'}; found them up to {spans[-1][1]:,}. "
                f"{ADVICE}"
            )

    def _path(self, segment: int) -> Path:
        return self.directory / f"{segment}.log"

    def _needed(self) -> set[int]:
        return {self._segment, self._segment - 1} if self._before else {self._segment}

    def _segments(self) -> Iterator[int]:
        for path in self.directory.iterdir():
            if match := re.fullmatch(r"(\d+)\.log", path.name):
                yield int(match[1])

    def _remove_all_but(self, needed: set[int]) -> None:
        for segment in set(self._segments()) - needed:
            self._path(segment).unlink(missing_ok=True)


_POINTER: Final = ("segment", "length", "before", "place")


def _size(record: Snapshot) -> int:
    return sum(array.nbytes for array in record.values())
