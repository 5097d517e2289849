"""One consumer that fetches for several partitions, and what it holds for each."""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.errors import SILENCE_STDERR, Config, KafkaJobError, ask, trouble
from flows.kafka.outage import ErrorCallback, OutagePolicy
from flows.kafka.start_offsets import StartOffsets
from flows.messages import Raw

logger = logging.getLogger(__name__)

_SECONDS = 10.0
"""How long a question to the brokers may take before the flow runs."""
_CLOSE_SECONDS = 2.0
"""How long the last commit may take."""
_DEFAULTS: dict[str, Any] = {
    **SILENCE_STDERR,
    "topic.metadata.refresh.interval.ms": 30_000,
    "session.timeout.ms": 3_000,  # there is no session; this is how long a commit seeks its coordinator
}


class PartitionBuffer:
    """One partition's records that were fetched and not yet taken.

    Args:
        number: The partition.
        position: Offset of the next record to take.
        end: Offset at which reading ends; None: never.
    """

    def __init__(self, number: int, position: int, end: int | None) -> None:
        self.number = number
        self.position = position
        self.end = end
        self.buffer: list[Raw] = []
        self.reached = position
        """Where the log was last seen to end: transactions leave offsets there that no record fills."""

    @property
    def next(self) -> int:
        """Offset of the next record to fetch."""
        return self.buffer[-1].offset + 1 if self.buffer else max(self.position, self.reached)

    def take(self) -> list[Raw]:
        """Return the records, and move on behind them."""
        batch, self.position, self.buffer = self.buffer, self.next, []
        return batch


