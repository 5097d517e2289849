"""Records as bytes, and what is expected of a reject: shared by the tests of decoding."""

import csv
import io
import json
from typing import Any

from flows.formats.csv_events import FIELDS, CsvDecoder
from flows.formats.json_events import JsonDecoder
from flows.formats.validation import Reason
from flows.messages import Event, Raw, Rejected

from_json = JsonDecoder()

from_csv = CsvDecoder(FIELDS)


def raw(value: bytes | None) -> Raw:
    return Raw("events", 0, 7, value)


def record(**fields: Any) -> bytes:
    return json.dumps({"user": "u1", "item": "i9", "timestamp": 1382021321.5, **fields}).encode()


def row(**fields: str) -> bytes:
    cells = {"user": "u1", "item": "i9", "timestamp": "1382021321.5", **fields}
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([cells.get(field, "") for field in FIELDS])
    return line.getvalue().encode()


def number(literal: bytes, field: str = "timestamp") -> bytes:
    """A record with a number that Python would not write so."""
    return record(**{field: 0.125}).replace(b"0.125", literal)


def check_rejected(result: Event | Rejected, reason: Reason, field: str, value: bytes | None) -> None:
    assert isinstance(result, Rejected), result
    assert (result.reason, result.field) == (reason, field)
    assert result.source == "events/0/7"
    assert result.raw == value
