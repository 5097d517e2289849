"""Kill a replay with SIGKILL and start it again: nothing is lost, nothing is written twice, nothing differs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from flows.cli import WRONG
from flows.sample import EVENTS

ROOT = Path(__file__).parent.parent


def start(out: Path, recovery: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "flows.cli", "replay", str(EVENTS), "--repeats", "exclude", "--out", str(out)]
    return subprocess.Popen(
        [*command, "--recovery", str(recovery), *more],
        cwd=ROOT,
        env={**os.environ, "FRESHRANK_EPOCH_SECONDS": "0.1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    return said


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def kill_when(out: Path, length: int, process: subprocess.Popen[str]) -> None:
    while size_of(out) < length:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("unbroken")
    finish(start(directory / "lists.jsonl", directory / "state"))
    return (directory / "lists.jsonl").read_bytes()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_killed_and_resumed_equals_never_stopped(tmp_path: Path, unbroken: bytes, share: float) -> None:
    out, state = tmp_path / "lists.jsonl", tmp_path / "state"
    kill_when(out, int(len(unbroken) * share), start(out, state))
    assert size_of(out) < len(unbroken)
    finish(start(out, state))
    assert out.read_bytes() == unbroken


def test_killed_again_and_again(tmp_path: Path, unbroken: bytes) -> None:
    out, state = tmp_path / "lists.jsonl", tmp_path / "state"
    for share in (0.2, 0.4, 0.6, 0.8):
        kill_when(out, int(len(unbroken) * share), start(out, state))
    finish(start(out, state))
    assert out.read_bytes() == unbroken


def test_a_recovery_directory_belongs_to_one_job_at_a_time(tmp_path: Path, unbroken: bytes) -> None:
    out, state = tmp_path / "lists.jsonl", tmp_path / "state"
    first = start(out, state)
    while size_of(out) == 0:
        time.sleep(0.005)
    second = start(tmp_path / "other.jsonl", state)
    assert "another process is at work on this recovery directory" in second.communicate(timeout=60)[1]
    assert second.returncode == WRONG
    finish(first)
    assert out.read_bytes() == unbroken

    other_model = start(out, state, "--model", "popularity")
    assert (
        "expected the state of a job with model 'popularity'; found 'blend'" in other_model.communicate(timeout=60)[1]
    )
    assert other_model.returncode == WRONG


def test_damaged_state_is_refused_in_one_line(tmp_path: Path) -> None:
    out, state = tmp_path / "lists.jsonl", tmp_path / "state"
    finish(start(out, state, "--limit", "2000"))
    (base,) = (state / "state" / "learn").glob("*.base")
    data = bytearray(base.read_bytes())
    data[len(data) // 2] ^= 1
    base.write_bytes(data)
    again = start(out, state)
    said = again.communicate(timeout=60)[1]
    assert again.returncode == WRONG
    assert f"{base.name}: the record at byte 0 is damaged. Restore the recovery directory" in said
    assert "Traceback" not in said


def test_the_job_says_what_it_is(tmp_path: Path) -> None:
    finish(start(tmp_path / "lists.jsonl", tmp_path / "state", "--limit", "10"))
    job = orjson.loads((tmp_path / "state" / "job.json").read_bytes())
    assert job == {"format": 1, "model": "blend", "repeats": "exclude", "input": str(EVENTS)}
