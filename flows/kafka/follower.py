"""Follower of a topic for `freshrank serve`: it reads from given offsets for as long as the process lives.

The job's own reader (`flows.kafka.consumer`) ends the job when its input is gone. A follower never ends by itself,
since the data read so far stays useful. It logs the fault and tries again.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, TopicDescription  # type: ignore[attr-defined]  # forgotten re-export

from flows.errors import JobError
from flows.kafka.errors import SILENCE_STDERR, Config, explain_error

logger = logging.getLogger(__name__)

GROUP: Final = "freshrank-serve"
"""Name of the group that a consumer must have. The follower neither joins it nor commits to it."""
BATCH: Final = 2_000
"""Largest number of messages handed over at once."""
_SECONDS: Final = 5.0
"""Timeout in seconds of one request to the brokers."""
_RETRY: Final = 1.0
"""Seconds between two attempts to open the topic."""
_IDENTITY: Final = 5.0
"""Seconds between two requests for the topic's id and partitions."""
_LAG: Final = 0.5
"""Seconds between two measurements of the lag."""
_GONE: Final = {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNKNOWN_TOPIC_ID,
}
"""Errors after which the topic is reopened: it was deleted, recreated or truncated."""


class Bounds(NamedTuple):
    """Offsets of the records that a partition holds: from `low` to `high` - 1."""

    low: int
    high: int


Start = Callable[[str, Mapping[int, Bounds]], Mapping[int, int]]
"""Chooses the first offset of each partition, given the topic's identity and what each partition holds."""


class _ReopenError(Exception):
    """The topic must be reopened."""


