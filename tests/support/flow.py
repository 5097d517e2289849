"""The whole flow without Kafka, lists in and lists out, and the events to put in."""

import gzip
from pathlib import Path
from typing import Any

import orjson
from bytewax.testing import TestingSink, TestingSource, run_main

from flows.formats.json_events import JsonDecoder
from flows.messages import FALLBACK_USER, Decided, Outgoing, Raw, Rejected
from flows.pipeline import Connections, build_flow
from flows.sample import EVENTS
from flows.settings import Settings


class Flow:
    """A flow between lists, which has run when it is made.

    Attributes:
        sent: The lists of users. The fallback lists are in `fallbacks`, and all in their order in `everything`.
        decided: What was decided about the lists of users.
        related, trending: The lists of items.
    """

    def __init__(self, records: list[bytes], batch: int = 10, **settings: Any) -> None:
        self.everything: list[tuple[str, Outgoing]] = []
        self.letters: list[tuple[str, Rejected]] = []
        self.all_decided: list[Decided] = []
        self.related: list[tuple[str, Outgoing]] = []
        self.trending: list[tuple[str, Outgoing]] = []
        raw = [Raw("events", 0, offset, record) for offset, record in enumerate(records)]
        self.connections = Connections(
            source=TestingSource(raw, batch_size=batch),
            decoder=JsonDecoder(),
            lists=TestingSink(self.everything),
            dead_letters=TestingSink(self.letters),
            dead_letter=lambda rejected: rejected,
            scores=TestingSink(self.all_decided),
            related=TestingSink(self.related),
            trending=TestingSink(self.trending),
        )
        run_main(build_flow(Settings(**settings), self.connections))

        self.sent = [(key, message) for key, message in self.everything if key != FALLBACK_USER]
        self.decided = [each for each in self.all_decided if each.ranked.event.user != FALLBACK_USER]

    @property
    def fallbacks(self) -> list[Any]:
        return [orjson.loads(message.value or b"null") for key, message in self.everything if key == FALLBACK_USER]

    @property
    def lists(self) -> list[Any]:
        return [None if message.value is None else orjson.loads(message.value) for _, message in self.sent]

    def items(self, index: int) -> list[str]:
        return [entry["item"] for entry in self.lists[index]["items"]]


def event(user: str, item: str, timestamp: float, **fields: object) -> bytes:
    return orjson.dumps({"user": user, "item": item, "timestamp": timestamp, **fields})


def to_json(row: str) -> bytes:
    """Turn a CSV row of the bundled log into the JSON event of the input topic."""
    user, item, time, kind, value = row.split(",")
    return event(user, item, float(time), event=kind, value=float(value))


def records_of(log: Path, count: int | None = None) -> list[bytes]:
    """Return the first `count` events of a gzipped CSV log as JSON, or all of them."""
    rows = gzip.decompress(log.read_bytes()).decode().splitlines()[1:]
    return [to_json(row) for row in rows[:count]]


def sample_records(count: int) -> list[bytes]:
    """Return the first `count` events of the bundled log as JSON."""
    return records_of(EVENTS, count)