class Reader:
    """A consumer and the shares it fetches for.

    Args:
        config: librdkafka consumer settings.
        topic: The topic to read.
        numbers: The topic's partitions; some may be other readers'.
        rule: Finds where each begins; it is given what the group has committed.
        patience: How long to wait for brokers.
        batch_size: Records taken at once, over all shares.
        idle_seconds: How long to wait for a record where there is none.
        stop_at_end: End each share where its partition ends now.

    Raises:
        KafkaTrouble: From every method: what it needs of Kafka is not there.
    """

    def __init__(
        self,
        config: Config,
        topic: str,
        numbers: list[int],
        rule: StartOffsets,
        patience: OutagePolicy,
        batch_size: int,
        idle_seconds: float,
        stop_at_end: bool,
    ) -> None:
        self.config = config
        self.topic = topic
        self.numbers = numbers
        self.rule = rule
        self.batch_size = batch_size
        self.idle_seconds = idle_seconds
        self.stop_at_end = stop_at_end
        self.buffered = 0
        self.idle_calls = 0
        """Calls in a row that had nothing to give."""
        self.parts = 0
        """How many partitions the engine asks in turn."""
        self.adopted: list[PartitionBuffer] = []
        """Partitions that were added while the job runs, for whoever asks first."""
        self._shares: dict[int, PartitionBuffer] = {}
        self._handed: dict[int, int] = {}
        self._unassigned: dict[int, TopicPartition] = {}
        self._final: dict[int, int] = {}
        self._known = set(numbers)
        self._new: set[int] = set()
        self._unanswered = 0
        self._leaderless: dict[int, float] = {}
        """Since when each partition has had no leader."""
        self._watch = ErrorCallback(config, f"reading topic {topic!r}", patience)
        settings: dict[str, Any] = {
            # The statistics name a topic's partitions, new ones too, and say which brokers are there.
            "statistics.interval.ms": max(100, int(min(30.0, patience.seconds / 4) * 1000)),
            **_DEFAULTS,
            **config,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # the rule resolves it; no later jump may pass silently
            "enable.partition.eof": stop_at_end,
            "error_cb": self._watch,
            "on_commit": self._on_commit,
            "stats_cb": self._statistics,
        }
        every = [TopicPartition(topic, number) for number in numbers]
        doing = f"opening topic {topic!r}"
        self._consumer = ask(config, doing, lambda: Consumer(settings))
        try:
            answers = ask(config, doing, lambda: self._consumer.committed(every, timeout=_SECONDS))
        except KafkaJobError:
            # What the client met in the background says more than that time is up.
            for met in self._consumer.consume(100, 0.1):
                if (error := met.error()) is not None:
                    self._watch(error)
            self._watch.check()
            raise
        for each in answers:
            if each.error is not None:
                raise trouble(config, f"asking for the offsets of group {rule.group!r}", each.error)
        rule.committed = {each.partition: each.offset for each in answers}

    def open(self, number: int, resume: int | None, handed: Mapping[int, int]) -> PartitionBuffer:
        """Begin a partition.

        Args:
            number: The partition.
            resume: Its offset in the recovery state, if it is there.
            handed: Offsets in the recovery state of partitions that this one's host had adopted.
        """
        for other, offset in handed.items():
            if other in self._shares:
                self._begin(other, offset)
            else:
                self._handed[other] = offset
        self.parts += 1
        return self._begin(number, self._handed.pop(number, resume))

    def fill(self) -> None:
        """Fetch once for all shares; wait only where one whole round of calls has found nothing.

        To wait any sooner would hold up the records that another partition has just given to the flow.
        """
        if self._unassigned or self._new:
            self._assign()
        messages = self._consumer.consume(self.batch_size, 0)
        if not messages and self.idle_calls and self.idle_calls % self.parts == 0:
            # Unlike `consume`, `poll` returns with the first record.
            first = self._consumer.poll(self.idle_seconds)
            messages = [] if first is None else [first]
        self._watch.check()
        topic, shares = self.topic, self._shares
        for message in messages:
            number, offset = message.partition(), message.offset()
            share = shares.get(-1 if number is None else number)
            if (error := message.error()) is not None:
                self._failed(error, share, offset)
            elif share is None or offset is None:
                continue  # on its way when the partition was closed
            elif share.end is not None and offset >= share.end:
                share.reached = share.end
            else:
                share.buffer.append(Raw(topic, share.number, offset, message.value(), message))
                self.buffered += 1
        if self.buffered:
            self._watch.answered()
        else:
            self._watch.check_patience()

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell the group, without waiting for its answer."""
        try:
            self._unanswered += 1
            self._consumer.commit(offsets=self._positions(offsets), asynchronous=True)
        except KafkaException as error:
            self._on_commit(error.args[0], [])

    def release(self, number: int, final: int | None) -> None:
        """Stop fetching for a partition; `final` is its last snapshot, if there was one."""
        self.buffered -= len(self._shares.pop(number).buffer)
        if final is not None:
            self._final[number] = final
        with suppress(KafkaException):  # the engine aborts the process where a `close` raises after another failure
            if self._unassigned.pop(number, None) is None:
                self._consumer.incremental_unassign([TopicPartition(self.topic, number)])

    def close(self) -> None:
        """Commit the last snapshots and hang up."""
        if self._final:
            self.commit(self._final)
        deadline = time.monotonic() + _CLOSE_SECONDS
        while self._unanswered and time.monotonic() < deadline:
            self._consumer.poll(0.02)
        if self._unanswered:
            logger.warning("the last offsets of topic %r are not committed: no broker answers", self.topic)
        self._consumer.close()

    def _positions(self, offsets: Mapping[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self.topic, number, offset) for number, offset in offsets.items()]

    def _begin(self, number: int, resume: int | None, *, is_new: bool = False) -> PartitionBuffer:
        low, high = self._ends(number)
        start = self.rule.begin(number, resume, low, high, is_new=is_new)
        # Assigned when all are open: a broker that holds a fetch until records come answers nothing else.
        self._unassigned[number] = TopicPartition(self.topic, number, start)
        share = self._shares.setdefault(number, PartitionBuffer(number, start, high if self.stop_at_end else None))
        share.position = share.reached = start
        return share

    def _assign(self) -> None:
        if self._handed:
            numbers = ", ".join(map(str, sorted(self._handed)))
            raise KafkaJobError(
                f"topic {self.topic!r}: the recovery state of another partition holds the offsets of {numbers}, which"
                " this worker does not read. Run the job once with one worker, then with as many as you like."
            )
        new, self._new = sorted(self._new), set()
        if new and (self.stop_at_end or len(self.numbers) > self.parts):
            numbers = ", ".join(map(str, new))
            logger.warning("topic %r has new partitions: %s. Restart to read them.", self.topic, numbers)
        elif new:
            self.adopted += [self._begin(number, None, is_new=True) for number in new]
        self._consumer.incremental_assign(list(self._unassigned.values()))
        self._unassigned.clear()

    def _ends(self, number: int) -> tuple[int, int]:
        """The offset of the first record that the partition holds, and that of the next to come."""
        where, doing = TopicPartition(self.topic, number), f"asking for the offsets of {self.topic}/{number}"
        request = partial(self._consumer.get_watermark_offsets, where, timeout=_SECONDS)
        return ask(self.config, doing, request)

    def _failed(self, error: KafkaError, share: PartitionBuffer | None, offset: int | None) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            if share is not None:
                share.reached = offset or 0
        elif error.code() == KafkaError._AUTO_OFFSET_RESET and share is not None:
            share.reached = self.rule.go_on(share.number, share.next, "reading on", *self._ends(share.number))
            self._consumer.incremental_unassign([TopicPartition(self.topic, share.number)])
            self._consumer.incremental_assign([TopicPartition(self.topic, share.number, share.reached)])
        else:
            self._watch(error)
            self._watch.check()

    def _on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        self._unanswered -= 1
        failed = error or next((each.error for each in offsets if each.error), None)
        if failed is not None:
            said = trouble(self.config, f"committing offsets of topic {self.topic!r}", failed)
            self._watch.patience.say(f"{said} Lag monitors are behind until a commit succeeds.")

    def _statistics(self, text: str) -> None:
        seen = orjson.loads(text)
        if any(broker["state"] == "UP" for broker in seen["brokers"].values()):
            self._watch.answered()
        states = seen["topics"].get(self.topic, {}).get("partitions", {})
        self._check_leaders({number for number in self._shares if _has_no_leader(states.get(str(number)))})
        new = {int(number) for number, state in states.items() if not state["unknown"]} - self._known - {-1}
        self._known |= new
        self._new |= new

    def _check_leaders(self, leaderless: set[int]) -> None:
        """Brokers may be there, and still none of them has a partition: then it is waited for like a broker."""
        now = time.monotonic()
        self._leaderless = {number: self._leaderless.get(number, now) for number in leaderless}
        for number, since in self._leaderless.items():
            said = f"{self.topic}/{number} has no leader: none of the brokers that are there holds it."
            self._watch.patience.say(f"{said} The job waits.")
            if now - since > self._watch.patience.seconds:
                self._watch.give_up(
                    f"{said} That has been so for {self._watch.patience.seconds:g} s (`broker_patience`): the job ends."
                    " Start the broker that has it, and the job again: it goes on from its last snapshot."
                )


def _has_no_leader(state: Mapping[str, Any] | None) -> bool:
    return state is not None and not state["unknown"] and state["leader"] < 0
