"""Scan of a past before it is learned: its size, its order, and whether it overlaps the topic."""

import math
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

from flows.errors import LogError
from flows.files.line_source import LogSource
from flows.files.merge import MergedSource
from flows.files.open_log import Log
from flows.files.sort import SortedSource
from flows.kafka.position import Place
from flows.messages import Interaction, Rejected

Identity: TypeAlias = tuple[str, str, str, str | None]
"""User, item, type and id of an event."""


@dataclass
class PastFacts:
    """Facts of a past."""

    records: int = 0
    """Records, rejects too."""
    events: int = 0
    """Interactions before the limit."""
    ends: float = -math.inf
    """Newest time of an interaction in Unix seconds."""
    at_end: set[Identity] = field(default_factory=set)
    """The interactions with that time."""
    positions: dict[Place, int] = field(default_factory=dict)
    """Offset behind the last record of each partition, where the past is a recording of a topic."""
    ids: set[str] = field(default_factory=set)
    """Ids of the interactions that are as new as the begin of the topic."""
    overlapping: int = 0
    """Interactions that are as new as the begin of the topic."""
    has_ids: bool = True
    """Whether each of those has an id."""


def time_text(time: float) -> str:
    """Return a time as it can be given to `--backfill-until`.

    >>> time_text(1_700_000_000.25), time_text(1_700_000_000.0)
    ('2023-11-14T22:13:20.250000Z', '2023-11-14T22:13:20Z')
    """
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")


class StoppedError(Exception):
    """The job was stopped while it looked at the past."""


def scan_past(
    log: Log, until: float | None, topic_begins: float | None, most_ids: int, stop: threading.Event | None = None
) -> PastFacts:
    """Read a log once, without learning anything.

    Args:
        log: The log. It can be read again afterwards.
        until: Only interactions before this time count. None: all.
        topic_begins: Oldest time in the topic. None: it holds no event.
        most_ids: Number of ids that are remembered.
        stop: Ends the reading when it is set.

    Raises:
        StoppedError: It was ended.
        LogError: It is not sorted, breaks off, or holds no event.
    """
    found, newest = PastFacts(), -math.inf
    recorded = {topic for source in _sources(log) for topic in _recorded_topic(source)}
    part = log.source.build_part("survey", "log", None)
    limit = math.inf if until is None else until
    begins = math.inf if topic_begins is None else topic_begins
    while True:
        if stop is not None and stop.is_set():
            raise StoppedError
        try:
            batch = part.next_batch()
        except StopIteration:
            break
        found.records += len(batch)
        for raw in batch:
            if recorded and raw.topic in recorded:
                found.positions[raw.topic, raw.partition] = raw.offset + 1
            event = log.decoder(raw, 0.0)
            if isinstance(event, Rejected):
                continue
            if event.timestamp < newest and not isinstance(log.source, SortedSource):
                raise LogError(
                    f"{log.source.where(raw)}: expected a backfill sorted by time; this record's time is "
                    f"{time_text(event.timestamp)}, after one of {time_text(newest)}. Add --backfill-sort, which sorts "
                    "it first."
                )
            newest = max(newest, event.timestamp)
            if isinstance(event, Interaction) and event.timestamp < limit:
                found.events += 1
                if event.timestamp > found.ends:
                    found.ends = event.timestamp
                    found.at_end.clear()
                if event.timestamp == found.ends:
                    found.at_end.add(identity(event))
                if event.timestamp >= begins:
                    _note_overlap(found, event, most_ids)
    if log.source.damage:
        raise LogError(f"{log.source.damage} Nothing is learned yet.")
    if not found.events:
        before = "" if until is None else f" before {time_text(until)} (--backfill-until)"
        raise LogError(
            f"{log.source.name}: expected events to learn{before}; none of its {found.records:,} records is one. "
            "Correct the option, or say in the table [files] how the file is read."
        )
    return found


def identity(event: Interaction) -> Identity:
    """Return what makes an event the same one, beside its time."""
    return event.user, event.item, event.event, event.id


def _note_overlap(found: PastFacts, event: Interaction, most_ids: int) -> None:
    found.overlapping += 1
    if event.id is None:
        found.has_ids = False
    elif len(found.ids) < most_ids:
        found.ids.add(event.id)


def _sources(log: Log) -> list[object]:
    source = log.source
    return [each.source for each in source.logs] if isinstance(source, MergedSource | SortedSource) else [source]


def _recorded_topic(source: object) -> list[str]:
    return [source.positions()[0]] if isinstance(source, LogSource) and source.positions is not None else []
