"""Kafka sink of the flow: every message is delivered, or the job stops and names the one that was not."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from flows.kafka.admin import max_message_bytes
from flows.kafka.errors import SILENCE_STDERR, Config, KafkaJobError, explain_error, retry
from flows.kafka.outage import STOP_SECONDS, ErrorCallback, OutagePolicy
from flows.messages import Outgoing

PRODUCER_DEFAULTS: dict[str, Any] = {
    **SILENCE_STDERR,
    "acks": "all",
    "enable.idempotence": True,  # a retry neither repeats nor reorders
    "linger.ms": 0.5,
    "partitioner": "murmur2_random",  # the partition a Java client would choose for the key
    "queue.buffering.max.kbytes": 65_536,
    "reconnect.backoff.max.ms": 2_000,
}
_WAIT_SECONDS = 0.05
"""Seconds of one wait. Signals are handled between two waits."""
_CLOSE_SECONDS = 1.0
_LONG_SECONDS = 5.0
"""Seconds without a delivery after which a warning is logged."""
_BATCH_BYTES: Final = 128
"""Largest overhead of a batch of one message, in bytes."""
_RECORD_BYTES: Final = 40
"""Bytes that librdkafka adds to key, value and headers when it checks the size of a message."""
_MOST_BYTES: Final = 32 * 1024 * 1024
"""Largest message in bytes: half of the producer's queue. A message larger than the queue would wait for ever."""
_LEAST_BYTES: Final = 1_000
"""Lowest limit in bytes that librdkafka accepts."""


class OversizeFallback(NamedTuple):
    """Destination of a message that is too large for its topic."""

    sink: "KafkaSink"
    convert: Callable[[Outgoing], Outgoing]


class KafkaSink(FixedPartitionedSink[Outgoing, None]):
    """Writes messages to a topic, in order per key, and checks the delivery of each.

    It takes pairs `(key, Outgoing)`. The pair's key only routes within the flow. The message has a key of its own. The
    sink waits for all deliveries at the end of each epoch, so an epoch is durable only if its messages are.

    Args:
        config: librdkafka producer settings with `bootstrap.servers`.
        topic: The topic to write to.
        patience: How long a message may wait for a broker.
        instead: Destination of a message that is too large for the topic. None: it stops the flow.
        shorten: Shortens a message to a limit in bytes. None: messages stay as they are.

    Raises:
        KafkaJobError: From the running flow: a message was refused or could not be delivered in time.
    """

    def __init__(
        self,
        config: Config,
        topic: str,
        *,
        patience: OutagePolicy | None = None,
        instead: OversizeFallback | None = None,
        shorten: Callable[[Outgoing, int], Outgoing] | None = None,
    ) -> None:
        self.config = config
        self.topic = topic
        self.patience = patience or OutagePolicy()
        self.instead = instead
        self.shorten = shorten
        self.delivered = 0
        """Number of messages that the brokers have acknowledged."""
        self.too_large = 0
        """Number of messages that were too large, and were redirected or shortened."""

    def list_parts(self) -> list[str]:
        """Return the name of the only part. The producer chooses the topic's partition."""
        return ["0"]

    def part_fn(self, item_key: str) -> int:
        """Route everything to the only part."""
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Part":
        """Make a producer. See the engine's interface."""
        return _Part(self)


