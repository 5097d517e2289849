"""`freshrank record` and `replay --from-topic`: a range of a topic becomes a log that replays as the job ran."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from flows.errors import LogError
from flows.files.open_log import open_log
from flows.files.recording import record
from flows.kafka.errors import KafkaJobError
from flows.kafka.topic_range import TopicRange, read_range
from flows.messages import Raw
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from tests.support.cli import freshrank
from tests.support.flow import records_of
from tests.support.kafka_fixtures import AnyBroker, NewTopic, config, delete_before, fill, until
from tests.support.kafka_jobs import Job, consume, produce

pytestmark = pytest.mark.kafka


def fill_at(bootstrap: str, topic: str, *records: tuple[int, int, bytes | None]) -> None:
    """Write records with their partition and the second at which Kafka is to have taken them."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for partition, second, value in records:
        producer.produce(topic, value, partition=partition, timestamp=second * 1_000)
        assert producer.flush(120) == 0


def read(broker: AnyBroker, topic: str, **wanted: float) -> list[Raw]:
    return list(read_range(config(broker.bootstrap), topic, TopicRange(**wanted)))  # type: ignore[arg-type]


def readable_end(broker: AnyBroker, topic: str) -> int:
    """The offset up to which a consumer sees whole transactions."""
    consumer = Consumer({**config(broker.bootstrap), "isolation.level": "read_committed"})
    end: int = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]
    consumer.close()
    return end


def offsets(records: list[Raw]) -> list[tuple[int, int]]:
    return [(raw.partition, raw.offset) for raw in records]


def test_a_replay_of_the_recording_gives_the_lists_of_the_job(new_job: Callable[..., Job], tmp_path: Path) -> None:
    job = new_job(REPEATS="exclude", FALLBACK="true")
    records = [*records_of(EVENTS, 3_000), b"\xff garbage", b"", *records_of(EVENTS, 3_100)[3_000:]]
    produce(job.broker, job.events, records)
    job.run_to_the_end()
    recording, out = tmp_path / "november.jsonl.zst", tmp_path / "lists.jsonl"
    variables = {"FRESHRANK_BOOTSTRAP": job.broker.bootstrap}
    done = freshrank("record", recording, "--topic", job.events, **variables)
    assert done.returncode == 0, done.stderr
    assert f"3,102 records of {job.events} are in {recording}." in done.stderr
    assert freshrank("replay", recording, "--repeats", "exclude", "--out", out).returncode == 0
    assert out.read_bytes().splitlines() == [message.value() for message in consume(job.broker, job.lists)]


def test_a_range_is_recorded_first_and_then_replayed(broker: AnyBroker, new_topic: NewTopic, tmp_path: Path) -> None:
    topic, rows = new_topic(retention_ms="-1"), records_of(EVENTS, 60)
    fill_at(broker.bootstrap, topic, *((0, 1_762_000_000 + n, row) for n, row in enumerate(rows)))
    since, before = (datetime.fromtimestamp(1_762_000_000 + n, UTC).isoformat() for n in (20, 50))
    recording, out = tmp_path / "part.jsonl", tmp_path / "lists.jsonl"
    arguments = ["--from-topic", topic, "--since", since, "--until", before, "--recording", recording, "--out", out]
    done = freshrank("replay", *arguments, FRESHRANK_BOOTSTRAP=broker.bootstrap)
    assert done.returncode == 0, done.stderr
    assert recording.read_bytes().splitlines() == rows[20:50]
    sources = [orjson.loads(line)["source"] for line in out.read_bytes().splitlines()]
    assert sources == [f"{topic}/0/{offset}" for offset in range(20, 50)]
    again = tmp_path / "again.jsonl"
    replay(recording, Settings(fallback=False), out=again)
    assert again.read_bytes() == out.read_bytes()
    refused = freshrank("replay", *arguments, FRESHRANK_BOOTSTRAP=broker.bootstrap)
    assert refused.returncode == 2
    assert "it is there already. Replay it, or name another." in refused.stderr


