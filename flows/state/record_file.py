"""Records: named arrays as the bytes of a state file, checksummed.

A record begins with a magic number, the format, and the lengths of header and body. Then come a JSON header with the
names, types and shapes of the arrays, the bytes of the arrays, and a checksum. Nothing is pickled. A record is used
only after its checksum is verified.
"""

import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from flows.errors import JobError, UsageError
from flows.state.stateful import Snapshot

FORMAT: Final = 1
"""Version of the file format. A file of another version is refused."""
MAGIC: Final = b"freshrank"
START: Final = len(MAGIC) + 1 + 4 + 8
"""Bytes before the header."""
TYPE: Final = re.compile("[<|][biuf][1248]")
"""NumPy's names of the types that may be in a file: truths, integers and floats. None of them can hold an object."""
ADVICE: Final = "Restore the recovery directory from a copy, or start with an empty one."

Placed: TypeAlias = tuple[int, dict[str, NDArray[Any]]]


class StoreError(UsageError):
    """Stored state cannot be used."""


class WriteError(JobError):
    """State cannot be written: the disk is full or gone. Earlier records stay intact."""


def append(path: Path, length: int, records: Iterable[Snapshot]) -> int:
    """Append records to a file, wait until they are on the disk, and return the length of the file.

    Args:
        path: The file. It is created if it is missing.
        length: Its valid length in bytes. Bytes after it belong to an unfinished snapshot and are cut off.
        records: The records to write.

    Raises:
        WriteError: The file cannot be written.
    """
    try:
        with path.open("ab") as file:
            file.truncate(length)
            for record in records:
                _write(file, record)
            file.flush()
            os.fsync(file.fileno())
            return file.tell()
    except OSError as error:
        raise WriteError(
            f"{path}: expected to write the state; {error.strerror}. Make room for it, and start the job again: it "
            "resumes at its last snapshot, and nothing is lost."
        ) from None


def _write(file: BinaryIO, record: Snapshot) -> None:
    arrays = {name: np.ascontiguousarray(array) for name, array in record.items()}
    header = orjson.dumps([[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()])
    size = sum(array.nbytes for array in arrays.values())
    start = MAGIC + bytes([FORMAT]) + len(header).to_bytes(4, "little") + size.to_bytes(8, "little") + header
    checksum = zlib.crc32(start)
    file.write(start)
    for array in arrays.values():
        body = array.reshape(-1).view(np.uint8).data
        checksum = zlib.crc32(body, checksum)
        file.write(body)
    file.write(checksum.to_bytes(4, "little"))


def read_records(path: Path, end: int) -> Iterator[Placed]:
    """Read the records of a file up to the byte `end`: the offset of each record, and its arrays.

    Raises:
        StoreError: The file is missing, shorter, damaged, or of another version.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < end:
                raise StoreError(f"{path}: expected {end:,} bytes; found {size:,}. {ADVICE}")
            while (offset := file.tell()) < end:
                yield offset, _read(file, end, f"{path}: the record at byte {offset:,}")
    except FileNotFoundError:
        raise StoreError(f"{path}: expected a state file; there is none. {ADVICE}") from None
    except OSError as error:
        raise StoreError(f"{path}: expected a state file; {error.strerror}. {ADVICE}") from None


def _read(file: BinaryIO, end: int, where: str) -> dict[str, NDArray[Any]]:
    damaged = StoreError(f"{where} is damaged. {ADVICE}")
    start = file.read(START)
    if len(start) < START or not start.startswith(MAGIC):
        raise damaged
    if start[len(MAGIC)] != FORMAT:
        raise StoreError(
            f"{where}: expected format {FORMAT}, found {start[len(MAGIC)]}. Resume with the version of freshrank that "
            "wrote it, or start with an empty recovery directory."
        )
    header_size = int.from_bytes(start[-12:-8], "little")
    size = int.from_bytes(start[-8:], "little")
    if file.tell() + header_size + size + 4 > end:
        raise damaged
    header, body = file.read(header_size), file.read(size)
    if zlib.crc32(body, zlib.crc32(start + header)) != int.from_bytes(file.read(4), "little"):
        raise damaged
    try:
        return _arrays(header, body)
    except (ValueError, TypeError, OverflowError) as error:  # a valid checksum, so another program wrote it
        raise StoreError(f"{where} was not written by freshrank: {error}. {ADVICE}") from None


def _arrays(header: bytes, body: bytes) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    place = 0
    for name, type_name, shape in orjson.loads(header):
        if not TYPE.fullmatch(type_name):
            raise ValueError(f"an array of type {type_name}")
        dtype = np.dtype(type_name)
        if min(shape, default=0) < 0:
            raise ValueError(f"an array of shape {shape}")
        arrays[str(name)] = np.frombuffer(body, dtype, math.prod(shape), place).reshape(shape)
        place += arrays[str(name)].nbytes
    if place != len(body):
        raise ValueError(f"arrays of {place:,} bytes in a body of {len(body):,}")
    return arrays