class _Part(StatefulSinkPartition[Outgoing, None]):
    """One producer, and the producer of the fallback sink once a message is too large."""

    def __init__(self, sink: KafkaSink) -> None:
        self._sink = sink
        self._patience = sink.patience
        self._failure: KafkaJobError | None = None
        self._elsewhere: _Part | None = None
        self._watch = ErrorCallback(sink.config, f"writing topic {sink.topic!r}", sink.patience)
        settings: dict[str, Any] = {
            **PRODUCER_DEFAULTS,
            "message.timeout.ms": max(1, int(sink.patience.seconds * 1000)),
            **sink.config,
            "error_cb": self._watch,
        }
        # Checked before a message joins a batch: a broker refuses a whole batch, also the messages that fit.
        limit = None if "message.max.bytes" in settings else max_message_bytes(sink.config, sink.topic)
        if limit is not None:
            settings["message.max.bytes"] = max(_LEAST_BYTES, min(limit - _BATCH_BYTES, _MOST_BYTES))
        self._limit = int(settings.get("message.max.bytes", 1_000_000)) - _RECORD_BYTES
        self._producer = retry(sink.config, f"opening topic {sink.topic!r}", lambda: Producer(settings))

    def write_batch(self, values: list[Outgoing]) -> None:
        for message in values:
            self._write(message)
        self._deliver(self._producer.poll, 0.0)
        self._check()

    def snapshot(self) -> None:
        """Wait until all messages are delivered: an epoch must not be durable before its messages are."""
        delivered, since = self._sink.delivered, time.monotonic()
        while left := self._deliver(self._producer.flush, _WAIT_SECONDS):
            self._check()
            if self._sink.delivered > delivered:
                delivered, since = self._sink.delivered, time.monotonic()
            self._check_wait(left, time.monotonic() - since)
        self._check()
        if self._elsewhere is not None:
            self._elsewhere.snapshot()

    def close(self) -> None:
        # The last snapshot has waited for every delivery that counts. The engine also closes while it handles an
        # exception, and a second one would abort the process.
        if self._failure is not None or self._patience.stop.is_set():
            self._producer.purge()
        with suppress(KafkaException):
            self._producer.flush(_CLOSE_SECONDS)
        if self._elsewhere is not None:
            self._elsewhere.close()

    def _write(self, message: Outgoing) -> None:
        try:
            self._produce(message)
            return
        except KafkaException as error:
            too_large = error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
            instead, shorten = self._sink.instead, self._sink.shorten
            if not too_large or (instead is None and shorten is None):
                raise self._undelivered(message.key, error) from None
            self._sink.too_large += 1
            self._patience.say(f"{self._undelivered(message.key, error)}")
        if shorten is not None:
            try:
                self._produce(shorten(message, self._limit))
            except KafkaException as error:
                raise self._undelivered(message.key, error) from None
        elif instead is not None:
            if self._elsewhere is None:
                self._elsewhere = instead.sink.build_part("", "0", None)
            self._elsewhere.write_batch([instead.convert(message)])

    def _produce(self, message: Outgoing) -> None:
        since = time.monotonic()
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
                if self._deliver(self._producer.poll, _WAIT_SECONDS):
                    since = time.monotonic()
                self._check()
                self._check_wait(len(self._producer), time.monotonic() - since)

    def _deliver(self, wait: Callable[[float], int], seconds: float) -> int:
        """Let the producer work: `poll` or `flush`. An error after which no producer can go on is raised there."""
        try:
            return wait(seconds)
        except KafkaException as error:
            raise explain_error(self._sink.config, f"writing topic {self._sink.topic!r}", error) from None

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._sink.delivered += 1
            self._watch.answered()
        elif self._failure is None:
            self._failure = self._undelivered(message.key(), error)

    def _undelivered(self, key: bytes | None, error: KafkaException | KafkaError) -> KafkaJobError:
        doing = f"delivering the message of key {key!r} to topic {self._sink.topic!r}"
        return explain_error(self._sink.config, doing, error)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._watch.check()

    def _check_wait(self, left: int, seconds: float) -> None:
        """Log that messages wait, and give up if the job is to stop. The producer itself has the longer timeout.

        Args:
            left: Number of messages that wait.
            seconds: Seconds since the last delivery.
        """
        if min(seconds, self._patience.stopping_for()) > STOP_SECONDS:
            raise KafkaJobError(
                f"topic {self._sink.topic!r}: the job is to stop, but no broker takes the last {left:,} messages. They"
                " do not count as delivered: the job goes on from its last snapshot when it is started again, and"
                " writes them then."
            )
        if seconds > _LONG_SECONDS:
            self._patience.say(f"messages wait to be delivered to topic {self._sink.topic!r}: {left:,}")
