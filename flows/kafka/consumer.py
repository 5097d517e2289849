"""Consumer of one worker: it fetches records of several partitions and buffers them."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.errors import SILENCE_STDERR, Config, KafkaJobError, explain_error, retry
from flows.kafka.outage import ErrorCallback, OutagePolicy
from flows.kafka.partition_buffer import PartitionBuffer, TimeMerge
from flows.kafka.position import Place, Position, name_of
from flows.kafka.share import Share
from flows.kafka.start_offsets import OUR_MARK, Committed, StartOffsets
from flows.kafka.topic_ids import TopicIds
from flows.kafka.topics import TopicChoice
from flows.messages import Raw

logger = logging.getLogger(__name__)

_SECONDS = 10.0
"""Timeout in seconds of a request to the brokers before the flow runs."""
_CLOSE_SECONDS, _LATE_SECONDS = 2.0, 3.0
"""Seconds to wait for the answer to the last commit, and further ones while the consumer closes."""
_LIST_SECONDS = 1.0
"""Timeout in seconds of the search for new topics while the flow runs."""
_FETCHED = 1_000
"""Number of records fetched at once while the merge waits for a partition."""
_DEFAULTS: dict[str, Any] = {
    **SILENCE_STDERR,
    "topic.metadata.refresh.interval.ms": 30_000,
    "session.timeout.ms": 3_000,  # there is no session; this is how long a commit seeks its coordinator
}


class Reader:
    """One consumer, and the partitions that it fetches.

    A reader of all partitions, if there are several, merges them by time. Then its first partition is the *host*: one
    call of the engine for the host returns records of all partitions.

    Args:
        config: librdkafka consumer settings.
        topics: Which topics to read.
        places: All partitions of these topics. Other readers may read some of them.
        start_offsets: Finds the start offset of each partition. The reader gives it the group's committed offsets.
        patience: How long to wait for brokers.
        batch_size: Number of records taken at once, over all partitions.
        idle_seconds: Seconds to wait for a record if there is none.
        stop_at_end: End each partition at its present end.
        expects_state: There is a recovery directory. An empty one is refused if the group has read before.
        share: The partitions that are this reader's. None: all are.

    Raises:
        KafkaJobError: From every method: a topic, a broker or a right is missing.
        StartError: The start offset is ambiguous.
    """

    def __init__(
        self,
        config: Config,
        topics: TopicChoice,
        places: list[Place],
        start_offsets: StartOffsets,
        patience: OutagePolicy,
        batch_size: int,
        idle_seconds: float,
        stop_at_end: bool,
        expects_state: bool = False,
        share: Share | None = None,
    ) -> None:
        self.config = config
        self.topics, self.places, self.start_offsets = topics, places, start_offsets
        self.batch_size = batch_size
        self.idle_seconds = idle_seconds
        self.stop_at_end, self.share = stop_at_end, share
        self.merge: TimeMerge | None = None
        """Merges the partitions. None until the reader has opened them all."""
        self.host: Place | None = None
        """The partition whose state holds the offsets of all merged partitions."""
        self.buffered = 0
        self.idle_calls = 0
        """Number of consecutive calls without a record."""
        self.parts = 0
        """Number of partitions that the engine polls in turn."""
        self.foreign: dict[Place, int] = {}
        """Offsets of the group at the start that another program committed."""
        self._partitions: dict[Place, PartitionBuffer] = {}
        self._by_number: dict[int, PartitionBuffer] | None = {} if topics.is_one else None
        self._handed: dict[Place, Position] = {}
        self._opened: set[Place] = set()
        self._is_resumed = False
        self._is_checked = not expects_state
        self._unassigned: dict[Place, TopicPartition] = {}
        self._final: dict[Place, int] = {}
        self._known = set(places)
        self._new: set[Place] = set()
        self._look_is_due = False
        self._unanswered = 0
        self._leaderless: dict[Place, float] = {}
        """Monotonic seconds since when each partition has had no leader."""
        self._doing = f"reading topic {topics.text!r}"
        self._watch = ErrorCallback(config, self._doing, patience)
        settings: dict[str, Any] = {
            # The statistics list a topic's partitions, new ones too, and the brokers that are up.
            "statistics.interval.ms": max(100, int(min(30.0, patience.seconds / 4) * 1000)),
            **_DEFAULTS,
            **config,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # `StartOffsets` resolves it; no later jump may pass silently
            "enable.partition.eof": True,  # gives the end of the log behind the markers of a transaction
            "error_cb": self._watch,
            "on_commit": self._on_commit,
            "stats_cb": self._statistics,
        }
        every = [TopicPartition(*place) for place in places]
        doing = f"opening topic {topics.text!r}"
        self._consumer = retry(config, doing, lambda: Consumer(settings))
        try:
            answers = retry(config, doing, lambda: self._consumer.committed(every, timeout=_SECONDS))
        except KafkaJobError:
            # An error that the client met in the background explains more than "timed out".
            for met in self._consumer.consume(100, 0.1):
                if (error := met.error()) is not None:
                    self._watch(error)
            self._watch.check()
            raise
        for each in answers:
            if each.error is not None:
                raise explain_error(config, f"asking for the offsets of group {start_offsets.group!r}", each.error)
        start_offsets.committed = {
            (each.topic, each.partition): Committed(each.offset, each.metadata or "") for each in answers
        }
        found = start_offsets.committed.items()
        self.foreign = {place: each.offset for place, each in found if each.offset >= 0 and not each.is_ours}
        self.topic_ids = TopicIds(config)
        start_offsets.topic_ids = self.topic_ids.fetch({topic for topic, _ in places})

    def open(self, place: Place, saved: Position | None) -> PartitionBuffer:
        """Open a partition at its start offset.

        Args:
            place: The partition.
            saved: Its recovery state, if there is one, with the offsets of the partitions that it hosted.
        """
        self.parts += 1
        self._opened.add(place)
        if saved is not None:
            self._is_resumed = True
            for other in saved.offsets.keys() - {place}:
                if other in self._partitions:
                    self._begin(other, saved)
                else:
                    self._handed[other] = saved
        saved = self._handed.pop(place, saved)
        return self._begin(place, saved if saved is not None and place in saved.offsets else None)

    def hosts(self, place: Place) -> bool:
        """Say whether the records of this partition come from another one, the host."""
        return self.host is not None and self.host != place

    def check_state(self) -> None:
        """Refuse an empty state if the group has read before. Call it when all partitions are open."""
        if not self._is_checked:
            self.start_offsets.check_state(self._is_resumed)
            self._is_checked = True

    def partitions(self) -> list[PartitionBuffer]:
        """Return the buffers of all partitions."""
        return list(self._partitions.values())

    def position(self, partitions: Iterable[PartitionBuffer]) -> Position:
        """Return the position in these partitions, for the engine's snapshot."""
        offsets = {partition.place: partition.settled for partition in partitions}
        ids = {topic: known for topic, known in self.topic_ids.known.items() if any(topic == at[0] for at in offsets)}
        foreign = {place: at for place, at in self.foreign.items() if place in offsets}
        return Position(offsets, ids, foreign, frozenset(offsets.keys() - self._opened))

    def fill(self) -> None:
        """Fetch once for all partitions. Wait only after one whole round of calls without a record.

        An earlier wait would delay records that another partition has just given to the flow.
        """
        if self._unassigned or self._new or self._look_is_due:
            self._assign()
        merge, batch_size = self.merge, self.batch_size
        messages = self._consumer.consume(batch_size if merge is None else max(batch_size, _FETCHED), 0)
        if not messages and self.idle_calls and self.idle_calls % self.parts == 0:
            # Unlike `consume`, `poll` returns with the first record.
            first = self._consumer.poll(self.idle_seconds)
            messages = [] if first is None else [first]
        self._watch.check()
        partitions, numbered = self._partitions, self._by_number
        for message in messages:
            number, offset = message.partition(), message.offset()
            if number is None:
                number = -1
            partition = partitions.get((message.topic() or "", number)) if numbered is None else numbered.get(number)
            if (error := message.error()) is not None:
                self._failed(error, partition, offset)
            elif partition is None or offset is None:
                continue  # fetched before the partition was closed
            elif partition.end is not None and offset >= partition.end:
                partition.reached = partition.end
            else:
                raw = Raw(partition.place[0], number, offset, message.value(), message)
                if merge is None:
                    partition.buffer.append(raw)
                else:
                    merge.add(partition, raw)
                self.buffered += 1
        if self.buffered:
            self._watch.answered()
        else:
            self._watch.check_patience()

    def take(self, partitions: list[PartitionBuffer]) -> list[Raw]:
        """Return the next records of these partitions, from one of them or merged by time."""
        batch: list[Raw] = []
        if self.merge is not None:
            batch = self.merge.take(self.batch_size)
        else:
            for partition in partitions:
                if batch := partition.take():  # a batch is of one partition
                    break
        self.buffered -= len(batch)
        self.idle_calls = 0 if batch else self.idle_calls + 1
        return batch

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Commit offsets to the group, without waiting for the answer."""
        known = self.topic_ids.known
        at = [
            TopicPartition(*place, offset, metadata=f"{OUR_MARK} {known.get(place[0], '')}".rstrip())
            for place, offset in offsets.items()
        ]
        try:
            self._unanswered += 1
            self._consumer.commit(offsets=at, asynchronous=True)
        except KafkaException as error:
            self._on_commit(error.args[0], [])

    def release(self, partition: PartitionBuffer, final: int | None) -> None:
        """Stop fetching a partition. `final` is the offset of its last snapshot, if there was one."""
        place = partition.place
        if final is not None:
            self._final[place] = max(final, self._final.get(place, 0))
        if self._partitions.pop(place, None) is None:
            return  # the host or the partition itself released it before
        self.buffered -= len(partition.buffer)
        if self.merge is not None:
            self.merge.drop(partition)
        if self._by_number is not None:
            self._by_number.pop(place[1], None)
        with suppress(KafkaException):  # the engine aborts the process where a `close` raises after another failure
            if self._unassigned.pop(place, None) is None:
                self._consumer.incremental_unassign([TopicPartition(*place)])

    def close(self) -> None:
        """Commit the offsets of the last snapshots and close the consumer."""
        if self._final:
            self.commit(self._final)
        deadline = time.monotonic() + _CLOSE_SECONDS
        while self._unanswered and time.monotonic() < deadline:
            self._consumer.poll(0.02)
        if self._unanswered:
            logger.warning("the last offsets of topic %r are not committed yet: no broker answers", self.topics.text)
        # librdkafka closes no consumer whose commit has no answer (its issue 3740), and the process has to end.
        closing = threading.Thread(target=self._consumer.close, name="closing", daemon=True)
        closing.start()
        closing.join(_LATE_SECONDS if self._unanswered else None)

    def _begin(self, place: Place, saved: Position | None, *, is_new: bool = False) -> PartitionBuffer:
        low, high = self._ends(place)
        start = self.start_offsets.resolve(place, saved, low, high, is_new=is_new)
        # Assigned when all are open: a broker that waits with a fetch for records answers no other request.
        self._unassigned[place] = TopicPartition(*place, start)
        end = high if self.stop_at_end else None
        partition = self._partitions.setdefault(place, PartitionBuffer(place, start, end, high))
        partition.position = partition.reached = start
        if self._by_number is not None:
            self._by_number[place[1]] = partition
        if self.merge is not None:
            self.merge.watch(partition)
        return partition

    def _assign(self) -> None:
        self._look_for_topics()
        if lost := [name_of(place) for place, saved in sorted(self._handed.items()) if place in saved.adopted]:
            raise KafkaJobError(
                f"topic {self.topics.text!r}: the recovery state of another partition holds the offsets of"
                f" {', '.join(lost)}, which this worker does not read. Run the job once with one worker, then with as"
                " many as you like."
            )
        self._handed.clear()  # the other workers have these offsets in the states of their own partitions
        new, self._new = sorted(self._new), set()
        if new and (self.stop_at_end or len(self.places) > self.parts):
            logger.warning("there are new partitions: %s. Restart to read them.", ", ".join(map(name_of, new)))
        elif new:
            self.topic_ids.fetch({topic for topic, _ in new})
            for place in new:
                self._begin(place, None, is_new=True)
        at_work = [
            place for place, partition in self._partitions.items() if not partition.has_ended
        ]  # an empty one has ended
        if self.merge is None and len(at_work) > 1 and self.parts == len(self.places):
            self.merge, self.host = TimeMerge(self._known_end), min(at_work)
            for partition in self._partitions.values():
                self.merge.watch(partition)
        self._consumer.incremental_assign(list(self._unassigned.values()))
        self._unassigned.clear()

    def _look_for_topics(self) -> None:
        """Find topics that match the pattern and did not exist at the start."""
        if not self._look_is_due:
            return
        self._look_is_due = False
        with suppress(KafkaException):  # no broker answers: there is another look
            listed = self._consumer.list_topics(timeout=_LIST_SECONDS).topics
            topics = self.topics.among(listed)
            self._note_new({(each, number) for each in topics for number in listed[each].partitions} - self._known)

    def _ends(self, place: Place) -> tuple[int, int]:
        """Return the offset of the partition's first record, and of the next record to come."""
        request = partial(self._consumer.get_watermark_offsets, TopicPartition(*place), timeout=_SECONDS)
        return retry(self.config, f"asking for the offsets of {name_of(place)}", request)

    def _known_end(self, place: Place) -> int:
        return self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)[1]

    def _failed(self, error: KafkaError, partition: PartitionBuffer | None, offset: int | None) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._watch.answered()
            if partition is not None:
                partition.reached = offset or 0
                partition.goal = min(partition.goal, partition.reached)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET and partition is not None:
            place = partition.place
            partition.reached = self.start_offsets.handle_gap(place, partition.next, "reading on", *self._ends(place))
            self._consumer.incremental_unassign([TopicPartition(*place)])
            self._consumer.incremental_assign([TopicPartition(*place, partition.reached)])
        else:
            self._watch(error)
            self._watch.check()

    def _on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        self._unanswered -= 1
        failed = error or next((each.error for each in offsets if each.error), None)
        if failed is not None:
            said = explain_error(self.config, f"committing offsets of topic {self.topics.text!r}", failed)
            self._watch.patience.say(f"{said} Lag monitors are behind until a commit succeeds.")
        else:
            for each in offsets:
                self.foreign.pop((each.topic, each.partition), None)

    def _statistics(self, text: str) -> None:
        seen = orjson.loads(text)
        if any(broker["state"] == "UP" for broker in seen["brokers"].values()):
            self._watch.answered()
        states = {
            (topic, int(number)): state
            for topic, each in seen["topics"].items()
            for number, state in each["partitions"].items()
            if self.topics.matches(topic) and int(number) >= 0
        }
        self._check_leaders({place for place in self._partitions if _has_no_leader(states.get(place))})
        self._note_new({place for place, state in states.items() if not state["unknown"]} - self._known)
        self._look_is_due = self.topics.pattern is not None
        if (topic := self.topic_ids.changed()) is not None:
            self._watch.give_up(
                f"topic {topic!r} was deleted and made anew while the job read it: the job ends. Start it again, with"
                " `lost_offsets` set to continue to keep the model and read the new topic from its first record."
            )

    def _note_new(self, new: set[Place]) -> None:
        new = self.share.among(new) if self.share is not None and new else new
        self._known, self._new = self._known | new, self._new | new

    def _check_leaders(self, leaderless: set[Place]) -> None:
        """Wait for the leader of a partition as for a broker: brokers may be up while none of them leads it."""
        now = time.monotonic()
        self._leaderless = {place: self._leaderless.get(place, now) for place in leaderless}
        for place, since in self._leaderless.items():
            said = f"{name_of(place)} has no leader: none of the brokers that are there holds it."
            self._watch.patience.say(f"{said} The job waits.")
            if now - since > self._watch.patience.seconds:
                self._watch.give_up(
                    f"{said} That has been so for {self._watch.patience.seconds:g} s (`broker_patience`): the job ends."
                    " Start the broker that has it, and the job again: it goes on from its last snapshot."
                )


def _has_no_leader(state: Mapping[str, Any] | None) -> bool:
    return state is not None and not state["unknown"] and state["leader"] < 0
