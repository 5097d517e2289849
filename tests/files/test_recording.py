"""Recordings: complete or absent, with the positions of the topic."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import pytest

from flows.errors import LogError
from flows.files.inputs import open_logs
from flows.files.open_log import Log, open_log
from flows.files.recording import record
from flows.files.sinks import OutputFileError
from flows.messages import Raw

RECORDS = [
    Raw("events", 0, 7, b'{"user": "ann", "item": "tea", "timestamp": 1}'),
    Raw("events", 0, 8, b"\xff garbage"),
    Raw("events", 2, 5, None),
    Raw("events", 0, 9, b'{"user": "bob",\n "item": "jam", "timestamp": 2}'),
    Raw("events", 0, 11, b'{"user": "cat", "item": "jam", "timestamp": 3}'),
]


def read(log: Log) -> list[Raw]:
    part = log.source.build_part("test", "log", None)
    return list(part.next_batch())


@pytest.mark.parametrize("name", ["november.jsonl", "november.jsonl.gz", "november.jsonl.zst"])
def test_recording_is_read_with_its_positions(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert record("events", RECORDS, path) == 5
    log = open_log(path)
    mended = [raw._replace(value=(raw.value or b"").replace(b"\n", b" ")) for raw in RECORDS]
    assert read(log) == mended
    assert [log.decoder(raw, 0.0).source for raw in mended] == [raw.source for raw in RECORDS]


@pytest.mark.parametrize("value", [b"\0\0", b"[1]", b"\xff", b"user,item,timestamp", b"", None])
def test_recording_may_begin_with_any_bytes(tmp_path: Path, value: bytes | None) -> None:
    record("events", [Raw("events", 0, 3, value), RECORDS[4]], tmp_path / "events.jsonl")
    log = open_log(tmp_path / "events.jsonl")
    assert [log.decoder(raw, 0.0).source for raw in read(log)] == ["events/0/3", "events/0/11"]


def test_part_of_a_recording_is_read_with_its_positions(tmp_path: Path) -> None:
    record("events", RECORDS, tmp_path / "november.jsonl")
    part = open_log(tmp_path / "november.jsonl", limit=4).source.build_part("test", "log", 2)
    assert [raw.source for raw in part.next_batch()] == ["events/2/5", "events/0/9"]


def test_two_recordings_of_one_topic_are_merged(tmp_path: Path) -> None:
    record("events", RECORDS[:1], tmp_path / "first.jsonl")
    record("events", RECORDS[4:], tmp_path / "second.jsonl")
    log = open_logs(str(tmp_path / "*.jsonl"))
    assert [raw.source for raw in read(log)] == ["events/0/7", "events/0/11"]


def test_long_runs_take_no_room(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    record("events", (Raw("events", n % 2, n, b"{}") for n in range(10_000)), path)
    record("events", (Raw("events", 0, n, b"{}") for n in range(10_000)), tmp_path / "one.jsonl")
    assert (tmp_path / "one.jsonl.positions").stat().st_size < 600
    assert [raw.offset for raw in read(open_log(path, batch_size=10_000))] == list(range(10_000))


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("fault", [Stopped, KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz", "events.jsonl.zst"])
def test_interrupted_recording_leaves_no_file(tmp_path: Path, name: str, fault: type[BaseException]) -> None:
    def breaking() -> Iterator[Raw]:
        for n in range(2_500):
            yield Raw("events", 0, n, b"{}")
        raise fault

    with pytest.raises(fault):
        record("events", breaking(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


RECORDER = """
import signal
import sys
from pathlib import Path
from flows.files.recording import record
from flows.messages import Raw

def records():
    for offset in range(20_000):
        yield Raw("events", 0, offset, bytes(200))
    print("recording", flush=True)
    sys.stdin.readline()

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background commands without it
record("events", records(), Path(sys.argv[1]))
"""


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_recording_that_is_killed_has_no_name(tmp_path: Path, number: signal.Signals) -> None:
    path, part = tmp_path / "e.jsonl", tmp_path / ".e.jsonl.part"
    command = [sys.executable, "-c", RECORDER, str(path)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"recording\n"
        assert part.stat().st_size > 1_000_000
        process.send_signal(number)
        process.wait(600)
    assert not path.exists()
    assert part.exists() is (number == signal.SIGKILL)
    assert record("events", RECORDS, path) == 5, "what was left does not hinder the next"


def test_unfinished_recording_has_another_name(tmp_path: Path) -> None:
    path, seen = tmp_path / "events.jsonl", []

    def looking() -> Iterator[Raw]:
        for n in range(2_500):
            seen.append(path.exists())
            yield Raw("events", 0, n, b"{}")

    record("events", looking(), path)
    assert not any(seen)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["events.jsonl", "events.jsonl.positions"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("events.csv", "ends in .jsonl, .jsonl.gz, .jsonl.zst"),
        ("no/such/events.jsonl", "its directory is not there"),
        ("there.jsonl", "it is there already"),
    ],
)
def test_unwritable_recording_is_refused_before_the_topic_is_read(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "there.jsonl").write_text("mine\n")
    with pytest.raises(OutputFileError, match=said):
        record("events", (pytest.fail("read") for _ in range(1)), tmp_path / name)
    assert (tmp_path / "there.jsonl").read_text() == "mine\n"


def test_an_empty_range_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="topic 'events': expected records in that range; there are none"):
        record("events", [], tmp_path / "events.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda log, beside: log.write_bytes(log.read_bytes() + b"{}\n"), "expected a log of .* bytes beside it"),
        (lambda log, beside: beside.write_bytes(b"rubbish"), "expected the positions of a recording"),
        (
            lambda log, beside: beside.write_bytes(beside.read_bytes().replace(b'"format":1', b'"format":9')),
            "expected format 1; found 9",
        ),
    ],
    ids=["another log", "rubbish", "another version"],
)
def test_positions_that_do_not_belong_are_refused(tmp_path: Path, spoil: object, said: str) -> None:
    path, beside = tmp_path / "events.jsonl", tmp_path / "events.jsonl.positions"
    record("events", RECORDS, path)
    spoil(path, beside)  # type: ignore[operator]
    with pytest.raises(LogError, match=said):
        open_log(path)
    beside.unlink()
    assert [raw.source for raw in read(open_log(path))][:2] == ["events/0/0", "events/0/1"]


def test_positions_that_were_cut_drop_no_record_in_silence(tmp_path: Path) -> None:
    path, beside = tmp_path / "events.jsonl", tmp_path / "events.jsonl.positions"
    record("events", RECORDS, path)
    beside.write_bytes(b"\n".join(beside.read_bytes().split(b"\n")[:3]) + b"\n")
    with pytest.raises(LogError, match="expected the positions of 5 records; found 3"):
        read(open_log(path))
