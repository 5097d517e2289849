"""Join of a past and the input topics: where the job begins to read them, so that no event is missing or learned twice.

By position, where the past is a recording of the topic. By event id, where the job remembers the ids of all events that
may be in both. Else by time: then the past must end before the topic begins.
"""

import logging
import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flows.errors import UsageError
from flows.files.open_log import Log
from flows.files.recording import positions_of
from flows.job.decoder import decoder_of
from flows.job.past_plan import starts_of
from flows.job.past_scan import PastFacts, identity, scan_past, time_text
from flows.job.preflight import require_brokers
from flows.kafka.position import Place, name_of
from flows.kafka.start_offsets import BeginFrom, StartOffsets
from flows.kafka.topic_begin import Ends, ends_of, records_at
from flows.kafka.topics import TopicChoice
from flows.messages import Interaction
from flows.settings import Settings

logger = logging.getLogger(__name__)

LOOKED_AT: Final = 20
"""Records of each partition that are looked at, at its begin or its end."""


@dataclass(frozen=True)
class TopicBegin:
    """What the topic begins with, where the job would begin to read it."""

    begins: float
    """Oldest time of the first interactions in Unix seconds."""
    events: list[Interaction]


@dataclass(frozen=True)
class Inputs:
    """The input topics before the job begins."""

    ends: Mapping[Place, Ends]
    starts: Mapping[Place, int]
    begin: TopicBegin | None
    """None: they hold no event from there on."""


class TopicJoin:
    """Joins a past with the input topics of a job.

    Args:
        settings: The brokers, the topics, the group, and how records are decoded.
        until: Only interactions before this time, in Unix seconds, are learned of the past. None: all.
        begin_from: Where to begin in the topics, if the operator has chosen.

    Raises:
        UsageError: From the methods: the past and the topics overlap, or the operator must choose.
        KafkaJobError: From the methods: no broker answers, or records behind the past are gone.
    """

    def __init__(self, settings: Settings, until: float | None, begin_from: BeginFrom | None) -> None:
        self.settings = settings
        self.until = until
        self.begin_from = begin_from
        self.config: Mapping[str, Any] = {**settings.client(), "group.id": settings.group}

    def with_log(self, what: str, log: Log, stop: threading.Event) -> tuple[PastFacts, dict[str, int]]:
        """Scan files, and return where the job begins behind them. `stop` ends it."""
        inputs = self._inputs()
        begins = None if inputs.begin is None else inputs.begin.begins
        found = scan_past(log, self.until, begins, self.settings.dedup_window, stop)
        return found, self._starts(what, found, inputs)

    def with_topic(self, what: str, name: str) -> tuple[PastFacts, dict[str, int]]:
        """Look at the end of another topic, and return where the job begins behind it."""
        if self.settings.topics.matches(name):
            raise UsageError(
                f"--backfill-topic: expected a topic that the job does not read; {name} is in `input_topic` "
                f"({self.settings.input_topic}). Use --silent instead: no list is sent until it is caught up."
            )
        require_brokers(self.settings, {"--backfill-topic": [name]})
        inputs, ends, found = self._inputs(), ends_of(self.config, TopicChoice(name)), PastFacts()
        tails = [(place, max(each.low, each.high - LOOKED_AT)) for place, each in ends.items() if each.high > each.low]
        last = math.inf if self.until is None else math.nextafter(self.until, -math.inf)
        for event in self._interactions(tails):
            found.events += 1
            found.ends = max(found.ends, min(event.timestamp, last))
        if not found.events:
            raise UsageError(f"--backfill-topic: expected events at the end of {name}; there are none. Name another.")
        found.records = sum(each.high - each.low for each in ends.values())
        return found, self._starts(what, found, inputs)

    def with_positions(self, what: str, logs: Iterable[Path]) -> dict[str, int]:
        """Return where the job begins behind logs that were replayed. `check_end` compares the times later."""
        found = PastFacts()
        for path in logs:
            if (positions := positions_of(path)) is not None:
                name, pairs = positions()
                found.positions |= {(name, partition): offset + 1 for partition, offset in pairs}
        return self._starts(what, found, self._inputs())

    def check_end(self, what: str, newest: float, begin_at: Mapping[Place, int]) -> None:
        """Check that a past whose newest event is known now does not overlap the topics.

        Args:
            what: Names the past.
            newest: Time of that event in Unix seconds.
            begin_at: Where the job begins.
        """
        inputs = self._inputs()
        same = {place: at for place, at in begin_at.items() if inputs.starts.get(place) == at}
        if same:
            begin = self._begin(same, inputs.ends)
            logger.info("%s", expect_no_overlap(what, PastFacts(ends=newest), begin, self.settings))

    def _inputs(self) -> Inputs:
        if self.settings.start == "latest":
            raise UsageError(
                "setting start: expected earliest with a backfill, since the job goes on with what the topic holds; "
                "got latest. Set it to earliest."
            )
        ends = ends_of(self.config, self.settings.topics)
        starts = {place: self._start(place, each) for place, each in ends.items()}
        return Inputs(ends, starts, self._begin(starts, ends))

    def _start(self, place: Place, ends: Ends) -> int:
        if self.begin_from == "group" and ends.committed.offset >= 0:
            return ends.committed.offset
        if self.begin_from is None and ends.committed.offset > 0:
            raise UsageError(
                f"group {self.settings.group!r} has read {name_of(place)} to offset {ends.committed.offset:,} before. "
                "Add --from-start to learn the topic from its first record, behind the backfill; or --from-group to "
                "learn only what is new."
            )
        return ends.low

    def _begin(self, starts: Mapping[Place, int], ends: Mapping[Place, Ends]) -> TopicBegin | None:
        held = [(place, start) for place, start in starts.items() if ends[place].low <= start < ends[place].high]
        events = self._interactions(held)
        return TopicBegin(min(event.timestamp for event in events), events) if events else None

    def _interactions(self, places: Iterable[tuple[Place, int]]) -> list[Interaction]:
        decode = decoder_of(self.settings)
        decoded = [decode(raw, 0.0) for raw in records_at(self.config, places, LOOKED_AT)]
        return [event for event in decoded if isinstance(event, Interaction)]

    def _starts(self, what: str, found: PastFacts, inputs: Inputs) -> dict[str, int]:
        offsets = StartOffsets(self.settings.group, "earliest", self.settings.lost_offsets, None, Counter())
        positions = found.positions if self.until is None else {}
        known = {place: at for place, at in positions.items() if place in inputs.starts}
        starts = {**inputs.starts, **known}
        for place, at in known.items():
            low, high, _ = inputs.ends[place]
            if not low <= at <= high:
                starts[place] = offsets.handle_gap(place, at, "behind the backfill", low, high)
            logger.info("%s: the backfill is a recording of it up to offset %s", name_of(place), f"{at:,}")
        rest = {place: start for place, start in starts.items() if place not in known}
        if rest and found.events:
            begin = self._begin(rest, inputs.ends) if known else inputs.begin
            logger.info("%s", expect_no_overlap(what, found, begin, self.settings))
        return starts_of(starts)


