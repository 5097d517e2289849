"""The store: state in files of its own, written in whole once and then by what has changed.

A directory for each step holds generations. Generation 7 is a base file `7.base` with the whole state, and a log file
`7.log` to which each snapshot appends the rows that have changed, with absolute values. What a snapshot returns, and
the engine keeps, is a pointer: the generation and the length of its log. When the log has grown as long as the base,
the next snapshot begins a new generation; an old one goes when the engine can no longer ask for it.

Both files are sequences of records. A record is a header line of JSON (arrays' names, types and shapes), the arrays'
bytes, and a checksum of both. Nothing is pickled, and nothing is believed before its checksum is right.
"""

import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from flows.kept import Kept, Pointer, Record

FORMAT: Final = 1
"""Version of the file format. A file of another version is refused."""
MAGIC: Final = b"freshrank"
LEAST_LOG: Final = 1 << 22
"""Bytes: a log shorter than this is never worth a new generation."""


class StoreError(Exception):
    """Stored state cannot be used. The message says what was expected, what came, where and what to do."""


class Store:
    """Keeps the state of one step.

    Args:
        directory: Where; made if it is not there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._generation = 0
        self._base_size = 0
        self._log_size: int | None = None  # None: there is no base yet to which a log would belong

    def save(self, state: Kept[Any, Any]) -> Pointer:
        """Make a state durable and return where it ends.

        The engine asks for a snapshot only when the one before is durable on its side: so whatever is older than the
        generation of the last pointer can go.
        """
        self._remove(lambda generation: generation < self._generation)
        if self._log_size is None or self._log_size > max(self._base_size, LEAST_LOG):
            self._begin(state)
        else:
            self._log_size = append(self._path("log"), state.dump_changes())
        return {"format": FORMAT, "generation": self._generation, "log": self._log_size or 0}

    def load(self, state: Kept[Any, Any], pointer: Pointer | None) -> None:
        """Bring a fresh state to where a pointer says; None: a new beginning, whatever the directory holds.

        Raises:
            StoreError: A file is missing, damaged, or of another version.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        if pointer is None:
            self._generation = max(self._generations(), default=0)
            return
        if pointer.get("format") != FORMAT:
            raise StoreError(
                f"{self.directory}: expected state of format {FORMAT}, got {pointer.get('format')}. Resume with the "
                "version of freshrank that wrote it, or start with an empty recovery directory."
            )
        self._generation = pointer["generation"]
        base = self._path("base")
        for record in read_records(base, base.stat().st_size if base.exists() else 0):
            state.load(record)
        self._base_size = base.stat().st_size
        log = self._path("log")
        for record in read_records(log, pointer["log"]):
            state.load(record)
        os.truncate(log, pointer["log"])  # what is behind it belongs to an epoch that was not finished
        self._log_size = pointer["log"]
        self._remove(lambda generation: generation != self._generation)

    def _begin(self, state: Kept[Any, Any]) -> None:
        self._generation += 1
        for kind in ("base", "log"):
            self._path(kind).unlink(missing_ok=True)  # of a run that was killed before the engine knew of them
        self._base_size = append(self._path("base"), state.dump())
        self._path("log").touch()
        self._log_size = 0
        sync_directory(self.directory)

    def _path(self, kind: str) -> Path:
        return self.directory / f"{self._generation}.{kind}"

    def _generations(self) -> Iterator[int]:
        for path in self.directory.iterdir():
            if match := re.fullmatch(r"(\d+)\.(base|log)", path.name):
                yield int(match[1])

    def _remove(self, is_old: Any) -> None:
        for generation in sorted(set(filter(is_old, self._generations()))):
            for kind in ("base", "log"):
                (self.directory / f"{generation}.{kind}").unlink(missing_ok=True)


def append(path: Path, record: Record) -> int:
    """Append a record to a file, wait until it is on the disk, and return the length of the file.

    A record is the magic and format, the header's and the body's length, both of these, and a checksum of all.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in record.items()}
    header = orjson.dumps([[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()])
    size = sum(array.nbytes for array in arrays.values())
    start = MAGIC + bytes([FORMAT]) + len(header).to_bytes(4, "little") + size.to_bytes(8, "little") + header
    checksum = zlib.crc32(start)
    with path.open("ab") as file:
        file.write(start)
        for array in arrays.values():
            body = array.reshape(-1).view(np.uint8).data
            checksum = zlib.crc32(body, checksum)
            file.write(body)
        file.write(checksum.to_bytes(4, "little"))
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def read_records(path: Path, end: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Read the records of a file up to the byte `end`, where one must end.

    Raises:
        StoreError: The file is missing, shorter, damaged, or of another version.
    """
    advice = "Restore the recovery directory from a copy, or start with an empty one."
    if not path.exists():
        raise StoreError(f"{path}: expected a state file; there is none. {advice}")
    if path.stat().st_size < end:
        raise StoreError(f"{path}: expected {end:,} bytes; found {path.stat().st_size:,}. {advice}")
    fixed = len(MAGIC) + 13
    with path.open("rb") as file:
        while (offset := file.tell()) < end:
            damaged = StoreError(f"{path}: the record at byte {offset:,} is damaged. {advice}")
            start = file.read(fixed)
            if len(start) < fixed or not start.startswith(MAGIC):
                raise damaged
            if start[len(MAGIC)] != FORMAT:
                raise StoreError(
                    f"{path}: expected format {FORMAT}, found {start[len(MAGIC)]}. Resume with the version of "
                    "freshrank that wrote it, or start with an empty recovery directory."
                )
            header_size = int.from_bytes(start[-12:-8], "little")
            size = int.from_bytes(start[-8:], "little")
            if offset + fixed + header_size + size + 4 > end:
                raise damaged
            header, body = file.read(header_size), file.read(size)
            if zlib.crc32(body, zlib.crc32(start + header)) != int.from_bytes(file.read(4), "little"):
                raise damaged
            yield _arrays(header, body)


def _arrays(header: bytes, body: bytes) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    place = 0
    for name, dtype, shape in orjson.loads(header):
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(body, np.dtype(dtype), count, place).reshape(shape)
        place += arrays[name].nbytes
    return arrays


def sync_directory(directory: Path) -> None:
    """Wait until the names of new files are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
