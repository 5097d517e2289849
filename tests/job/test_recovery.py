"""Kill a replay with SIGKILL and start it again: nothing is lost, nothing is written twice, nothing differs."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import zstandard

from flows.cli import FAILED, WRONG
from flows.sample import EVENTS
from tests.support import forks
from tests.support.forks import ROOT, Process
from tests.support.gate import kill, start_gated

pytestmark = pytest.mark.process

EPOCH = {"FRESHRANK_EPOCH_SECONDS": "0.1"}

RECORDS = "8000"
"""Records of the log that a replay reads, unless a test says another number."""


def replay_of(out: Path, recovery: Path, *more: str) -> list[str]:
    limit = () if "--limit" in more else ("--limit", RECORDS)
    return [
        "replay",
        str(EVENTS),
        "--repeats",
        "exclude",
        "--out",
        str(out),
        "--recovery",
        str(recovery),
        *limit,
        *more,
    ]


def start(out: Path, recovery: Path, *more: str, file_bytes: int = -1) -> Process:
    """Start a replay. Of files longer than `file_bytes` the kernel takes no more, as of a full disk."""
    return forks.start(*replay_of(out, recovery, *more), env={**os.environ, **EPOCH}, file_bytes=file_bytes)


def finish(process: Process) -> str:
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 0, said
    return said


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def kill_at(event: int, out: Path, recovery: Path, *more: str) -> None:
    """Kill a replay at an event, counted from where it resumes."""
    kill(start_gated(event, *replay_of(out, recovery, *more), **EPOCH))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("unbroken")
    finish(start(directory / "lists.jsonl", directory / "state"))
    return (directory / "lists.jsonl").read_bytes()


def test_killed_and_resumed_equals_never_stopped(tmp_path: Path, unbroken: bytes) -> None:
    out, state = tmp_path / "lists.jsonl", tmp_path / "state"
    kill_at(6_000, out, state)
    assert size_of(out) < len(unbroken)
    finish(start(out, state))
    assert out.read_bytes() == unbroken


def test_another_interpreter_goes_on_as_the_killed_one_would_have(tmp_path: Path, unbroken: bytes) -> None:
    """Each has another seed of Python's hashes."""
    out, asked = tmp_path / "lists.jsonl", replay_of(tmp_path / "lists.jsonl", tmp_path / "state")
    environment, pipe = {**os.environ, **EPOCH}, subprocess.PIPE
    gated = [sys.executable, "-m", "tests.support.gate", "600", *asked]
    with subprocess.Popen(gated, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=pipe) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"at event 600\n"
        first.kill()
    assert size_of(out) < len(unbroken)
    subprocess.run([sys.executable, "-m", "flows.cli", *asked], cwd=ROOT, check=True)
    assert out.read_bytes() == unbroken


def test_job_survives_repeated_kills(tmp_path: Path, unbroken: bytes) -> None:
    out, state = tmp_path / "lists.jsonl", tmp_path / "state"
    for _ in range(4):
        kill_at(1_800, out, state)
    finish(start(out, state))
    assert out.read_bytes() == unbroken


def test_a_recovery_directory_belongs_to_one_job_at_a_time(tmp_path: Path, unbroken: bytes) -> None:
    out, state = tmp_path / "lists.jsonl", tmp_path / "state"
    first = start_gated(2_000, *replay_of(out, state), **EPOCH)
    said = refused(start(tmp_path / "other.jsonl", state), WRONG)
    assert "another process is at work on this recovery directory" in said
    finish(first)
    assert out.read_bytes() == unbroken
    said = refused(start(out, state, "--model", "popularity"), WRONG)
    assert "expected the state of a job with model 'popularity'; found 'blend'" in said


def test_damaged_state_is_refused_in_one_line(tmp_path: Path) -> None:
    out, state = tmp_path / "lists.jsonl", tmp_path / "state"
    finish(start(out, state, "--limit", "2000"))
    path = max((state / "state" / "learn").glob("*.log"), key=lambda path: int(path.stem))
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    said = refused(start(out, state), WRONG)
    assert f"{path.name}: the record at byte 0 is damaged. Restore the recovery directory" in said


def refused(process: Process, status: int) -> str:
    said = process.communicate(timeout=600)[1]
    assert process.returncode == status, said
    assert "Traceback" not in said
    return said


def whole(path: Path) -> bytes:
    """Read a file of lists, compressed or not."""
    with path.open("rb") as file:
        if path.suffix == ".gz":
            return gzip.decompress(file.read())
        if path.suffix == ".zst":
            return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
        return file.read()


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("room", [3_000_000, 200_000])
def test_a_full_disk_stops_the_job_and_damages_nothing(tmp_path: Path, unbroken: bytes, ending: str, room: int) -> None:
    """Of the larger files the state is full first, or the lists, whichever it is. Of the smaller ones the lists."""
    out, state = tmp_path / f"lists.jsonl{ending}", tmp_path / "state"
    process = start(out, state, file_bytes=room)
    said = refused(process, FAILED)
    assert "File too large" in said or "disk I/O error" in said, "ours are full first, or the engine's database"
    assert "Make room" in said
    assert size_of(out) <= room
    finish(start(out, state))
    assert whole(out) == unbroken


@pytest.mark.parametrize("kind", ["a file", "a file above it", "a file system that takes nothing"])
def test_a_recovery_directory_that_cannot_be_written_is_named(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    directory = {"a file": tmp_path / "file", "a file above it": tmp_path / "file" / "state"}.get(
        kind, Path("/sys/state")
    )
    said = refused(start(tmp_path / "lists.jsonl", directory), WRONG)
    assert f"freshrank: {directory}: expected a directory to write; " in said
    assert "Set `recovery` to one of yours." in said


def test_killed_while_the_directory_is_made_it_is_made_by_the_next(tmp_path: Path, unbroken: bytes) -> None:
    out, state = tmp_path / "lists.jsonl", tmp_path / "state"
    (state / "engine.new").mkdir(parents=True)
    (state / "job.json.new").write_bytes(b"{")
    finish(start(out, state))
    assert out.read_bytes() == unbroken


def test_recovery_directory_describes_its_job(tmp_path: Path) -> None:
    finish(start(tmp_path / "lists.jsonl", tmp_path / "state", "--limit", "10"))
    job = orjson.loads((tmp_path / "state" / "job.json").read_bytes())
    assert job == {"format": 1, "model": "blend", "repeats": "exclude", "input": str(EVENTS)}


def test_lists_of_users_who_are_away_are_the_same_after_a_restart(tmp_path: Path) -> None:
    more = ("--refresh", "3600", "--limit", "8000")
    whole, out, state = tmp_path / "whole.jsonl", tmp_path / "lists.jsonl", tmp_path / "state"
    finish(start(whole, tmp_path / "other", *more))
    lists = whole.read_bytes()
    assert lists.count(b"\n") > 12_000
    assert b'"items":null' in lists
    for _ in range(2):
        kill_at(2_500, out, state, *more)
    finish(start(out, state, *more))
    assert out.read_bytes() == lists