def expect_no_overlap(what: str, found: PastFacts, topic: TopicBegin | None, settings: Settings) -> str:
    """Check that no event is both in the past and in the part of the topic that is still to be read.

    Args:
        what: Names the past.
        found: Facts of the past.
        topic: Begin of that part of the topic. None: it holds no event.
        settings: The number of ids that the job remembers.

    Returns:
        A sentence that says how both are joined.

    Raises:
        UsageError: They overlap, and nothing tells their events apart.
    """
    ends = time_text(found.ends)
    if topic is None:
        return f"the backfill ends at {ends}; the topic holds no event yet."
    begins, name = time_text(topic.begins), settings.input_topic
    same = [event for event in topic.events if event.timestamp == found.ends and identity(event) in found.at_end]
    if found.ends < topic.begins or (found.ends == topic.begins and not same):
        return f"the backfill ends at {ends}, and {name} begins at {begins}."
    ids_known = found.has_ids and 0 < found.overlapping <= settings.dedup_window and _begins_within(topic, found)
    if ids_known:
        return (
            f"the backfill ends at {ends}, and {name} begins at {begins}: up to {found.overlapping:,} events are in "
            "both. Their ids tell them apart, and each is learned once."
        )
    if same and found.ends == topic.begins:
        raise UsageError(
            f"{what}: expected a backfill that {name} goes on from; both hold the event of user {same[0].user!r} with "
            f"item {same[0].item!r} at {ends}. Add --backfill-until {begins}: from then on the topic is learned."
        )
    count = f"{found.overlapping:,} events" if found.overlapping else "events"
    raise UsageError(
        f"{what}: expected a backfill that ends before {name} begins; it ends at {ends}, and the topic begins at "
        f"{begins}, so that {count} may be in both. Add --backfill-until {begins}: from then on the topic is learned. "
        "Or give --from-group, if the group's offsets are behind the backfill."
    )


def _begins_within(topic: TopicBegin, found: PastFacts) -> bool:
    """Say whether the topic's first events, as far as they are that old, are known by their ids."""
    old = [event for event in topic.events if event.timestamp <= found.ends]
    return bool(old) and all(event.id in found.ids for event in old)
