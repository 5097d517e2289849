"""Bytes of a delta: what a shard tells the others of items (`recmodels.fused.sharing`).

A delta begins with a header. It has the version of the format, a number for the model and its arguments, and a checksum
of the rest. The lengths of the sections follow, and then these. All numbers are little-endian. Item ids are said once,
and then meant by their place. So any shard can read any delta alone.

`recmodels.kernels.delta_reading` checks the sections in place.
"""

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from recmodels.kernels.delta_bytes import FEW, HEAD_BYTES, IDS, OTHERS, SECTIONS

MAGIC: Final = b"FRDL"
VERSION: Final = 2
HEADER: Final = struct.Struct("<4sHHIII")
"""Magic number, version, number of sections, number of the model, checksum and length of what follows."""
COUNTS: Final = struct.Struct("<III?")
"""The first section: numbers of events, of ids and of interactions, and whether ids are plain."""
FIRST: Final = HEADER.size + 4 * SECTIONS
"""Place of the first section."""
SEPARATOR: Final = "\0"


class DeltaError(ValueError):
    """Bytes are no delta, or one of another version or model."""


@dataclass
class RowChanges:
    """Changes of factors of some items."""

    item: NDArray[np.int32]
    """[m] places of the items."""
    scale: NDArray[np.float32]
    """[m] size of a step."""
    step: NDArray[np.int8]
    """[m, n_factors] changes in steps."""
    numbers: NDArray[np.uint16]
    """[m, k] changes of numbers beside the factors: the upper 16 of 32 bits."""


@dataclass
class Delta:
    """The content of a delta that is written."""

    events: int
    """Number of events of the shard, of any kind."""
    ids: Sequence[str]
    """The items that the places below mean."""
    item: NDArray[np.int32]
    """[n] place of the item of each interaction."""
    number: NDArray[np.int32]
    """[n] number of the interaction among the events, from 1."""
    reward: NDArray[np.float64]
    """[n] above 0."""
    time: NDArray[np.float64]
    """[n] Unix seconds."""
    size: NDArray[np.int64]
    """[n] number of recent items that the interaction found."""
    recent: NDArray[np.int32]
    """[sum of sizes] their places."""
    rows: Mapping[str, RowChanges]
    """Changes of factors by name: of `out`, then of `history`."""
    weights: NDArray[np.int8]
    """[numbers] changes of the weights, in steps."""
    scales: NDArray[np.float32]
    """[arrays] size of a step of each array of weights."""
    item_events: list[tuple[int, str, list[str], bool | None]] = field(default_factory=list)
    """Number of interactions before it, item, tags, availability."""
    erased: list[str] = field(default_factory=list)
    """Users."""


@dataclass
class Received:
    """A delta that is read in place."""

    data: NDArray[np.uint8]
    """Its bytes."""
    starts: NDArray[np.int64]
    """[SECTIONS + 1] where each section begins, and the end. `recmodels.kernels.delta_reading.read` writes them."""
    events: int
    """Number of events of the shard, of any kind."""
    n: int
    """Number of interactions."""
    hashes: NDArray[np.int64]
    """[ids] hash of each id."""
    rows: NDArray[np.int32]
    """[ids] rows of the items here."""
    is_plain: bool
    missing: int = 0
    """Number of ids without a row when rows were last found."""
    found_at: tuple[int, int] = (-1, -1)
    """How the table of items was when rows were last found."""
    names: list[str] = field(default_factory=list)
    """The ids, once somebody needs them."""
    item_events: list[tuple[int, str, list[str], bool | None]] = field(default_factory=list)
    """As in `Delta`."""
    erased: list[str] = field(default_factory=list)
    """As in `Delta`."""

    def section(self, number: int) -> bytes:
        """Return the bytes of a section."""
        return self.data[self.starts[number] : self.starts[number + 1]].tobytes()

    def read_others(self) -> None:
        """Read the item events and the erased users.

        Raises:
            DeltaError: They are not those of a delta.
        """
        if self.starts[OTHERS] == self.starts[OTHERS + 1]:
            return
        try:
            item_events, erased = json.loads(self.section(OTHERS))
            self.item_events = [
                (int(at), str(name), [str(tag) for tag in tags], shown) for at, name, tags, shown in item_events
            ]
            self.erased = [str(user) for user in erased]
            if not all(0 <= at <= self.n for at, *_ in self.item_events):
                raise ValueError(f"expected item events between its {self.n} interactions")
        except (ValueError, TypeError) as error:
            refuse(f"its content does not fit together: {error}")

    def expect_names(self) -> list[str]:
        """Return the ids.

        Raises:
            DeltaError: They are not those of a delta.
        """
        if not self.names and len(self.rows):
            try:
                said = self.section(IDS)
                text = said.decode("utf-8", "surrogatepass")
                self.names = text.split(SEPARATOR) if self.is_plain else [str(name) for name in json.loads(text)]
            except ValueError as error:
                refuse(f"its ids cannot be read: {error}")
            if len(self.names) != len(self.rows):
                refuse(f"{len(self.names)} ids, not {len(self.rows)}")
        return self.names


