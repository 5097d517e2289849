"""Bytes of a delta: what a shard tells the others of items (`recmodels.fused.sharing`).

A delta begins with a header. It has the version of the format, a number for the model and its arguments, and a checksum
of the rest. Sections follow, each with its length before it. All numbers are little-endian. Item ids are
said once, and then meant by their place. So any shard can read any delta alone.
"""

import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = b"FRDL"
VERSION: Final = 1
HEADER: Final = struct.Struct("<4sHHIII")
"""Magic number, version, number of sections, number of the model, checksum and length of what follows."""
LENGTH: Final = struct.Struct("<I")
SEPARATOR: Final = "\0"
FEW: Final = 1 << 16
"""Below this number of ids, a place takes two bytes."""


class DeltaError(ValueError):
    """Bytes are no delta, or one of another version or model."""


@dataclass
class Delta:
    """The content of a delta."""

    events: int
    """Number of events of the shard, of any kind."""
    ids: list[str]
    """The items that the places below mean."""
    item: NDArray[np.int64]
    """[n] place of the item of each interaction."""
    number: NDArray[np.int32]
    """[n] number of the interaction among the events, from 1."""
    reward: NDArray[np.float64]
    """[n] above 0."""
    time: NDArray[np.float64]
    """[n] Unix seconds."""
    size: NDArray[np.int64]
    """[n] number of recent items that the interaction found."""
    recent: NDArray[np.int64]
    """[sum of sizes] their places."""
    rows: dict[str, "RowChanges"]
    """Changes of factors by name."""
    weights: NDArray[np.int8]
    """[numbers] changes of the weights, in steps."""
    scales: NDArray[np.float32]
    """[arrays] size of a step of each array of weights."""
    item_events: list[tuple[int, str, list[str], bool | None]] = field(default_factory=list)
    """Number of interactions before it, item, tags, availability."""
    erased: list[str] = field(default_factory=list)
    """Users."""


@dataclass
class RowChanges:
    """Changes of factors of some items."""

    item: NDArray[np.int64]
    """[m] places of the items."""
    scale: NDArray[np.float32]
    """[m] size of a step."""
    step: NDArray[np.int8]
    """[m, n_factors] changes in steps."""
    numbers: NDArray[np.float16]
    """[m, k] changes of numbers beside the factors."""


ROW_KINDS: Final = {"out": 3, "history": 1}
"""Kinds of factors, with how many numbers stand beside a row."""
SECTIONS: Final = 11 + 4 * len(ROW_KINDS)


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
        struct.pack("<III?", delta.events, len(delta.ids), len(delta.item), is_plain),
        ids.encode("utf-8", "surrogatepass") if is_plain else json.dumps(delta.ids).encode(),
        delta.item.astype(place).tobytes(),
        delta.number.astype("<u2").tobytes(),
        b"" if (delta.reward == 1.0).all() else delta.reward.astype("<f8").tobytes(),
        delta.time.astype("<f8").tobytes(),
        delta.size.astype("<u2").tobytes(),
        delta.recent.astype(place).tobytes(),
        json.dumps(others, separators=(",", ":")).encode() if any(others) else b"",
        delta.weights.tobytes(),
        delta.scales.astype("<f4").tobytes(),
    ]
    for kind in ROW_KINDS:
        rows = delta.rows[kind]
        sections += [
            rows.item.astype(place).tobytes(),
            rows.scale.astype("<f4").tobytes(),
            rows.step.tobytes(),
            rows.numbers.astype("<f2").tobytes(),
        ]
    body = b"".join([*(LENGTH.pack(len(section)) for section in sections), *sections])
    return HEADER.pack(MAGIC, VERSION, len(sections), model, zlib.crc32(body), len(body)) + body


def cut(data: bytes) -> list[bytes]:
    """Return the deltas of bytes that may hold several, one behind the other.

    Raises:
        DeltaError: The bytes do not begin as a delta does, or the last one is cut off.
    """
    found = []
    while data:
        if len(data) < HEADER.size or data[:4] != MAGIC:
            _refuse(f"{len(data)} bytes that begin with {data[:4]!r}")
        end = HEADER.size + HEADER.unpack_from(data)[-1]
        if end > len(data):
            _refuse(f"{len(data)} bytes, not {end}")
        found.append(data[:end])
        data = data[end:]
    return found


