"""Begin of topics: where a job would start to read them, and the first records there."""

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from flows.kafka.admin import connect
from flows.kafka.errors import SILENCE_STDERR, Config, explain_error, retry
from flows.kafka.position import Place, name_of
from flows.kafka.start_offsets import Committed
from flows.kafka.topic_range import TopicRange, read_partition
from flows.kafka.topics import TopicChoice
from flows.messages import Raw

_SECONDS = 10.0


class Ends(NamedTuple):
    """What a partition holds, and what its group has committed."""

    low: int
    """Offset of the first record."""
    high: int
    """Offset of the next record to come."""
    committed: Committed


def ends_of(config: Config, topics: TopicChoice) -> dict[Place, Ends]:
    """Return the ends of all partitions of some topics.

    Args:
        config: librdkafka consumer settings with `bootstrap.servers` and `group.id`. Nothing is committed.
        topics: The topics.

    Raises:
        KafkaJobError: No broker answers, or a topic may not be read.
    """
    doing = f"asking for the offsets of topic {topics.text!r}"
    _, cluster = connect(config, _SECONDS)
    places = [
        TopicPartition(topic, number)
        for topic in topics.among(cluster.topics)
        for number in sorted(cluster.topics[topic].partitions)
    ]
    settings: dict[str, Any] = {**SILENCE_STDERR, **config, "enable.auto.commit": False}
    consumer = retry(config, doing, lambda: Consumer(settings))
    try:
        found: dict[Place, Ends] = {}
        for each in retry(config, doing, lambda: consumer.committed(places, timeout=_SECONDS)) if places else []:
            if each.error is not None:
                raise explain_error(config, doing, each.error)
            place = (each.topic, each.partition)
            request = partial(consumer.get_watermark_offsets, TopicPartition(*place), timeout=_SECONDS)
            low, high = retry(config, f"asking for the offsets of {name_of(place)}", request)
            found[place] = Ends(low, high, Committed(each.offset, each.metadata or ""))
        return found
    finally:
        consumer.close()


def records_at(config: Config, places: Iterable[tuple[Place, int]], count: int) -> list[Raw]:
    """Return the first records of partitions from an offset on, at most `count` of each.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        places: Partitions, each with its offset.
        count: Number of records.
    """
    found: list[Raw] = []
    for (topic, number), start in places:
        found += read_partition(config, topic, number, TopicRange(first=start, end=start + count))
    return found
