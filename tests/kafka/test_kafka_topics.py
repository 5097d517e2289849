"""Topics on a real broker: several topics, recreated ones, reset offsets, transactions, and added partitions."""

import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # forgotten re-export

from flows.errors import UsageError
from flows.kafka.errors import KafkaJobError
from flows.kafka.lag import Lag
from flows.kafka.source import KafkaSource
from flows.kafka.start_offsets import StartError
from flows.kafka.topics import TopicChoice
from flows.messages import Raw
from flows.monitoring.counters import Counters
from flows.monitoring.instrumented_source import InstrumentedSource
from tests.support.kafka_broker import make_topic
from tests.support.kafka_fixtures import AnyBroker, NewTopic, config, delete_before, fill, offsets, run, until

pytestmark = pytest.mark.kafka


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


def source_of(broker: AnyBroker, topic: str, group: str, **options: Any) -> KafkaSource:
    return KafkaSource(config(broker.bootstrap, group_id=group), topic, stop_at_end=True, **options)


def kept_after(broker: AnyBroker, topic: str, group: str, count: int) -> dict[str, Any]:
    """Read so many records of a topic with one partition, commit, and return what the engine would keep."""
    source = source_of(broker, topic, group)
    part, got = source.build_part("in", "0", None), list[Raw]()
    until(lambda: got.extend(part.next_batch()) or len(got) >= count)
    kept = part.snapshot()
    part.close()
    source.close()
    return kept


def begin(source: KafkaSource, kept: Any) -> list[int]:
    part = source.build_part("in", "0", kept)
    begun = offsets(part)
    with suppress(StopIteration):  # it begins at the end
        part.next_batch()
    return begun


