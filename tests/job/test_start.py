"""Start of a job with an empty state or changed offsets of its group, by the commands."""

import shutil
from collections.abc import Callable

import orjson
import pytest
from confluent_kafka import Producer

from tests.support.flow import sample_records
from tests.support.kafka_broker import make_topic
from tests.support.kafka_jobs import Job, produce

pytestmark = pytest.mark.kafka


def end_of(job: Job, *arguments: str) -> tuple[int, str]:
    process = job.start("--stop-at-end", *arguments)
    said = process.communicate(timeout=600)[1]
    return process.returncode, said


def test_a_lost_recovery_directory_stops_the_job_until_somebody_chooses(new_job: Callable[..., Job]) -> None:
    job = new_job(MODEL="popularity")
    records = sample_records(300)
    produce(job.broker, job.events, records[:200])
    job.run_to_the_end()
    shutil.rmtree(job.state)
    for _ in range(2):
        status, said = end_of(job)
        assert status == 2
        assert f"group '{job.events}' has read {job.events}/0 to offset 200" in said
        assert "--from-start" in said
    produce(job.broker, job.events, records[200:])
    status, said = end_of(job, "--from-start")
    assert status == 0, said
    assert "300 events learned" in said
    assert "0 events learned" in job.run_to_the_end(), "the choice was for once"
    assert end_of(job, "--from-start", "--from-group")[0] == 2


def test_a_job_reads_interactions_and_item_events_from_topics_of_their_own(new_job: Callable[..., Job]) -> None:
    job = new_job(MODEL="popularity", TOP=3)
    clicks, items = job.events, f"{job.events}-items"
    produce(job.broker, clicks, sample_records(100))
    job.run_to_the_end()
    job.variables["INPUT_TOPIC"] = f"{clicks},{items}"
    assert f"Topic '{items}' is not on the brokers" in end_of(job)[1]
    hidden = orjson.loads(sample_records(1)[0])["item"]
    make = Producer({"bootstrap.servers": job.broker.bootstrap})
    make_topic(job.broker.bootstrap, items, 2)
    make.produce(items, orjson.dumps({"kind": "item", "item": hidden, "timestamp": 2e9, "available": False}))
    assert make.flush(120) == 0
    produce(job.broker, clicks, sample_records(150)[100:])
    said = job.run_to_the_end()
    assert "50 events learned" in said, "the state of the first topic goes on"
    assert "1 item events" in said
