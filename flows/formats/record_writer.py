"""Writes events in the form in which the job reads its input topic."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

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
        """Encode an event, keyed by its user, or by its item where it has no user.

        A field that the job does not read is left out. A key that is written with dots is read like a path into nested
        objects, so nothing is nested here.

        Args:
            event: Its fields by their own names, as `flows.formats.json_events.fields_of` returns them.
        """
        paths = self._paths
        record = {paths[name]: value for name, value in event.items() if name in paths}
        record[paths["timestamp"]] = self._time(float(event["timestamp"]))
        key = event.get("user") or event["item"]
        return Outgoing(str(key).encode(), msgspec.json.encode(record))

    def _time(self, seconds: float) -> float | int | str:
        times = self._times
        if times.form is not None:
            return datetime.fromtimestamp(seconds, times.tz).strftime(times.form)
        if times.unit == "s":
            return seconds
        if times.unit in SECONDS_OF:
            count = round(seconds * SECONDS_OF[times.unit], 3)
            return int(count) if count.is_integer() else count
        return datetime.fromtimestamp(seconds, UTC).isoformat()