def made_anew(broker: AnyBroker, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([topic])[topic].result(20)
    until(lambda: topic not in admin.list_topics(timeout=5).topics)
    make_topic(broker.bootstrap, topic)


def test_several_topics_and_a_pattern_are_read(broker: AnyBroker, group: str) -> None:
    name = uuid.uuid4().hex[:8]
    topics = [f"{name}.clicks", f"{name}.items"]
    for parts, topic in enumerate(topics, 1):
        make_topic(broker.bootstrap, topic, parts)
        fill(broker.bootstrap, topic, 6, parts=parts)
    everything = sorted((topic, number % parts) for parts, topic in enumerate(topics, 1) for number in range(6))
    for choice in (",".join(topics), rf"^{name}[.].*"):
        source = source_of(broker, choice, f"{group}{choice[0]}")
        names = source.list_parts()
        main = ["0"] if choice[0] != "^" else [f"{topics[0]}/0"]
        assert names == [*main, f"{topics[1]}/0", f"{topics[1]}/1"]
        assert sorted((raw.topic, raw.partition) for raw in run(source)) == everything


def test_a_topic_that_begins_to_match_is_read_while_the_job_runs(broker: AnyBroker, group: str) -> None:
    name = uuid.uuid4().hex[:8]
    make_topic(broker.bootstrap, f"{name}.a")
    settings = config(broker.bootstrap, group_id=group, statistics_interval_ms=100)
    source = KafkaSource(settings, rf"^{name}[.].*")
    part = source.build_part("in", f"{name}.a/0", None)
    part.next_batch()
    make_topic(broker.bootstrap, f"{name}.b", 2)
    fill(broker.bootstrap, f"{name}.b", 4, parts=2)
    got: list[Raw] = []
    until(lambda: got.extend(part.next_batch()) or len(got) == 4)
    assert {(raw.topic, raw.partition) for raw in got} == {(f"{name}.b", 0), (f"{name}.b", 1)}
    assert offsets(part) == [0, 2, 2]


@pytest.mark.parametrize("choice", ["", "a,,b", "a,a", "^(", ","])
def test_a_choice_that_names_no_topics_is_refused(choice: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        TopicChoice(choice)


def test_a_topic_that_was_made_anew_is_noticed_though_it_is_longer(
    broker: AnyBroker, new_topic: NewTopic, group: str
) -> None:
    topic = new_topic()
    fill(broker.bootstrap, topic, 5)
    kept = kept_after(broker, topic, group, 5)
    assert begin(source_of(broker, topic, group), kept) == [5]
    made_anew(broker, topic)
    fill(broker.bootstrap, topic, 9)
    with pytest.raises(KafkaJobError, match=r"was deleted and made anew since .* `lost_offsets` to continue"):
        begin(source_of(broker, topic, group), kept)
    assert begin(source_of(broker, topic, group, lost="continue"), kept) == [0]
    assert begin(source_of(broker, topic, group), 5) == [5], "version 0.1.0 kept no id"


def test_a_topic_that_is_made_anew_while_it_is_read_ends_the_job(
    broker: AnyBroker, new_topic: NewTopic, group: str
) -> None:
    topic = new_topic()
    fill(broker.bootstrap, topic, 1)
    settings = config(broker.bootstrap, group_id=group, statistics_interval_ms=100)
    part = KafkaSource(settings, topic).build_part("in", "0", None)
    until(part.next_batch)
    made_anew(broker, topic)
    fill(broker.bootstrap, topic, 50)
    with pytest.raises(KafkaJobError, match=rf"{topic}"):
        until(lambda: part.next_batch() and False)


def test_an_empty_state_is_not_begun_with_where_the_group_has_read(
    broker: AnyBroker, new_topic: NewTopic, group: str
) -> None:
    topic = new_topic()
    fill(broker.bootstrap, topic, 5)
    assert begin(source_of(broker, topic, group, expects_state=True), None) == [0], "nobody has read it"
    kept = kept_after(broker, topic, group, 5)
    with pytest.raises(StartError, match=rf"has read {topic}/0 to offset 5: .*--from-start.*--from-group"):
        begin(source_of(broker, topic, group, expects_state=True), None)
    assert begin(source_of(broker, topic, group, expects_state=True, begin_from="group"), None) == [5]
    assert begin(source_of(broker, topic, group, expects_state=True, begin_from="start"), None) == [0]
    assert begin(source_of(broker, topic, group, expects_state=True), kept) == [5]
    assert begin(source_of(broker, topic, group), None) == [5], "without a recovery directory there is no state to miss"


@pytest.mark.parametrize("reset", [2, 8])
def test_a_reset_of_the_groups_offsets_is_obeyed_or_refused_by_name(
    broker: AnyBroker, new_topic: NewTopic, group: str, reset: int
) -> None:
    topic = new_topic()
    fill(broker.bootstrap, topic, 9)
    delete_before(broker.bootstrap, topic, 1)
    kept = kept_after(broker, topic, group, 5)
    assert begin(source_of(broker, topic, group), kept) == [offsets_in(kept)]
    commit(broker, topic, group, reset)
    with pytest.raises(StartError, match=rf"{topic}/0: somebody has set .* to offset {reset}.*--from-group"):
        begin(source_of(broker, topic, group), kept)
    assert begin(source_of(broker, topic, group, begin_from="group"), kept) == [reset]
    assert begin(source_of(broker, topic, group, begin_from="state"), kept) == [offsets_in(kept)]
    assert begin(source_of(broker, topic, group, begin_from="start"), kept) == [1]
    assert begin(source_of(broker, topic, group), offsets_in(kept)) == [offsets_in(kept)], "0.1.0 marked no commits"


def offsets_in(kept: dict[str, Any]) -> int:
    return next(iter(kept["offsets"].values()))


def commit(broker: AnyBroker, topic: str, group: str, offset: int) -> None:
    """Set a group's offset as Kafka's own command does."""
    consumer = Consumer(dict(config(broker.bootstrap, group_id=group)))
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


def test_offsets_that_others_committed_before_the_job_are_no_reset(
    broker: AnyBroker, new_topic: NewTopic, group: str
) -> None:
    topic = new_topic()
    fill(broker.bootstrap, topic, 9)
    commit(broker, topic, group, 3)
    part = source_of(broker, topic, group).build_part("in", "0", None)
    until(part.next_batch)
    kept = part.snapshot()  # the process is killed before it commits
    assert begin(source_of(broker, topic, group), kept) == [9]


def transact(broker: AnyBroker, topic: str, values: Iterable[bytes], *, is_committed: bool | None) -> Producer:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": f"t-{uuid.uuid4().hex}"})
    producer.init_transactions(20)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.flush(120)
    if is_committed is not None:
        (producer.commit_transaction if is_committed else producer.abort_transaction)(20)
    return producer


def test_lag_of_a_topic_with_transactions_counts_what_can_be_read(
    broker: AnyBroker, new_topic: NewTopic, group: str
) -> None:
    topic = new_topic()
    transact(broker, topic, [b"1", b"2"], is_committed=True)
    transact(broker, topic, [b"3"] * 5, is_committed=False)
    watched = InstrumentedSource(KafkaSource(config(broker.bootstrap, group_id=group), topic), Counters())
    lag = Lag({"bootstrap.servers": broker.bootstrap}, watched.positions)
    part, got = watched.build_part("in", "0", None), list[Raw]()
    until(lambda: got.extend(part.next_batch()) or len(got) == 2)

    def has_no_lag() -> bool:
        part.next_batch()
        part.snapshot()
        return lag() == {(topic, 0): 0}

    until(has_no_lag)
    pending = transact(broker, topic, [b"4"] * 3, is_committed=None)
    assert lag() == {(topic, 0): 0}
    pending.commit_transaction(20)
    until(lambda: lag()[topic, 0] >= 3)
    until(lambda: got.extend(part.next_batch()) or len(got) == 5)
    until(has_no_lag)


@pytest.mark.usefixtures("patient_merge")
def test_catch_up_of_several_partitions_is_in_order_of_time(broker: AnyBroker, new_topic: NewTopic, group: str) -> None:
    topic, producer = new_topic(4), Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(4_000):
        producer.produce(topic, b"%d" % number, partition=number * 7 % 4, timestamp=1_000_000 + number)
    assert producer.flush(120) == 0
    got = [int(raw.value or b"") for raw in run(source_of(broker, topic, group))]
    assert got == list(range(4_000))


@pytest.mark.usefixtures("patient_merge")
def test_added_partitions_are_merged_by_time_after_a_restart(
    broker: AnyBroker, new_topic: NewTopic, group: str
) -> None:
    topic = new_topic()
    fill(broker.bootstrap, topic, 5)
    kept = kept_after(broker, topic, group, 5)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_partitions([NewPartitions(topic, 4)])[topic].result(20)
    until(lambda: len(admin.list_topics(topic, timeout=5).topics[topic].partitions) == 4)
    fill(broker.bootstrap, topic, 400, parts=4)
    source = source_of(broker, topic, group)
    parts = [source.build_part("in", name, kept if name == "0" else None) for name in source.list_parts()]
    got: list[Raw] = []
    while len(got) < 400:
        got += parts[0].next_batch()
    times = [raw.carrier.timestamp()[1] for raw in got if raw.carrier]
    assert times == sorted(times)
    assert offsets(parts[0]) == [105, 100, 100, 100]
    assert [offsets(part) for part in parts[1:]] == [[100]] * 3
