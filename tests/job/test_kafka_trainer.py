"""The trainer of the slow member beside a job on a real broker: both are killed, and nothing is lost."""

import os
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from flows.inspection.stored_model import read_stored
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from recmodels import Blend
from tests.support.flow import records_of
from tests.support.forks import Process
from tests.support.kafka_fixtures import until
from tests.support.kafka_jobs import Job, produce

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.deep,
    pytest.mark.skipif(find_spec("jax") is None, reason="needs the extra: pip install 'freshrank[deep]'"),
]

SLOW = "width=8, first=300, growth=100.0, epochs=1, least_steps=5, length=8, least_gain=0"
FIRST, MORE, COUNT = 400, 500, 1_200


def trainers_of(process: Process) -> set[int]:
    """Return the processes that a job has started to train."""
    children: set[int] = set()
    for path in Path(f"/proc/{process.pid}/task").glob("*/children"):
        children |= set(map(int, path.read_text().split()))
    return {pid for pid in children if b"flows.trainer.process" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def manifests(job: Job) -> list[Path]:
    return list((job.state / "trainer" / "0").glob("manifest-*"))


def test_killed_trainer_and_killed_job_lose_neither_a_list_nor_the_training(
    new_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = new_job(MODEL=f"blend+slow({SLOW})", REPEATS="exclude")
    records = records_of(EVENTS, COUNT)
    produce(job.broker, job.events, records[:FIRST])
    process = job.start()
    until(lambda: trainers_of(process))
    [killed] = trainers_of(process)
    os.kill(killed, signal.SIGKILL)
    until(lambda: job.emitted() == FIRST)
    produce(job.broker, job.events, records[FIRST:MORE])  # between events the job sees that its trainer is gone
    until(lambda: trainers_of(process) - {killed})
    process.kill()
    process.communicate()
    until(lambda: bool(manifests(job)))  # the second trainer outlives its job
    [manifest] = manifests(job)
    written = manifest.stat().st_mtime_ns

    produce(job.broker, job.events, records[MORE:])
    job.run_to_the_end()
    assert manifests(job) == [manifest]
    assert manifest.stat().st_mtime_ns == written, "the resumed job took what was trained, and trained nothing again"
    model = read_stored(job.state).model.unwrapped
    assert isinstance(model, Blend)
    assert model.slow_member is not None
    [(data, swap)] = model.slow_member.swaps()
    assert data == 300 < swap <= COUNT

    log, out = tmp_path / f"{job.events}.jsonl", tmp_path / "lists.jsonl"
    log.write_bytes(b"".join(record + b"\n" for record in records))
    swaps = f"blend+slow({SLOW}, swaps=(({data}, {swap}),))"
    replay(log, Settings(model=swaps, repeats="exclude", fallback=False), out=out)
    assert list(job.answered().values()) == out.read_bytes().splitlines(), "each event has the list of a replay"
