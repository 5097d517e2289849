"""`freshrank run` on a real broker: every event gets its list, also after a kill."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from flows.sample import EVENTS
from tests.support.flow import records_of, to_json
from tests.support.gate import kill
from tests.support.kafka_fixtures import AnyBroker, NewTopic, committed, until
from tests.support.kafka_jobs import Job, consume, produce, replayed

pytestmark = pytest.mark.kafka


def test_kafka_and_file_give_the_same_bytes(new_job: Callable[..., Job], tmp_path: Path) -> None:
    job = new_job(REPEATS="exclude")
    records = records_of(EVENTS, 5_000)
    produce(job.broker, job.events, records)
    job.run_to_the_end()
    messages = consume(job.broker, job.lists)
    assert [message.value() for message in messages] == replayed(job, records, tmp_path, "exclude")
    assert all(message.key() == orjson.loads(message.value() or b"")["user"].encode() for message in messages)
    assert committed(job.broker.bootstrap, job.events, 1, job.events) == [5_000]


def test_killed_and_resumed_loses_nothing(new_job: Callable[..., Job], tmp_path: Path) -> None:
    job = new_job(REPEATS="exclude")
    records = records_of(EVENTS, 6_000)
    produce(job.broker, job.events, records)
    kill(job.start_gated(2_000))
    assert 0 < job.emitted() < len(records)
    job.run_to_the_end()
    lists = {
        orjson.loads(message.value() or b"")["source"]: message.value() for message in consume(job.broker, job.lists)
    }
    assert list(lists.values()) == replayed(job, records, tmp_path, "exclude")


def test_rejects_and_erasures_reach_their_topics(new_job: Callable[..., Job]) -> None:
    job = new_job()
    forget = b'{"kind": "forget", "user": "u1", "timestamp": 3}'
    good = [to_json(f"u{n},i{n},{n},click,1") for n in (1, 2)]
    produce(job.broker, job.events, [*good, b"\xff garbage", forget])
    said = job.run_to_the_end()
    assert "1 rejected (1 not UTF-8)" in said
    lists = consume(job.broker, job.lists)
    assert [(message.key(), message.value() is None) for message in lists] == [
        (b"u1", False),
        (b"u2", False),
        (b"u1", True),
    ]
    (letter,) = consume(job.broker, job.rejects)
    assert letter.value() == b"\xff garbage"
    headers = dict(letter.headers() or [])  # type: ignore[arg-type]
    assert headers.pop("original_time").isdigit()  # type: ignore[union-attr]
    told = {"source": f"{job.events}/0/2".encode(), "reason": b"not UTF-8", "field": b"", "original_key": b"none"}
    assert headers == told


def test_every_event_of_a_real_log_gets_a_list(new_job: Callable[..., Job], real_log: Callable[[str], Path]) -> None:
    job = new_job(REPEATS="exclude")
    produce(job.broker, job.events, records_of(real_log("ml-100k")))
    job.run_to_the_end()
    messages = consume(job.broker, job.lists)
    assert len(messages) == 100_000
    assert len({orjson.loads(message.value() or b"")["source"] for message in messages}) == 100_000


def test_a_missing_topic_is_named_with_its_setting(broker: AnyBroker, new_job: Callable[..., Job]) -> None:
    job = new_job(INPUT_TOPIC="no-such-topic")
    process = job.start()
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 2
    assert "no-such-topic" in said
    assert "`input_topic`" in said


def test_the_engines_own_command_runs_and_resumes_it(
    new_job: Callable[..., Job], tmp_path: Path, new_topic: NewTopic
) -> None:
    job = new_job(REPEATS="exclude")
    job.lists, job.rejects = new_topic(), new_topic()
    job.variables |= {"OUTPUT_TOPIC": job.lists, "DEAD_LETTER_TOPIC": job.rejects}
    records = records_of(EVENTS, 4_000)
    for end in (2_000, 4_000):
        produce(job.broker, job.events, records[end - 2_000 : end])
        process = job.start_by_engine()
        until(lambda end=end: committed(job.broker.bootstrap, job.events, 1, job.events) == [end])  # type: ignore[misc]
        process.kill()
        process.communicate()
    lists = {
        orjson.loads(message.value() or b"")["source"]: message.value() for message in consume(job.broker, job.lists)
    }
    assert list(lists.values()) == replayed(job, records, tmp_path, "exclude")