class Follower(threading.Thread):
    """Thread that reads one topic.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        topic: The topic's name.
        start: Chooses the start offset of each partition. It is called each time the topic is opened.
        take: Called with every batch, in order per partition.
        idle: Called at least every 0.1 s on the same thread.

    Attributes:
        caught_up: Whether all records that the topic held when it was opened have been read.
        fault: The present fault as one sentence. None: there is none.
    """

    def __init__(
        self,
        config: Config,
        topic: str,
        start: Start,
        take: Callable[[Sequence[Message]], None],
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name=f"follow {topic}", daemon=True)
        self.topic = topic
        self.caught_up = False
        self.fault: str | None = None
        self.read = 0
        """Messages read since the process started."""
        self.lag: int | None = None
        """Number of messages not read yet, at most 1 s old. None: unknown."""
        self.positions: dict[int, int] = {}
        """Offset of the next message, by partition."""
        self._config = config
        self._begin = start
        self._take = take
        self._idle = idle
        self._stopped = threading.Event()
        self._behind: dict[int, int] = {}
        self._identity = ""
        self._reason: str | None = None

    def stop(self) -> None:
        """End the thread and wait for it. All messages that it has read are handed over by then."""
        self._stopped.set()
        if self.is_alive():
            self.join(_SECONDS)

    def reopen(self, reason: str) -> None:
        """Ask the thread to reopen the topic at the offsets that `start` chooses."""
        self._reason = reason

    def run(self) -> None:
        """Open and read the topic until `stop`, and reopen it after a fault."""
        while not self._stopped.is_set():
            try:
                self._follow()
            except _ReopenError as reason:
                logger.warning("topic %r: %s; it is opened anew", self.topic, reason)
            except JobError as error:
                self._say(str(error))
            except KafkaException as error:
                self._say(str(explain_error(self._config, f"following topic {self.topic!r}", error)))
            self.caught_up = False
            self._idle()
            self._stopped.wait(_RETRY)

    def _say(self, fault: str) -> None:
        if fault != self.fault:
            logger.warning("%s It is tried again every %g s.", fault, _RETRY)
        self.fault = fault

    def _follow(self) -> None:
        met: list[KafkaError] = []
        settings: dict[str, Any] = {**SILENCE_STDERR, **self._config, "error_cb": met.append}
        admin = AdminClient(settings)
        description = _answer(admin, self.topic, self._config)
        self._identity = str(description.topic_id)
        settings = {
            **SILENCE_STDERR,
            "fetch.wait.max.ms": 500,
            "fetch.queue.backoff.ms": 5,
            "queued.max.messages.kbytes": 16_384,
            "reconnect.backoff.max.ms": 1_000,
            **dict(self._config),
            "group.id": GROUP,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "error_cb": self._met,
        }
        consumer = Consumer(settings)
        try:
            self._assign(consumer, [part.id for part in description.partitions])
            self._read(consumer, admin)
        finally:
            self.lag = None
            consumer.close()

    def _assign(self, consumer: Consumer, numbers: Sequence[int]) -> None:
        bounds: dict[int, Bounds] = {}
        for number in numbers:
            found = consumer.get_watermark_offsets(TopicPartition(self.topic, number), timeout=_SECONDS)
            bounds[number] = Bounds(*found)
        positions = self._begin(self._identity, bounds)
        self.positions = dict(positions)
        # A busy topic has no end: "caught up" means the records that it held when it was opened.
        self._behind = {n: bounds[n].high for n in numbers if self.positions[n] < bounds[n].high}
        self.caught_up = False
        consumer.assign([TopicPartition(self.topic, number, offset) for number, offset in positions.items()])
        logger.info("following topic %r: %d partitions from %s", self.topic, len(numbers), dict(positions))

    def _read(self, consumer: Consumer, admin: AdminClient) -> None:
        self._note_end()
        asked, question, measured = time.monotonic(), None, 0.0
        while not self._stopped.is_set():
            first = consumer.poll(0.05)  # returns with the first message, where `consume` waits for all of them
            if first is not None:
                self._hand_over([first, *consumer.consume(BATCH - 1, 0)])
            self._idle()
            if time.monotonic() - measured > _LAG:
                self._measure_lag(consumer)
                measured = time.monotonic()
            if self._reason is not None:
                reason, self._reason = self._reason, None
                raise _ReopenError(reason)
            if question is None and time.monotonic() - asked > _IDENTITY:
                question = _question(admin, self.topic)
            elif question is not None and question.done():
                self._check(question)
                asked, question = time.monotonic(), None

    def _measure_lag(self, consumer: Consumer) -> None:
        """Compare the positions with the ends known from the last fetches. It makes no request, so it cannot block."""
        total = 0
        for number, position in self.positions.items():
            bounds = consumer.get_watermark_offsets(TopicPartition(self.topic, number), cached=True)
            if bounds is None or bounds[1] < 0:
                self.lag = None
                return
            total += max(0, bounds[1] - position)
        self.lag = total

    def _hand_over(self, messages: Sequence[Message]) -> None:
        good = []
        reopen = None
        for message in messages:
            error, number, offset = message.error(), message.partition(), message.offset()
            if error is None and number is not None and offset is not None:
                good.append(message)
                self.positions[number] = offset + 1
                if number in self._behind and offset + 1 >= self._behind[number]:
                    del self._behind[number]
            elif error is not None and error.code() == KafkaError._PARTITION_EOF and number is not None:
                self._behind.pop(number, None)
            elif error is not None and error.code() in _GONE:
                reopen = _ReopenError(error.str())
            elif error is not None:
                self._met(error)
        if good:
            self.fault = None
            self.read += len(good)
            self._take(good)
        self._note_end()
        if reopen is not None:
            raise reopen

    def _note_end(self) -> None:
        if not self._behind and not self.caught_up:
            self.caught_up, self.fault = True, None
            logger.info("topic %r is read to its end: %s", self.topic, self.positions)

    def _check(self, question: "Future[TopicDescription]") -> None:
        """Compare the topic's id with the one that was opened. A timeout proves nothing and changes nothing."""
        try:
            found = question.result()
        except KafkaException as error:
            code = error.args[0].code()
            if code in _GONE:
                raise _ReopenError(error.args[0].str()) from None
            self._met(error.args[0])
            return
        if str(found.topic_id) != self._identity:
            raise _ReopenError("the topic was recreated")
        if len(found.partitions) != len(self.positions):
            raise _ReopenError("the topic has other partitions")
        self.fault = None

    def _met(self, error: KafkaError) -> None:
        """Note an error from which the client recovers by itself."""
        self._say(str(explain_error(self._config, f"following topic {self.topic!r}", error)))


def _question(admin: AdminClient, topic: str) -> "Future[TopicDescription]":
    asked: Future[TopicDescription] = admin.describe_topics(TopicCollection([topic]), request_timeout=_SECONDS)[topic]
    return asked


def _answer(admin: AdminClient, topic: str, config: Config) -> TopicDescription:
    try:
        return _question(admin, topic).result(_SECONDS * 2)
    except (KafkaException, TimeoutError) as error:
        raise explain_error(config, f"opening topic {topic!r}", error) from None
