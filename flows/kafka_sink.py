"""The flow's sink on Kafka: every message is delivered, or the job stops and says which was not."""

import logging
from typing import Any

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from flows.kafka_trouble import QUIET, Config, ErrorWatch, KafkaTrouble, ask, trouble
from flows.messages import Outgoing

logger = logging.getLogger(__name__)

_DEFAULTS: dict[str, Any] = {
    **QUIET,
    "acks": "all",
    "enable.idempotence": True,  # a retry neither repeats nor reorders
    "linger.ms": 0.5,
    "partitioner": "murmur2_random",  # the partition a Java client would choose for the key
    "queue.buffering.max.kbytes": 65_536,
}
_FULL_SECONDS = 0.05
_FLUSH_SECONDS = 5.0


class KafkaSink(FixedPartitionedSink[Outgoing, None]):
    """Writes messages to a topic, in order per key, and knows of each whether it arrived.

    Takes `(key, Outgoing)` pairs; the pair's key only routes within the flow, the message has its own. Deliveries are
    awaited at the end of every epoch: an epoch is durable only if its messages are.

    Args:
        config: librdkafka producer settings with `bootstrap.servers`. How long a message may wait for a broker is
            `message.timeout.ms`, by librdkafka's default five minutes.
        topic: The topic to write to.

    Raises:
        KafkaTrouble: From the running flow: a message was refused or could not be delivered in time.
    """

    def __init__(self, config: Config, topic: str) -> None:
        self.config = config
        self.topic = topic
        self.delivered = 0
        """How many messages the brokers have acknowledged."""

    def list_parts(self) -> list[str]:
        """Name the one part; the topic's own partitions are the producer's business."""
        return ["0"]

    def part_fn(self, item_key: str) -> int:
        """Route everything to the one part."""
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Part":
        """Make a producer; see the engine's interface."""
        return _Part(self)


class _Part(StatefulSinkPartition[Outgoing, None]):
    """One producer."""

    def __init__(self, sink: KafkaSink) -> None:
        self._sink = sink
        self._failure: KafkaTrouble | None = None
        self._watch = ErrorWatch(sink.config, f"writing topic {sink.topic!r}")
        settings: dict[str, Any] = {**_DEFAULTS, **sink.config, "error_cb": self._watch}
        self._producer = ask(sink.config, f"opening topic {sink.topic!r}", lambda: Producer(settings))

    def write_batch(self, values: list[Outgoing]) -> None:
        for message in values:
            self._produce(message)
        self._producer.poll(0)
        self._check()

    def snapshot(self) -> None:
        """Wait until everything has arrived: the epoch must not be durable before its messages are."""
        while left := self._producer.flush(_FLUSH_SECONDS):
            self._check()
            logger.warning("%d messages wait to be delivered to topic %r", left, self._sink.topic)
        self._check()

    def close(self) -> None:
        # The last snapshot has awaited all that counts. The engine closes while an exception is on its way too, and
        # would abort the process at a second one.
        self._producer.flush(_FLUSH_SECONDS)

    def _produce(self, message: Outgoing) -> None:
        while True:
            try:
                self._producer.produce(
                    self._sink.topic,
                    message.value,
                    message.key,
                    on_delivery=self._delivered,
                    headers=list(message.headers) or None,
                )
                return
            except BufferError:  # the queue is full: the brokers are slower than the flow, which has to wait
                self._producer.poll(_FULL_SECONDS)
                self._check()
            except KafkaException as error:
                raise self._undelivered(message.key, error) from None

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._sink.delivered += 1
        elif self._failure is None:
            self._failure = self._undelivered(message.key(), error)

    def _undelivered(self, key: bytes | None, error: KafkaException | KafkaError) -> KafkaTrouble:
        doing = f"delivering the message of key {key!r} to topic {self._sink.topic!r}"
        return trouble(self._sink.config, doing, error)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._watch.check()
