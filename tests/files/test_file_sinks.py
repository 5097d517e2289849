"""Files of lists and rejects hold each line once, across crashes and restarts."""

import base64
import gzip
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
import zstandard
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSource, run_main

from flows.files.open_log import open_log
from flows.files.sinks import LineFile, ListFile, OutputFileError, RejectFile, write_lines
from flows.formats.dead_letters import MAX_RAW_BYTES, to_file_line, to_kafka
from flows.messages import Outgoing, Rejected


def message(n: int) -> Outgoing:
    return Outgoing(b"u%d" % n, b'{"user":"u%d","items":[]}' % n)


def run(items: Sequence[Any], sink: LineFile[Any], recovery: RecoveryConfig | None = None) -> None:
    """Run a flow that closes an epoch after each batch of two items."""
    flow = Dataflow("sinks")
    write_lines("lists", op.input("in", flow, TestingSource(items, batch_size=2)), sink)
    run_main(  # type: ignore[no-untyped-call]  # bytewax does not type it
        flow, epoch_interval=timedelta(0), recovery_config=recovery
    )


def read(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return [json.loads(line) for line in data.splitlines()]


def users(path: Path) -> list[str]:
    return [line["user"] for line in read(path)]


@pytest.fixture
def recovery(tmp_path: Path) -> RecoveryConfig:
    (tmp_path / "recovery").mkdir()
    init_db_dir(tmp_path / "recovery", 1)  # type: ignore[no-untyped-call]  # bytewax does not type it
    return RecoveryConfig(str(tmp_path / "recovery"))  # type: ignore[no-untyped-call]


@pytest.fixture(params=["lists.jsonl", "lists.jsonl.gz", "lists.jsonl.zst"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def test_lines_are_written_in_order(path: Path) -> None:
    run([message(n) for n in range(9)], ListFile(path))
    assert users(path) == [f"u{n}" for n in range(9)]


def test_each_line_once_after_a_crash(path: Path, recovery: RecoveryConfig) -> None:
    items = [message(n) for n in range(12)]
    for at in (1, 4, 4, 7):
        # One crash a run: TestingSource miscounts where to resume behind a crash that is over.
        run([*items[:at], TestingSource.ABORT(), *items[at:]], ListFile(path), recovery)
        assert len(users(path)) <= at if path.suffix == ".jsonl" else path.exists()
    run(items, ListFile(path), recovery)
    assert users(path) == [f"u{n}" for n in range(12)]


def test_lines_of_an_epoch_that_did_not_close_are_cut_off(path: Path, recovery: RecoveryConfig) -> None:
    items = [message(0), message(1), TestingSource.EOF(), message(2)]
    run(items, ListFile(path), recovery)
    with path.open("ab") as file:
        file.write(b"lines of an epoch that did not close" * 99)
    run(items, ListFile(path), recovery)
    assert users(path) == ["u0", "u1", "u2"]


def test_run_without_recovery_overwrites_the_file(path: Path) -> None:
    run([message(1), message(2)], ListFile(path))
    run([message(3)], ListFile(path))
    assert users(path) == ["u3"]


def test_file_is_complete_after_each_epoch(path: Path) -> None:
    part = ListFile(path).build_part("lists", "file", None)
    for n in range(3):
        part.write_batch([message(n)])
        assert part.snapshot() == path.stat().st_size
        assert users(path) == [f"u{k}" for k in range(n + 1)]


def test_a_partition_left_by_a_crash_writes_nothing_more(path: Path) -> None:
    left = ListFile(path).build_part("lists", "file", None)
    left.write_batch([message(0)])
    position = left.snapshot()
    left.write_batch([message(1)])
    resumed = ListFile(path).build_part("lists", "file", position)
    resumed.write_batch([message(2)])
    resumed.close()
    del left
    assert users(path) == ["u0", "u2"]


def test_a_file_that_was_replaced_is_refused(path: Path) -> None:
    path.write_bytes(b"short")
    with pytest.raises(OutputFileError, match="expected the 99 bytes written before the restart; found 5"):
        ListFile(path).build_part("lists", "file", 99)


def test_a_file_that_is_gone_is_refused(path: Path) -> None:
    with pytest.raises(OutputFileError, match="expected the 99 bytes written before the restart; found 0"):
        ListFile(path).build_part("lists", "file", 99)
    assert not path.exists()


def test_check_before_the_flow(path: Path, tmp_path: Path) -> None:
    ListFile(path).check()
    assert not path.exists()
    path.write_bytes(b"kept")
    ListFile(path).check()
    assert path.read_bytes() == b"kept"
    with pytest.raises(OutputFileError, match="expected a file to write"):
        ListFile(tmp_path).check()
    with pytest.raises(OutputFileError, match="No such file or directory"):
        ListFile(tmp_path / "missing" / "lists.jsonl").check()


def test_a_tombstone_is_a_line_too(path: Path) -> None:
    run([message(1), Outgoing("ü1".encode(), None)], ListFile(path))
    assert read(path)[1] == {"user": "ü1", "items": None}


def test_a_log_whose_replay_is_continued(path: Path, tmp_path: Path, recovery: RecoveryConfig) -> None:
    log = tmp_path / "events.csv"
    log.write_text("user,item,timestamp\n" + "".join(f"u{n},i,{n}\n" for n in range(50)))
    for limit in (20, 31, None):
        flow = Dataflow("replay")
        source, _ = open_log(log, batch_size=7, limit=limit)
        lists = op.map("rank", op.input("log", flow, source), lambda raw: message(raw.offset))
        write_lines("lists", lists, ListFile(path))
        run_main(flow, recovery_config=recovery)  # type: ignore[no-untyped-call]
        assert users(path) == [f"u{n}" for n in range(50)][:limit]


def test_rejects(tmp_path: Path, recovery: RecoveryConfig) -> None:
    path = tmp_path / "rejects.jsonl"
    rejected = [
        Rejected("e.csv:1", "wrong type", "user", 'ü,"x"\n'.encode()),
        Rejected("e.csv:2", "not UTF-8", "", b"\xff\0"),
        Rejected("e.csv:3", "empty record", "", None),
    ]
    items = [rejected[0], TestingSource.ABORT(), *rejected[1:]]
    run(items, RejectFile(path), recovery)
    run(items, RejectFile(path), recovery)
    assert read(path) == [
        {"source": "e.csv:1", "reason": "wrong type", "field": "user", "raw": 'ü,"x"\n'},
        {"source": "e.csv:2", "reason": "not UTF-8", "field": "", "raw": "/wA=", "raw_encoding": "base64"},
        {"source": "e.csv:3", "reason": "empty record", "field": "", "raw": None},
    ]
    assert base64.b64decode(read(path)[1]["raw"]) == rejected[1].raw


def test_long_record_keeps_its_start() -> None:
    rejected = Rejected("events/0/7", "too long", "user", b"u" * 10_000_000)
    line = json.loads(to_file_line(rejected))
    assert (line["raw"], line["raw_bytes"]) == ("u" * MAX_RAW_BYTES, 10_000_000)
    outgoing = to_kafka(rejected)
    assert outgoing.value == b"u" * MAX_RAW_BYTES
    assert dict(outgoing.headers) == {
        "source": b"events/0/7",
        "reason": b"too long",
        "field": b"user",
        "original_key": b"none",
        "raw_bytes": b"10000000",
    }