def encode(delta: Delta, model: int) -> bytes:
    """Return a delta as bytes.

    Args:
        delta: The content.
        model: Number of the model and its arguments.
    """
    place = np.dtype("<u2") if len(delta.ids) < FEW else np.dtype("<u4")
    ids = SEPARATOR.join(delta.ids)
    is_plain = ids.count(SEPARATOR) == max(len(delta.ids) - 1, 0)
    others = [delta.item_events, delta.erased]
    sections = [
        COUNTS.pack(delta.events, len(delta.ids), len(delta.item), is_plain),
        ids.encode("utf-8", "surrogatepass") if is_plain else json.dumps(delta.ids).encode(),
        delta.item.astype(place).tobytes(),
        delta.number.astype("<u2").tobytes(),
        b"" if (delta.reward == 1.0).all() else delta.reward.tobytes(),
        delta.time.tobytes(),
        delta.size.astype("<u2").tobytes(),
        delta.recent.astype(place).tobytes(),
        json.dumps(others, separators=(",", ":")).encode() if any(others) else b"",
        delta.weights.tobytes(),
        delta.scales.tobytes(),
    ]
    for rows in delta.rows.values():
        sections += [
            rows.item.astype(place).tobytes(),
            rows.scale.tobytes(),
            rows.step.tobytes(),
            rows.numbers.tobytes(),
        ]
    body = b"".join([struct.pack(f"<{SECTIONS}I", *map(len, sections)), *sections])
    return HEADER.pack(MAGIC, VERSION, len(sections), model, zlib.crc32(body), len(body)) + body


def cut(data: bytes) -> list[bytes]:
    """Return the deltas of bytes that may hold several, one behind the other.

    Raises:
        DeltaError: The bytes do not begin as a delta does, or the last one is cut off.
    """
    found = []
    while data:
        if len(data) < HEADER.size or data[:4] != MAGIC:
            refuse(f"{len(data)} bytes that begin with {data[:4]!r}")
        end = HEADER.size + HEADER.unpack_from(data)[-1]
        if end > len(data):
            refuse(f"{len(data)} bytes, not {end}")
        found.append(data[:end])
        data = data[end:]
    return found


def receive(data: bytes, model: int) -> Received:
    """Return a delta with its sections. `recmodels.kernels.delta_reading.read` checks what they hold.

    Args:
        data: The bytes of one delta, as `cut` returns them.
        model: Number of the model and its arguments that are expected.

    Raises:
        DeltaError: The bytes are no delta, are damaged, or come from another version or model.
    """
    _, version, count, theirs, checksum, _ = HEADER.unpack_from(data)
    if version != VERSION:
        refuse(f"format version {version}, and this release reads version {VERSION}. Upgrade the shards together")
    if zlib.crc32(data[HEADER.size :]) != checksum:
        refuse("bytes whose checksum is wrong")
    if theirs != model:
        refuse("one of another model or of other arguments. Give all shards the same model and settings")
    if count != SECTIONS or len(data) < FIRST + HEAD_BYTES:
        refuse(f"{count} sections, not {SECTIONS}")
    events, n_ids, n, is_plain = COUNTS.unpack_from(data, FIRST)
    if n_ids > len(data):
        refuse(f"{n_ids} ids in {len(data)} bytes")
    return Received(
        data=np.frombuffer(data, np.uint8),
        starts=np.empty(SECTIONS + 1, np.int64),
        n=n,
        events=events,
        hashes=np.empty(n_ids, np.int64),
        rows=np.empty(n_ids, np.int32),
        is_plain=is_plain,
    )


def refuse(got: str) -> NoReturn:
    """Raise DeltaError for bytes that are no delta of this model."""
    raise DeltaError(f"expected a delta of this model; got {got}")
