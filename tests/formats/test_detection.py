"""Detection on random dialects and damage: no good event is lost, and only `LogError` is raised.

`FRESHRANK_FUZZ_EXAMPLES` says how many logs each test tries. `tests/support/made_logs.py` tries as many as one likes.
"""

import os
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows.errors import UsageError
from flows.formats.detection import detect
from flows.formats.file_format import FileOptions
from flows.formats.record_cutting import JsonObjects, QuotedRecords, transcode
from tests.support.made_logs import lost, made, mangled, read

EXAMPLES = int(os.environ.get("FRESHRANK_FUZZ_EXAMPLES", "200"))
fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@fuzzed
@given(seed=st.integers(0, 2**40), piece=st.integers(1, 300))
def test_detection_loses_no_good_event(seed: int, piece: int) -> None:
    log = made(seed)
    assert lost(log, piece) == [], log.what


@fuzzed
@given(data=st.binary(max_size=200) | st.integers(0, 2**40).map(mangled))
@example(b"")
@example(b"user,item,timestamp\na,b,1e999\na,b,50000\n")
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf")
@example(b'{"')
@example(b"[" * 5_000)
@example(b"\xff\xfe\x00\x00" * 9)
def test_any_bytes_are_read_or_asked_about(data: bytes) -> None:
    with suppress(UsageError):  # it asks
        read(data, piece=7)


@given(text=st.text('{}[]",:\\ \n\x1eab1', max_size=60), pieces=st.integers(1, 9))
def test_objects_do_not_depend_on_the_pieces(text: str, pieces: int) -> None:
    data = text.encode()
    whole = [each for block in JsonObjects()([data]) for each in block]
    cut = [data[place : place + pieces] for place in range(0, len(data), pieces)]
    assert [each for block in JsonObjects()(cut) for each in block] == whole


@given(lines=st.lists(st.text('",a\r', max_size=8).map(str.encode), max_size=12), size=st.integers(1, 5))
def test_records_over_lines_lose_no_line(lines: list[bytes], size: int) -> None:
    blocks = [lines[place : place + size] for place in range(0, len(lines), size)]
    joined = [each for block in QuotedRecords()(blocks) for each in block]
    assert b"\n".join(joined) == b"\n".join(lines)
    assert [each for block in QuotedRecords()([lines]) for each in block] == joined


encodings = st.sampled_from(["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])


@given(text=st.text(max_size=40), encoding=encodings, size=st.integers(1, 7))
def test_encodings_do_not_depend_on_the_pieces(text: str, encoding: str, size: int) -> None:
    data = text.encode(encoding)
    pieces = [data[place : place + size] for place in range(0, len(data), size)]
    assert b"".join(transcode(pieces, encoding)).decode() == text


@given(data=st.binary(max_size=40), size=st.integers(1, 7))
def test_broken_text_never_raises(data: bytes, size: int) -> None:
    pieces = [data[place : place + size] for place in range(0, len(data), size)]
    for encoding in ("utf-16", "utf-16-be", "utf-32", "utf-8-sig", "latin-1"):
        b"".join(transcode(pieces, encoding))


def test_a_delimiter_that_is_told_is_taken() -> None:
    with pytest.raises(UsageError, match="found a,b, c,d"):
        detect("made", [b"a,b;c,d\n1,2;3,4\n"], FileOptions(delimiter=";"))