def decode(data: bytes, model: int, n_factors: int) -> Delta:
    """Return the content of a delta.

    Args:
        data: The bytes of one delta, as `cut` returns them.
        model: Number of the model and its arguments that are expected.
        n_factors: Length of the factors.

    Raises:
        DeltaError: The bytes are no delta, are damaged, or come from another version or model.
    """
    sections = _sections(data, model)
    try:
        return _content(sections, n_factors)
    except (ValueError, TypeError, IndexError, struct.error) as error:
        _refuse(f"its content does not fit together: {error}")


def _sections(data: bytes, model: int) -> list[bytes]:
    _, version, count, theirs, checksum, _ = HEADER.unpack_from(data)
    if version != VERSION:
        _refuse(f"format version {version}, and this release reads version {VERSION}. Upgrade the shards together")
    if zlib.crc32(data[HEADER.size :]) != checksum:
        _refuse("bytes whose checksum is wrong")
    if theirs != model:
        _refuse("one of another model or of other arguments. Give all shards the same model and settings")
    start = HEADER.size + count * LENGTH.size
    if count != SECTIONS or len(data) < start:
        _refuse(f"{count} sections, not {SECTIONS}")
    sections = []
    for (length,) in LENGTH.iter_unpack(data[HEADER.size : start]):
        sections.append(data[start : start + length])
        start += length
    if start != len(data):
        _refuse(f"{len(data)} bytes, not {start}")
    return sections


def _content(sections: list[bytes], n_factors: int) -> Delta:
    head, ids, item, number, reward, time, size, recent, others, weights, scales, *rows = sections
    events, n_ids, n, is_plain = struct.unpack("<III?", head)
    place = "<u2" if n_ids < FEW else "<u4"
    names = ids.decode("utf-8", "surrogatepass").split(SEPARATOR) if is_plain else json.loads(ids)
    item_events, erased = json.loads(others) if others else ([], [])
    delta = Delta(
        events=events,
        ids=names if n_ids else [],
        item=_numbers(item, place, n).astype(np.int64),
        number=_numbers(number, "<u2", n).astype(np.int32),
        reward=_numbers(reward, "<f8", n) if reward else np.ones(n),
        time=_numbers(time, "<f8", n),
        size=_numbers(size, "<u2", n).astype(np.int64),
        recent=np.frombuffer(recent, place).astype(np.int64),
        weights=np.frombuffer(weights, np.int8),
        scales=np.frombuffer(scales, "<f4"),
        item_events=[(int(at), str(name), [str(tag) for tag in tags], shown) for at, name, tags, shown in item_events],
        erased=[str(user) for user in erased],
        rows={
            kind: _row_changes(rows[4 * k : 4 * k + 4], place, n_factors, beside)
            for k, (kind, beside) in enumerate(ROW_KINDS.items())
        },
    )
    _expect("a name for each id", len(delta.ids) == n_ids)
    _expect("a place of recent items for each size", len(delta.recent) == delta.size.sum())
    places = [delta.item, delta.recent, *(changes.item for changes in delta.rows.values())]
    _expect("places of its ids", all(len(some) == 0 or some.max() < n_ids for some in places))
    _expect("rewards above 0", bool((delta.reward > 0.0).all() and np.isfinite(delta.reward).all()))
    _expect("times that are numbers", bool(np.isfinite(delta.time).all()))
    _expect("numbers up to its events", n == 0 or bool(delta.number.max() <= events and delta.number.min() > 0))
    finite = [delta.scales, *(array for changes in delta.rows.values() for array in (changes.scale, changes.numbers))]
    _expect("finite changes", all(bool(np.isfinite(array).all()) for array in finite))
    return delta


def _row_changes(parts: list[bytes], place: str, n_factors: int, beside: int) -> RowChanges:
    item, scale, step, numbers = parts
    places = np.frombuffer(item, place).astype(np.int64)
    m = len(places)
    return RowChanges(
        places,
        _numbers(scale, "<f4", m),
        np.frombuffer(step, np.int8).reshape(m, n_factors),
        np.frombuffer(numbers, "<f2").reshape(m, beside),
    )


def _numbers(data: bytes, kind: str, count: int) -> NDArray[Any]:
    found = np.frombuffer(data, kind)
    _expect(f"{count} numbers", len(found) == count)
    return found


def _expect(what: str, is_so: bool) -> None:
    if not is_so:
        raise ValueError(f"expected {what}")


def _refuse(got: str) -> NoReturn:
    raise DeltaError(f"expected a delta of this model; got {got}")
