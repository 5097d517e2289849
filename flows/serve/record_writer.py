"""Writes the events that the server itself sends, in the form in which the job reads its input topic."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from flows.formats.field_map import paths_of
from flows.formats.times import SECONDS_OF, TimeFormat
from flows.messages import Outgoing


class RecordWriter:
    """Encodes events with the job's own names of fields and form of times.

    Args:
        fields: Names of fields, as in the job's setting `fields`.
        times: How the job reads timestamps.

    >>> writer = RecordWriter({"user": "who.id", "timestamp": "at"}, TimeFormat("ms"))
    >>> writer.encode({"user": "u1", "timestamp": 12.5, "kind": "forget"}).value.decode()
    '{"who.id":"u1","at":12500,"kind":"forget"}'
    >>> RecordWriter({"event": "kind"}, TimeFormat()).has_kinds
    False
    """

    def __init__(self, fields: Mapping[str, str], times: TimeFormat) -> None:
        self._paths = paths_of(fields)
        self._times = times

    @property
    def has_kinds(self) -> bool:
        """Whether the job reads the field `kind`, without which no request can be told from an interaction."""
        return "kind" in self._paths

    def encode(self, event: Mapping[str, Any]) -> Outgoing:
        """Encode an event, keyed by its user. Fields that have no name of their own in `fields` keep theirs.

        A key that is written with dots is read like a path into nested objects, so nothing is nested here.
        """
        record = {self._paths.get(name, name): value for name, value in event.items()}
        record[self._paths["timestamp"]] = self._time(float(event["timestamp"]))
        return Outgoing(str(event["user"]).encode(), msgspec.json.encode(record))

    def _time(self, seconds: float) -> float | int | str:
        times = self._times
        if times.form is not None:
            zone = UTC if times.zone in ("UTC", "") or times.zone[0] in "+-" else ZoneInfo(times.zone)
            return datetime.fromtimestamp(seconds, zone).strftime(times.form)
        if times.unit == "s":
            return round(seconds, 3)
        if times.unit in SECONDS_OF:
            return round(seconds * SECONDS_OF[times.unit])
        return datetime.fromtimestamp(seconds, UTC).isoformat()
