"""Check that the input is keyed by user: all events of a user are in one partition, and so in one shard."""

import time
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.job.decoder import decoder_of
from flows.kafka.errors import SILENCE_STDERR
from flows.messages import Interaction, Raw
from flows.settings import Settings

TAIL: Final = 200
"""Number of the latest records of each partition that are read."""
_SECONDS: Final = 3.0


class Keys(NamedTuple):
    """What the latest records say."""

    events: int
    unkeyed: int
    """Interactions whose record has no key."""
    scattered: int
    """Users with events in several partitions."""
    users: int

    def warning(self, topic: str) -> str | None:
        """Say what is wrong. None: nothing is."""
        if not (self.unkeyed or self.scattered):
            return None
        return (
            f"Topic {topic!r} (`input_topic`) is not keyed by user: of its latest {self.events:,} interactions "
            f"{self.unkeyed:,} have no key, and {self.scattered:,} of {self.users:,} users are in several partitions. "
            "Each shard would know a part of such a user. Write the events with the user's id as the key."
        )


def look_at_keys(settings: Settings, topic: str) -> Keys:
    """Read the end of a topic. A topic that cannot be read in time counts as empty."""
    config: dict[str, Any] = {
        **SILENCE_STDERR,
        "fetch.wait.max.ms": 20,
        **settings.client(),
        "group.id": "freshrank-looks",
        "enable.auto.commit": False,
    }
    consumer, decode = Consumer(config), decoder_of(settings)
    events, unkeyed, homes, left = 0, 0, dict[str, set[int]](), dict[int, int]()
    try:
        wanted = 0
        for number in consumer.list_topics(topic, timeout=_SECONDS).topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_SECONDS)
            if high > low:
                left[number] = max(low, high - TAIL)
                wanted += high - left[number]
        consumer.assign([TopicPartition(topic, number, start) for number, start in left.items()])
        deadline = time.monotonic() + _SECONDS
        while wanted > 0 and time.monotonic() < deadline:
            found = consumer.consume(min(TAIL, wanted), 0.2)
            if not found and events:
                break
            wanted -= len(found)
            for message in found:
                if message.error() is not None:
                    continue
                raw = Raw(topic, message.partition() or 0, message.offset() or 0, message.value(), message)
                event = decode(raw, 0.0)
                if isinstance(event, Interaction):
                    events += 1
                    unkeyed += message.key() is None
                    homes.setdefault(event.user, set()).add(raw.partition)
    except KafkaException:
        pass  # other checks say why it cannot be read
    finally:
        consumer.close()
    return Keys(events, unkeyed, sum(len(each) > 1 for each in homes.values()), len(homes))
