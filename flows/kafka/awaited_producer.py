"""Kafka producer for asyncio: a coroutine waits until the brokers have acknowledged its messages."""

import asyncio
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from flows.kafka.errors import SILENCE_STDERR, Config, explain_error
from flows.messages import Outgoing

_CLOSE_SECONDS: Final = 3.0
_DEFAULTS: dict[str, Any] = {
    **SILENCE_STDERR,
    "acks": "all",
    "enable.idempotence": True,
    "partitioner": "murmur2_random",  # the partition a Java client would choose for the key
    "queue.buffering.max.kbytes": 65_536,
    "reconnect.backoff.max.ms": 1_000,
}


class Delivery(NamedTuple):
    """Result of sending one message."""

    source: str
    """Position of the message, `topic/partition/offset`. Empty if it was not delivered."""
    fault: str
    """Reason for the failure. Empty if the message was delivered."""


class AwaitedProducer:
    """Writes to one topic and reports for each message whether the brokers acknowledged it.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        topic: The topic to write to.
        timeout: Seconds after which a message counts as not delivered.
        linger: Seconds to wait for more messages of a batch.
    """

    def __init__(self, config: Config, topic: str, *, timeout: float = 5.0, linger: float = 0.002) -> None:
        self.topic = topic
        self.delivered = 0
        """Messages that the brokers have acknowledged."""
        self.fault: str | None = None
        """Fault of the latest delivery. None: it succeeded."""
        self._config = config
        settings: dict[str, Any] = {
            **_DEFAULTS,
            "linger.ms": linger * 1_000,
            "message.timeout.ms": int(timeout * 1_000),
            **config,
            "error_cb": self._met,
        }
        self._producer = Producer(settings)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, name=f"produce {topic}", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Number of messages sent and not acknowledged yet."""
        return len(self._producer)

    async def deliver(self, messages: Sequence[Outgoing]) -> list[Delivery]:
        """Send messages, wait, and return one `Delivery` for each, in the same order.

        A full queue, an outage or a refusal does not raise. It is the `fault` of the delivery.
        """
        if not messages:
            return []
        pending = _Pending(len(messages), asyncio.get_running_loop())
        for number, message in enumerate(messages):
            try:
                self._producer.produce(
                    self.topic,
                    message.value,
                    message.key,
                    headers=list(message.headers) or None,
                    on_delivery=partial(self._delivered, pending, number),
                )
            except BufferError:
                pending.put(number, Delivery("", "the queue of the producer is full"))
            except KafkaException as error:
                pending.put(number, Delivery("", self._say(error)))
        return await pending.future

    def close(self) -> None:
        """Wait a few seconds for messages that are not acknowledged yet, and close."""
        self._producer.flush(_CLOSE_SECONDS)
        self._stopped.set()
        self._thread.join(_CLOSE_SECONDS)

    def _poll(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(0.1)

    def _delivered(self, pending: "_Pending", number: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.delivered += 1
            self.fault = None
            pending.put(number, Delivery(f"{message.topic()}/{message.partition()}/{message.offset()}", ""))
        else:
            pending.put(number, Delivery("", self._say(error)))

    def _say(self, error: KafkaError | KafkaException) -> str:
        self.fault = str(explain_error(self._config, f"writing topic {self.topic!r}", error))
        return self.fault

    def _met(self, error: KafkaError) -> None:
        self.fault = str(explain_error(self._config, f"writing topic {self.topic!r}", error))


class _Pending:
    """Deliveries of one call of `deliver`. They arrive on the producer's thread."""

    def __init__(self, count: int, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[list[Delivery]] = loop.create_future()
        self._results: list[Delivery] = [Delivery("", "")] * count
        self._left = count
        self._loop = loop
        self._lock = threading.Lock()

    def put(self, number: int, delivery: Delivery) -> None:
        with self._lock:
            self._results[number] = delivery
            self._left -= 1
            is_last = self._left == 0
        if is_last and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.future.done():  # the caller may have been cancelled
            self.future.set_result(self._results)
