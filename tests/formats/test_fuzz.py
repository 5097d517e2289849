"""Fuzzing: decoding any bytes gives an event or a reject, and reading a state gives the state or a `StoreError`.

`FRESHRANK_FUZZ_EXAMPLES` says how many inputs each test tries: by default a few, for a quick run.
"""

import os
import tempfile
import zlib
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.formats.csv_events import CsvDecoder
from flows.formats.json_events import JsonDecoder
from flows.messages import Interaction, Raw, Rejected
from flows.state.record_file import FORMAT, MAGIC, StoreError, append, read_records

SHM = "/dev/shm" if Path("/dev/shm").is_dir() else None
EXAMPLES = int(os.environ.get("FRESHRANK_FUZZ_EXAMPLES", "200"))
fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)

STATE = [{"rows": np.arange(7), "values": np.ones((7, 3), np.float32)}, {"turn": np.array([4])}, {"empty": np.zeros(0)}]
GOOD = Raw("events", 0, 1, b'{"user": "u1", "item": "i1", "timestamp": 1382021321.5}')

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    ["user", "item", "timestamp", "kind", "event", "value", "id", "session", "context", "features"]
)
likely = st.dictionaries(fields, st.sampled_from(["u1", "forget", "item", 7, "2013-10-17T19:15:21Z"]) | json_values)


def to_bytes(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # integers beyond 64 bits, lone surrogates
        return repr(value).encode("utf-8", "surrogatepass")


any_record = st.binary(max_size=200) | likely.map(to_bytes) | json_values.map(to_bytes)
mangled = st.tuples(any_record, st.integers(0, 60), st.binary(max_size=3)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("state") / "1.log"
    append(path, 0, STATE)
    return path.read_bytes()


@fuzzed
@given(value=any_record | mangled)
def test_decoding_never_raises_and_keeps_what_it_rejects(value: bytes) -> None:
    raw = Raw("events", 0, 0, value)
    for decode in (JsonDecoder(), CsvDecoder(["user", "item", "timestamp", "event", "value"])):
        decoded = decode(raw, 0.0)
        if isinstance(decoded, Rejected):
            assert decoded.raw == value
            assert decoded.reason
    before, _, after = [JsonDecoder()(each, 0.0) for each in (GOOD, raw, GOOD)]
    assert isinstance(before, Interaction)
    assert before == after, "a bad record costs no good event"


def read(data: bytes) -> list[dict[str, bytes]] | None:
    """What a file of these bytes holds; None if it is refused."""
    with tempfile.NamedTemporaryFile(suffix=".log", dir=SHM) as file:
        file.write(data)
        file.flush()
        try:
            return [
                {name: array.tobytes() for name, array in record.items()}
                for _, record in read_records(Path(file.name), len(data))
            ]
        except StoreError:
            return None


EXPECTED = [{name: array.tobytes() for name, array in record.items()} for record in STATE]

cuts = st.tuples(st.integers(0, 400), st.integers(0, 40), st.binary(max_size=40))


@fuzzed
@given(cut=cuts)
def test_a_damaged_state_is_refused_or_what_was_written(whole: bytes, cut: tuple[int, int, bytes]) -> None:
    start, gone, new = cut
    damaged = whole[:start] + new + whole[start + gone :]
    found = read(damaged)
    assert found is None or found == EXPECTED[: len(found)]
    if damaged == whole:
        assert found == EXPECTED


@fuzzed
@given(data=st.binary(max_size=300))
def test_garbage_is_no_state(data: bytes) -> None:
    for garbage in (data, MAGIC + bytes([FORMAT]) + data):
        assert read(garbage) in (None, [])


numbers = st.integers(-3, 9) | st.integers(-(2**65), 2**65)
types = st.sampled_from(["<i8", "<f4", "|u1", "|O", "|S0", "|V8", "<U3", "<M8[s]", ",", "i4,i4", "zz"])
headers = st.lists(st.tuples(st.text(max_size=3), types, st.lists(numbers, max_size=3)), max_size=3).map(to_bytes)


@fuzzed
@given(header=headers | json_values.map(to_bytes) | st.binary(max_size=60), body=st.binary(max_size=80))
def test_a_made_up_record_with_a_right_checksum_is_refused_or_plain_arrays(header: bytes, body: bytes) -> None:
    start = MAGIC + bytes([FORMAT]) + len(header).to_bytes(4, "little") + len(body).to_bytes(8, "little")
    data = start + header + body
    found = read(data + zlib.crc32(data).to_bytes(4, "little"))
    assert found is None or sum(len(array) for record in found for array in record.values()) <= len(body)
