"""Reading of deltas: wrong content is refused whatever its checksum, and ids are found by their hashes."""

import struct
from collections.abc import Callable
from zlib import crc32

import numpy as np
import orjson
import pytest

from recmodels import Blend
from recmodels.checks.events import some_events
from recmodels.fused.delta_format import FIRST, HEADER, DeltaError
from recmodels.fused.known_ids import FIRST_SIZE, KnownIds
from recmodels.fused.model import FusedModel
from recmodels.kernels import delta_bytes, delta_reading
from recmodels.storage.id_table import IdTable
from tests.support.item_counts import counts


def sharing() -> FusedModel:
    model = Blend(max_users=100, max_items=100, max_pairs=2_000, max_tags=100)
    model.enable_deltas()
    return model


def delta() -> bytes:
    model = sharing()
    model.step_many(some_events(60), 3)
    return model.take_delta()


def with_section(data: bytes, number: int, content: bytes) -> bytes:
    """Return a delta with another content of a section, and the right checksum."""
    lengths = list(struct.unpack_from(f"<{delta_bytes.SECTIONS}I", data, HEADER.size))
    start = FIRST + sum(lengths[:number])
    rest = data[FIRST:start] + content + data[start + lengths[number] :]
    lengths[number] = len(content)
    body = struct.pack(f"<{delta_bytes.SECTIONS}I", *lengths) + rest
    magic, version, count, model, _, _ = HEADER.unpack_from(data)
    return HEADER.pack(magic, version, count, model, crc32(body), len(body)) + body


def section(data: bytes, number: int) -> bytes:
    lengths = struct.unpack_from(f"<{delta_bytes.SECTIONS}I", data, HEADER.size)
    start = FIRST + sum(lengths[:number])
    return data[start : start + lengths[number]]


ROWS = delta_bytes.ROWS
WRONG = [
    (delta_bytes.ITEM, b"\xff\xff", "places of its ids"),
    (delta_bytes.RECENT, b"\xff\xff", "places of its ids"),
    (ROWS, b"\xff\xff", "places of its ids"),
    (delta_bytes.NUMBER, b"\0\0", "numbers up to its events"),
    (delta_bytes.NUMBER, b"\xff\xff", "numbers up to its events"),
    (delta_bytes.TIME, struct.pack("<d", np.inf), "times that are numbers"),
    (delta_bytes.SCALES, struct.pack("<f", np.nan), "finite changes"),
    (ROWS + 1, struct.pack("<f", np.inf), "finite changes"),
    (ROWS + 3, b"\x80\x7f", "finite changes"),
    (delta_bytes.HEAD, struct.pack("<I", 0), "numbers up to its events"),
]
"""Sections, what they begin with, and what the refusal expects."""


@pytest.mark.parametrize(("number", "first", "expected"), WRONG)
def test_content_that_cannot_be_is_refused_and_changes_nothing(number: int, first: bytes, expected: str) -> None:
    ours, data = sharing(), delta()
    before = counts(ours)
    content = section(data, number)
    with pytest.raises(DeltaError, match=f"expected a delta of this model; got .*expected {expected}"):
        ours.apply_delta(with_section(data, number, first + content[len(first) :]))
    assert counts(ours) == before
    assert ours.apply_delta(with_section(data, number, content)) > 0


@pytest.mark.parametrize("reward", [0.0, -1.0, np.inf, np.nan])
def test_rewards_that_cannot_be_are_refused(reward: float) -> None:
    data = delta()
    n = len(section(data, delta_bytes.TIME)) // 8
    content = struct.pack(f"<{n}d", *[1.0] * (n - 1), reward)
    with pytest.raises(DeltaError, match="expected rewards above 0"):
        sharing().apply_delta(with_section(data, delta_bytes.REWARD, content))


SIZED = [k for k in range(delta_bytes.SECTIONS) if k not in (delta_bytes.IDS, delta_bytes.OTHERS)]
"""Sections of which the rest says how long they are."""


@pytest.mark.parametrize("number", SIZED)
def test_sections_of_another_length_are_refused(number: int) -> None:
    ours, data = sharing(), delta()
    content = section(data, number)
    for changed in (content[:-1], content + b"\0"):
        with pytest.raises(DeltaError, match="expected a delta of this model"):
            ours.apply_delta(with_section(data, number, changed))
    assert not ours.knows("i0")


@pytest.mark.parametrize(
    "change", [lambda ids: ids + b"\0", lambda ids: ids.replace(b"\0", b"", 1), lambda ids: b"\xff" + ids]
)
def test_ids_that_cannot_be_are_refused(change: Callable[[bytes], bytes]) -> None:
    ours, data = sharing(), delta()
    ids = section(data, delta_bytes.IDS)
    with pytest.raises(DeltaError, match=r"expected a name for each id|its ids cannot be read"):
        ours.apply_delta(with_section(data, delta_bytes.IDS, change(ids)))
    assert len(ours.memory.items) == 0


@pytest.mark.parametrize("ids", [["a\0b", "c", "\0"], ["", "a"], ["ß∂🍵", "\ud800"]])
def test_any_string_is_an_id(ids: list[str]) -> None:
    ours, theirs = sharing(), sharing()
    for _ in range(2):
        for item in ids:
            theirs.learn_one("ann", item)
        ours.apply_delta(theirs.take_delta())
    assert counts(ours) == pytest.approx(counts(theirs), rel=1e-6)
    assert all(ours.knows(item) for item in ids)


@pytest.mark.parametrize("at", [-1, 61, 10**9])
def test_item_events_between_no_interactions_are_refused(at: int) -> None:
    ours, data = sharing(), delta()
    others = orjson.dumps([[[at, "lamp", [], True]], []])
    with pytest.raises(DeltaError, match="expected item events between its"):
        ours.apply_delta(with_section(data, delta_bytes.OTHERS, others))
    assert not ours.knows("lamp")


def hash_of(name: str) -> int:
    """Return the hash of an id, as the kernel computes it."""
    value = delta_reading.FIRST_HASH % 2**64
    for byte in name.encode():
        value = (value ^ byte) * delta_reading.HASH_FACTOR % 2**64
    signed = value - 2**64 if value >= 2**63 else value
    return signed ^ (signed >> 32)


def test_known_ids_have_the_rows_of_the_table_and_none_once_an_item_went() -> None:
    ids = IdTable(3 * FIRST_SIZE)
    known = KnownIds(ids)
    names = [f"item {k}" for k in range(FIRST_SIZE)]
    rows = np.array([ids.add(name) for name in names], np.int32)
    hashes = np.array([hash_of(name) for name in names])
    for start in range(0, FIRST_SIZE, 500):
        known.add(hashes[start : start + 500], rows[start : start + 500])
    assert len(known.hashes) >= 2 * FIRST_SIZE
    found = dict(zip(known.hashes.tolist(), known.rows.tolist(), strict=True))
    assert [found[value] for value in hashes.tolist()] == rows.tolist()
    known.follow()
    assert known.hashes.any()
    ids.release([1])
    known.follow()
    assert not known.hashes.any()


def test_ids_that_were_met_before_are_found_by_their_hashes() -> None:
    ours, theirs = sharing(), sharing()
    for _ in range(2):
        theirs.learn_one("ann", "tea")
        data = theirs.take_delta()
        ours.apply_delta(data)
    [found] = ours.sharing.expect_delta(data)
    assert found.hashes.tolist() == [hash_of("tea")]
    assert found.rows.tolist() == [ours.memory.items.row("tea")]
    assert not found.names
