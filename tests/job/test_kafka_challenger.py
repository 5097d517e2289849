"""A challenger on a real broker: killed at any moment, added, changed and dropped, while the champion goes on."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from tests.support.flow import records_of
from tests.support.gate import kill
from tests.support.kafka_jobs import Job, produce

pytestmark = pytest.mark.kafka

CHAMPION, CHALLENGER, OTHER = "popularity", "covisitation", "popularity(half_life=100.0)"
COUNT = 3_000


@pytest.fixture
def job(new_job: Callable[..., Job]) -> Job:
    return new_job(MODEL=CHAMPION, CHALLENGER=CHALLENGER)


def log_of(job: Job, tmp_path: Path, first: int = 0, end: int = COUNT) -> Path:
    path = tmp_path / f"{job.events}.jsonl"
    path.write_bytes(b"".join(record + b"\n" for record in records_of(EVENTS, end)[first:]))
    return path


def lists_of_champion(job: Job, tmp_path: Path) -> list[bytes]:
    """Return the lists of a champion that never had a challenger and was never killed."""
    out = tmp_path / "lists.jsonl"
    replay(log_of(job, tmp_path), Settings(model=CHAMPION, fallback=False), out=out)
    return out.read_bytes().splitlines()


def told(said: str) -> str:
    """Return the last sentence of a job about its challenger."""
    return re.findall(r"(challenger .* hit rate .*)", said)[-1]


def test_killed_job_counts_each_event_once_for_both_models(job: Job, tmp_path: Path) -> None:
    produce(job.broker, job.events, records_of(EVENTS, COUNT))
    for event in (700, 900):
        kill(job.start_gated(event))
    sentence = told(job.run_to_the_end())
    settings = Settings(model=CHAMPION, challenger=CHALLENGER, fallback=False)
    challenge = replay(log_of(job, tmp_path), settings).challenge
    assert challenge is not None
    assert sentence == challenge.sentence()
    assert f"on {COUNT:,} events" in sentence
    assert list(job.answered().values()) == lists_of_champion(job, tmp_path)


def test_challenger_comes_changes_and_goes_and_the_champion_goes_on(job: Job, tmp_path: Path) -> None:
    records, phases = records_of(EVENTS, COUNT), ("", CHALLENGER, OTHER, "", CHALLENGER)
    size = COUNT // len(phases)
    for number, challenger in enumerate(phases):
        job.variables.pop("CHALLENGER", None)
        if challenger:
            job.variables["CHALLENGER"] = challenger
        produce(job.broker, job.events, records[number * size : (number + 1) * size])
        kill(job.start_gated(size // 2))
        said = job.run_to_the_end()
        if challenger:
            assert f"on {size:,} events" in told(said), "it begins empty, and each event counts once"
        else:
            assert "challenger" not in said
    assert list(job.answered().values()) == lists_of_champion(job, tmp_path)
