"""Latest source positions on the output topic: the last event of each input partition that has a list there."""

import logging
import time
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.kafka.errors import SILENCE_STDERR, Config, explain_error
from flows.kafka.position import Place, place_of

logger = logging.getLogger(__name__)

TAIL: Final = 1_000
"""Number of the latest messages of each partition that are read."""
_SECONDS: Final = 2.0


def latest_source_positions(config: Config, topic: str) -> dict[Place, int]:
    """Return the offset of the last event whose list is on the output topic, by the event's topic and partition.

    The result only serves to count redelivered lists. If the topic cannot be read, for instance without the right to,
    a log line says so and the result is empty.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        topic: The output topic.
    """
    # A consumer must name a group. This one neither joins it nor commits.
    settings: dict[str, Any] = {**SILENCE_STDERR, **config, "group.id": "freshrank-looks", "enable.auto.commit": False}
    consumer = Consumer(settings)
    try:
        return _read(consumer, topic)
    except (KafkaException, TimeoutError) as error:
        said = explain_error(config, f"reading the last lists of topic {topic!r}", error)
        logger.info("%s Lists that are delivered again will not be counted as such.", said)
        return {}
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str) -> dict[Place, int]:
    missing: dict[int, int] = {}
    """Offset up to which each partition must still be read."""
    wanted = 0
    """Number of messages left to read, if no offset is without one."""
    starts: list[TopicPartition] = []
    for number in consumer.list_topics(topic, timeout=_SECONDS).topics[topic].partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_SECONDS)
        if high > low:
            missing[number] = high
            starts.append(TopicPartition(topic, number, max(low, high - TAIL)))
            wanted += high - starts[-1].offset
    found: dict[Place, int] = {}
    deadline = time.monotonic() + _SECONDS
    consumer.assign(starts)
    while missing:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no answer within {_SECONDS:.0f} s")
        messages = consumer.consume(max(1, min(TAIL, wanted)), 0.2)  # with a larger number it would wait in vain
        wanted -= len(messages)
        for message in messages:
            if (fault := message.error()) is not None:
                raise KafkaException(fault)
            number, offset = message.partition(), message.offset()
            if number is None or offset is None:
                continue
            _note(found, message.value())
            if offset + 1 >= missing.get(number, 0):
                missing.pop(number, None)
    return found


def _note(found: dict[Place, int], value: bytes | None) -> None:
    """Note the source position of a list. Tombstones have none, and messages of other programs are ignored."""
    try:
        source = orjson.loads(value or b"null")["source"]
        partition, _, offset = source.rpartition("/")
        place = place_of(partition)
        found[place] = max(found.get(place, -1), int(offset))
    except (ValueError, TypeError, KeyError, AttributeError):
        return
