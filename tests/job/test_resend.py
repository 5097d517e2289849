"""`freshrank resend` on a real broker: dead letters go back into the input, each once, as the records they were."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from flows.errors import UsageError
from flows.job.resend import resend
from flows.job.run import run
from flows.kafka.topic_range import TopicRange
from flows.settings import Settings
from tests.support.kafka_fixtures import AnyBroker, NewTopic

pytestmark = pytest.mark.kafka

Make = Callable[..., Settings]


@pytest.fixture
def make(broker: AnyBroker, new_topic: NewTopic, tmp_path: Path) -> Make:
    """Make settings of a job that reads a new topic of two partitions."""
    topic = new_topic(2)

    def of(**settings: object) -> Settings:
        names = {"output_topic": f"{topic}-lists", "dead_letter_topic": f"{topic}-rejects", "group": topic}
        where = {"bootstrap": broker.bootstrap, "recovery": tmp_path / "state", "model": "popularity"}
        return Settings.model_validate({"input_topic": topic, **names, **where, **settings})

    return of


def produce(settings: Settings, *records: tuple[int, object, bytes | None]) -> None:
    producer = Producer(settings.client())
    for partition, value, key in records:
        text = value if isinstance(value, bytes) else orjson.dumps(value)
        headers: list[tuple[str, str | bytes | None]] = [("trace", b"t1"), ("reason", b"theirs")]
        producer.produce(settings.input_topic, text, key, partition, headers=headers, timestamp=1_382_021_321_500)
    assert producer.flush(120) == 0


def consume(settings: Settings, topic: str, partition: int, first: int = 0) -> list[Message]:
    """Read a partition, without what transactions leave there."""
    consumer = Consumer({**settings.client(), "group.id": "reader", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, partition, first)])
    messages: list[Message] = []
    while (message := consumer.poll(20)) is not None and message.error() is None:
        messages.append(message)
    consumer.close()
    return messages


def test_mended_dead_letters_are_sent_with_key_headers_time_and_partition(make: Make) -> None:
    mended = make(fields={"user": "who"})
    bad = {"who": "ann", "item": "tea", "timestamp": 1}
    produce(mended, (1, bad, b"ann"), (0, bad, None), (0, b"{", b"k"), (1, {**bad, "item": "jam"}, b"ann"))
    run(make(), stop_at_end=True)
    letters = consume(mended, mended.dead_letter_topic, 0)
    assert sorted(letter.key() for letter in letters) == sorted(
        [b"ann", f"{mended.input_topic}/0/0".encode(), b"k", b"ann"]
    )

    dry = resend(mended, is_dry=True)
    assert (dry.sent, dict(dry.still_bad)) == (3, {"not JSON": 1})
    assert len(consume(mended, mended.dead_letter_topic, 0)) == 4
    assert resend(mended).sent == 3
    again = resend(mended)
    assert (again.sent, again.before, again.still_bad.total()) == (0, 3, 1)

    first, second = consume(mended, mended.input_topic, 1, first=2)
    [third] = consume(mended, mended.input_topic, 0, first=2)
    for message, key in ((first, b"ann"), (second, b"ann"), (third, None)):
        assert message.key() == key
        assert message.headers() == [("trace", b"t1"), ("reason", b"theirs")]
        assert message.timestamp()[1] == 1_382_021_321_500
    assert orjson.loads(second.value() or b"")["item"] == "jam"
    counters = run(mended, stop_at_end=True)
    assert (counters.learned, counters.rejected.total()) == (3, 0)


def test_letters_are_chosen_by_reason_and_range_or_sent_as_they_are(make: Make) -> None:
    settings = make()
    produce(settings, (0, b"{", b"a"), (0, {"item": "i", "timestamp": 1}, b"b"), (0, b"{", b"c"))
    run(settings, stop_at_end=True)
    assert resend(settings, anyway=True, reasons=["missing field"]).sent == 1
    assert resend(settings, TopicRange(first=2), anyway=True).sent == 1
    done = resend(settings, anyway=True)
    assert (done.sent, done.before) == (1, 2)
    assert done.sentence("events", is_dry=False) == "dead letters sent to events: 1; sent before: 2."
    assert [message.key() for message in consume(settings, settings.input_topic, 0, first=3)] == [b"b", b"c", b"a"]
    run(settings, stop_at_end=True)
    assert resend(settings).still_bad == {"not JSON": 2, "missing field": 1}, "they were rejected a second time"


def test_a_topic_that_is_not_there_is_named(make: Make) -> None:
    with pytest.raises(UsageError, match="`dead_letter_topic`"):
        resend(make(dead_letter_topic="nowhere"))
