"""Related and trending items on a real broker: the topics that the job makes, and what it writes there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.kafka.probe import cleanup_policies
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from tests.support.flow import records_of
from tests.support.kafka_jobs import Job, consume, produce

pytestmark = pytest.mark.kafka

RATES = {"related": 1.0, "trending": 0.25}


def test_topics_are_compacted_and_hold_the_bytes_of_a_replay(new_job: Callable[..., Job], tmp_path: Path) -> None:
    job = new_job(REPEATS="exclude", RELATED=RATES["related"], TRENDING=RATES["trending"])
    topics = {kind: f"{job.events}-{kind}" for kind in RATES}
    job.variables |= {f"{kind.upper()}_TOPIC": topic for kind, topic in topics.items()}
    records = records_of(EVENTS, 1_500)
    produce(job.broker, job.events, records)
    said = job.run_to_the_end()
    assert "lists of related items" in said

    log = tmp_path / f"{job.events}.jsonl"
    log.write_bytes(b"".join(record + b"\n" for record in records))
    files = {kind: tmp_path / f"{kind}.jsonl" for kind in RATES}
    settings = Settings(repeats="exclude", fallback=False, **RATES)
    replay(log, settings, related_out=files["related"], trending_out=files["trending"])
    policies = cleanup_policies({"bootstrap.servers": job.broker.bootstrap}, list(topics.values()))
    for kind, topic in topics.items():
        assert policies[topic] == "compact"
        lists = [message.value() for message in consume(job.broker, topic)]
        assert lists == files[kind].read_bytes().splitlines()
        assert lists