def test_a_range_is_recorded_once_and_then_compared(broker: AnyBroker, new_topic: NewTopic, tmp_path: Path) -> None:
    topic, rows = new_topic(retention_ms="-1"), records_of(EVENTS, 300)
    fill_at(broker.bootstrap, topic, *((0, 1_762_000_000 + n, row) for n, row in enumerate(rows)))
    recording, said = tmp_path / "part.jsonl", tmp_path / "said.json"
    part = ["--from-topic", topic, "--until", 1_762_000_000 + 200, "--recording", recording]
    asked = ["--model", "popularity", "--model", "history", "--json", said, "--results", tmp_path / "results"]
    done = freshrank("compare", *part, *asked, FRESHRANK_BOOTSTRAP=broker.bootstrap)
    assert done.returncode == 0, done.stderr
    told = orjson.loads(said.read_bytes())
    assert recording.read_bytes().splitlines() == rows[:200]
    result = replay(EVENTS, Settings(model="popularity"), limit=200)
    assert told["models"][0]["report"]["metrics"] == result.metrics
    done = freshrank("compare", recording, *asked)
    assert done.returncode == 0, done.stderr
    assert [one["was_kept"] for one in orjson.loads(said.read_bytes())["models"]] == [True, True]


def test_partitions_are_merged_by_the_time_of_their_records(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic(3, retention_ms="-1")  # the times are of long ago
    seconds = [(0, 10), (2, 12), (0, 14), (2, 13), (0, 12)]
    fill_at(broker.bootstrap, topic, *((number, second, b"%d" % second) for number, second in seconds))
    got = read(broker, topic)
    assert [raw.value for raw in got] == [b"10", b"12", b"13", b"14", b"12"], "the last is behind 14 in its partition"
    assert offsets(got) == [(0, 0), (2, 0), (2, 1), (0, 1), (0, 2)]


def test_a_range_is_by_time_or_by_offset(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic(retention_ms="-1")
    fill_at(broker.bootstrap, topic, *((0, 10 * (n + 1), b"%d" % n) for n in range(10)))
    assert offsets(read(broker, topic, since=30.0, until=60.0)) == [(0, 2), (0, 3), (0, 4)]
    assert offsets(read(broker, topic, since=25.0, until=60.5)) == [(0, 2), (0, 3), (0, 4), (0, 5)]
    assert offsets(read(broker, topic, since=15.0, until=15.0)) == []
    assert offsets(read(broker, topic, since=1e9)) == []
    assert offsets(read(broker, topic, until=1e9, first=8)) == [(0, 8), (0, 9)]
    assert offsets(read(broker, topic, first=3, end=5)) == [(0, 3), (0, 4)]
    assert offsets(read(broker, topic, end=99)) == [(0, n) for n in range(10)]
    assert offsets(read(broker, topic, first=99)) == []


def test_many_records_come_whole(broker: AnyBroker, new_topic: NewTopic, tmp_path: Path) -> None:
    topic = new_topic(2)
    fill(broker.bootstrap, topic, 20_000, parts=2, size=20)
    path = tmp_path / "e.jsonl.gz"
    assert record(topic, read_range(config(broker.bootstrap), topic, TopicRange()), path) == 20_000
    part = open_log(path, batch_size=30_000).source.build_part("test", "log", None)
    got = list(part.next_batch())
    assert sorted(offsets(got)) == [(number, offset) for number in (0, 1) for offset in range(10_000)]
    assert all(raw.value == (b"%d" % (2 * raw.offset + raw.partition)) + bytes(20) for raw in got)


def test_offsets_without_a_record_are_skipped(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(20)
    for is_kept in (True, False):
        producer.begin_transaction()
        for value in (b"a", b"b"):
            producer.produce(topic, value, partition=0)
        producer.flush(120)  # else an abort finds nothing on the topic
        producer.commit_transaction(20) if is_kept else producer.abort_transaction(20)
    until(lambda: readable_end(broker, topic) == 6, 60.0)  # the broker marks the end of a transaction a moment later
    assert offsets(read(broker, topic)) == [(0, 0), (0, 1)]


def test_records_that_retention_removed_are_said_to_be_gone(broker: AnyBroker, new_topic: NewTopic) -> None:
    topic = new_topic()
    fill(broker.bootstrap, topic, 10)
    delete_before(broker.bootstrap, topic, 4)
    assert offsets(read(broker, topic))[0] == (0, 4)
    with pytest.raises(LogError, match=f"{topic}/0: expected to record from offset 2; the topic holds 4 to 10"):
        read(broker, topic, first=2)


def test_a_topic_that_is_not_there_leaves_no_file(broker: AnyBroker, tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    with pytest.raises(KafkaJobError, match="no-such-topic"):
        record("no-such-topic", read_range(config(broker.bootstrap), "no-such-topic", TopicRange()), path)
    assert list(tmp_path.iterdir()) == []
