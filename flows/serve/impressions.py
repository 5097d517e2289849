"""Writes impressions: events that say which items of a list were shown to a user."""

import asyncio
import logging
from typing import Final

from flows.formats.record_writer import RecordWriter
from flows.kafka.awaited_producer import AwaitedProducer
from flows.messages import Outgoing
from flows.serve.selection import Selection

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 10_000
"""Number of undelivered messages beyond which impressions are dropped, since a look-up never waits for them."""


class Impressions:
    """Writes an `impression` for each item of a list that was served.

    Args:
        producer: Writes the input topic.
        writer: Encodes them.
    """

    def __init__(self, producer: AwaitedProducer, writer: RecordWriter) -> None:
        self.producer = producer
        self.writer = writer
        self.written = 0
        self.dropped = 0
        self._tasks: set[asyncio.Task[object]] = set()

    def write(self, shown: Selection, moment: float) -> None:
        """Send the impressions, without waiting for their delivery.

        Args:
            shown: The list.
            moment: Unix seconds of the look-up.
        """
        if not shown.items:
            return
        if self.producer.pending > MOST_WAITING:
            self.dropped += len(shown.items)
            return
        self.written += len(shown.items)
        task = asyncio.ensure_future(self.producer.deliver(impressions_of(shown, moment, self.writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def impressions_of(shown: Selection, moment: float, writer: RecordWriter) -> list[Outgoing]:
    """Return the impression events of a list.

    >>> from flows.formats.times import TimeFormat
    >>> from flows.serve.lists import ListedItem
    >>> shown = Selection("u1", "own", [ListedItem("i4")], "events/0/7")
    >>> impressions_of(shown, 12.5, RecordWriter({}, TimeFormat()))[0].value.decode()
    '{"user":"u1","item":"i4","timestamp":12.5,"event":"impression","list":"events/0/7"}'
    """
    event = {"user": shown.user, "item": "", "timestamp": moment, "event": "impression", "list": shown.source}
    return [writer.encode({**event, "item": each.item}) for each in shown.items]
