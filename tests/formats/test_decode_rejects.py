"""Records that cannot be decoded are rejected, each with its reason and its field."""

import json
from typing import Any

import pytest

from flows.formats.csv_events import FIELDS, CsvDecoder
from flows.formats.json_events import JsonDecoder
from flows.formats.validation import END_OF_TIME, MAX_DEPTH, MAX_RECORD_BYTES, Reason
from flows.messages import Interaction, Rejected
from tests.support.records_to_decode import check_rejected, from_csv, from_json, number, raw, record, row

DEEP = b"[" * 100_000

BAD_JSON: list[tuple[bytes | None, Reason, str]] = [
    (None, Reason.EMPTY_RECORD, ""),
    (b"", Reason.EMPTY_RECORD, ""),
    (b" \r\n", Reason.EMPTY_RECORD, ""),
    (b"user,item", Reason.NOT_JSON, ""),
    (b"{", Reason.NOT_JSON, ""),
    (record()[:-5], Reason.NOT_JSON, ""),
    (record() + b"}", Reason.NOT_JSON, ""),
    (record() + record(), Reason.NOT_JSON, ""),
    (record().replace(b'"', b"'"), Reason.NOT_JSON, ""),
    (b"\xef\xbb\xbf", Reason.NOT_JSON, ""),
    (b"\xef\xbb\xbf\xef\xbb\xbf" + record(), Reason.NOT_JSON, ""),
    (record().decode().encode("utf-16"), Reason.NOT_UTF8, ""),
    (record(user="ü").decode().encode().replace(b"\\u00fc", b"\xfc"), Reason.NOT_UTF8, ""),
    (record(user="\ud800"), Reason.NOT_JSON, ""),
    (b"null", Reason.NOT_AN_OBJECT, ""),
    (b"[" + record() + b"]", Reason.NOT_AN_OBJECT, ""),
    (b'"text"', Reason.NOT_AN_OBJECT, ""),
    (b"7", Reason.NOT_AN_OBJECT, ""),
    (DEEP, Reason.NOT_AN_OBJECT, ""),
    (b'{"a":' * 100_000, Reason.TOO_DEEP, ""),
    (record()[:-1] + b', "other": ' + DEEP + b"}", Reason.TOO_DEEP, ""),
    (record()[:-1] + b', "context": {"a": ' + DEEP + b"}}", Reason.TOO_DEEP, ""),
    (record(context={"a": json.loads("[" * 100 + "]" * 100)}), Reason.TOO_DEEP, "context"),
    (
        record(kind="item", features={"a": json.loads('{"a":' * 50 + "1" + "}" * 50)}),
        Reason.TOO_DEEP,
        "features",
    ),
    (b'{"item": "i9", "timestamp": 1}', Reason.MISSING_FIELD, "user"),
    (b'{"user": "u1", "timestamp": 1}', Reason.MISSING_FIELD, "item"),
    (b'{"user": "u1", "item": "i9"}', Reason.MISSING_FIELD, "timestamp"),
    (b'{"kind": "item", "timestamp": 1}', Reason.MISSING_FIELD, "item"),
    (b'{"kind": "forget", "timestamp": 1}', Reason.MISSING_FIELD, "user"),
    (b'{"kind": "request", "timestamp": 1, "request": "r-18"}', Reason.MISSING_FIELD, "user"),
    (b'{"kind": "request", "user": "u1", "request": "r-18"}', Reason.MISSING_FIELD, "timestamp"),
    (b'{"kind": "request", "user": "u1", "timestamp": 1}', Reason.MISSING_FIELD, "request"),
    (record(kind="request", request=1.8), Reason.WRONG_TYPE, "request"),
    (record(kind="request", request=""), Reason.EMPTY_ID, "request"),
    (record(kind="request", request="r" * 2000), Reason.TOO_LONG, "request"),
    (record(kind="request", request="r\0"), Reason.NUL, "request"),
    (record(kind="request", request="r-18", user=""), Reason.EMPTY_ID, "user"),
    (record(kind="request", request="r-18", context=[]), Reason.WRONG_TYPE, "context"),
    (record(kind="request", request="r-18", timestamp="soon"), Reason.NOT_A_TIME, "timestamp"),
    (record(user=None), Reason.MISSING_FIELD, "user"),
    (record(timestamp=None), Reason.MISSING_FIELD, "timestamp"),
    (record(user=7.5), Reason.WRONG_TYPE, "user"),
    (record(item=7.0), Reason.WRONG_TYPE, "item"),
    (record(user=True), Reason.WRONG_TYPE, "user"),
    (record(item=["i9"]), Reason.WRONG_TYPE, "item"),
    (record(timestamp=True), Reason.WRONG_TYPE, "timestamp"),
    (record(timestamp={"$date": 1}), Reason.WRONG_TYPE, "timestamp"),
    (record(event=0.5), Reason.WRONG_TYPE, "event"),
    (record(value="four"), Reason.WRONG_TYPE, "value"),
    (record(value="1_0"), Reason.WRONG_TYPE, "value"),
    (record(value=False), Reason.WRONG_TYPE, "value"),
    (record(id=[77]), Reason.WRONG_TYPE, "id"),
    (record(session={}), Reason.WRONG_TYPE, "session"),
    (record(context=[]), Reason.WRONG_TYPE, "context"),
    (record(kind=3), Reason.WRONG_TYPE, "kind"),
    (record(kind="item", available=1), Reason.WRONG_TYPE, "available"),
    (record(kind="item", features="red"), Reason.WRONG_TYPE, "features"),
    (record(kind="purchase"), Reason.UNKNOWN_KIND, "kind"),
    (record(kind=""), Reason.UNKNOWN_KIND, "kind"),
    (record(user=""), Reason.EMPTY_ID, "user"),
    (record(item=""), Reason.EMPTY_ID, "item"),
    (record(kind="forget", user=""), Reason.EMPTY_ID, "user"),
    (record(user="u" * 10_000_000), Reason.TOO_LONG, "user"),
    (record(item="i" * 1025), Reason.TOO_LONG, "item"),
    (record(item="ü" * 513), Reason.TOO_LONG, "item"),
    (record(event="e" * 2000), Reason.TOO_LONG, "event"),
    (record(id="e" * 2000), Reason.TOO_LONG, "id"),
    (record(session="e" * 2000), Reason.TOO_LONG, "session"),
    (record(kind="item", item="i" * 2000), Reason.TOO_LONG, "item"),
    (b" " * MAX_RECORD_BYTES + record(), Reason.RECORD_TOO_LONG, ""),
    (record(user="u\0"), Reason.NUL, "user"),
    (record(item="\0"), Reason.NUL, "item"),
    (number(b"NaN", "value"), Reason.NOT_FINITE, "value"),
    (number(b"-Infinity", "value"), Reason.NOT_FINITE, "value"),
    (number(b"1e999", "value"), Reason.NOT_FINITE, "value"),
    (number(b"9" * 400, "value"), Reason.NOT_FINITE, "value"),
    (number(b"NaN"), Reason.NOT_FINITE, "timestamp"),
    (number(b"-1e999"), Reason.NOT_FINITE, "timestamp"),
    (number(b"9" * 5000), Reason.NOT_FINITE, "timestamp"),
    (number(b"-1"), Reason.TIME_OUT_OF_RANGE, "timestamp"),
    (number(b"9" * 30), Reason.TIME_OUT_OF_RANGE, "timestamp"),
    (number(b"1e300"), Reason.TIME_OUT_OF_RANGE, "timestamp"),
    (record(timestamp=1382021321500), Reason.TIME_OUT_OF_RANGE, "timestamp"),
    (record(timestamp=END_OF_TIME), Reason.TIME_OUT_OF_RANGE, "timestamp"),
    (record(timestamp="1969-12-31T23:59:59Z"), Reason.TIME_OUT_OF_RANGE, "timestamp"),
    (record(timestamp="0001-01-01T00:00:00+23:59"), Reason.TIME_OUT_OF_RANGE, "timestamp"),
    (record(timestamp="9999-12-31T23:59:59-23:59"), Reason.TIME_OUT_OF_RANGE, "timestamp"),
    (record(timestamp="1382021321500"), Reason.TIME_OUT_OF_RANGE, "timestamp"),
    (record(timestamp="17-10-2013 14:48"), Reason.NOT_A_TIME, "timestamp"),
    (record(timestamp="2013-13-17T14:48:41Z"), Reason.NOT_A_TIME, "timestamp"),
    (record(timestamp=""), Reason.NOT_A_TIME, "timestamp"),
]


@pytest.mark.parametrize(("value", "reason", "field"), BAD_JSON, ids=lambda part: str(part)[:60])
def test_bad_json(value: bytes | None, reason: Reason, field: str) -> None:
    check_rejected(from_json(raw(value), 0.0), reason, field, value)


BAD_CSV: list[tuple[bytes | None, Reason, str]] = [
    (None, Reason.EMPTY_RECORD, ""),
    (b"", Reason.EMPTY_RECORD, ""),
    (b"\r", Reason.EMPTY_RECORD, ""),
    (b"u1,i9,5", Reason.MALFORMED_ROW, ""),
    (row() + b",", Reason.MALFORMED_ROW, ""),
    (b'"u1,i9,5,,,,', Reason.MALFORMED_ROW, ""),
    (b'"u1"x,i9,5,,,,', Reason.MALFORMED_ROW, ""),
    (b'u"1,i9,5,,,,', Reason.MALFORMED_ROW, ""),
    (b'u1",i9,5,,,,', Reason.MALFORMED_ROW, ""),
    (b'"' * 1_000_001, Reason.MALFORMED_ROW, ""),
    (row(user='"' + "u" * 200_000), Reason.MALFORMED_ROW, ""),  # longer than the csv module takes in quotes
    (b"\xfc,i9,5,,,,", Reason.NOT_UTF8, ""),
    (row().decode().encode("utf-16"), Reason.NOT_UTF8, ""),
    (b"u1," * MAX_RECORD_BYTES, Reason.RECORD_TOO_LONG, ""),
    (row(user=""), Reason.EMPTY_ID, "user"),
    (row(item=""), Reason.EMPTY_ID, "item"),
    (row(user="u" * 10_000_000), Reason.TOO_LONG, "user"),
    (row(user="u\0"), Reason.NUL, "user"),
    (row(timestamp=""), Reason.MISSING_FIELD, "timestamp"),
    (row(timestamp="yesterday"), Reason.NOT_A_TIME, "timestamp"),
    (row(timestamp="1_000"), Reason.NOT_A_TIME, "timestamp"),
    (row(timestamp="0x10"), Reason.NOT_A_TIME, "timestamp"),
    (row(timestamp="17.10.2013"), Reason.NOT_A_TIME, "timestamp"),
    (row(timestamp="NULL"), Reason.MISSING_FIELD, "timestamp"),
    (row(user="\\N"), Reason.MISSING_FIELD, "user"),
    (row(item="null"), Reason.MISSING_FIELD, "item"),
    (row(timestamp="nan"), Reason.NOT_FINITE, "timestamp"),
    (row(timestamp="-inf"), Reason.NOT_FINITE, "timestamp"),
    (row(timestamp="-1"), Reason.TIME_OUT_OF_RANGE, "timestamp"),
    (row(timestamp="1382021321500"), Reason.TIME_OUT_OF_RANGE, "timestamp"),
    (row(value="NaN"), Reason.NOT_FINITE, "value"),
    (row(value="1e999"), Reason.NOT_FINITE, "value"),
    (row(value="four"), Reason.WRONG_TYPE, "value"),
    (row(value="1_0"), Reason.WRONG_TYPE, "value"),
    (row(value="true"), Reason.WRONG_TYPE, "value"),
]


@pytest.mark.parametrize(("value", "reason", "field"), BAD_CSV, ids=lambda part: str(part)[:60])
def test_bad_csv(value: bytes | None, reason: Reason, field: str) -> None:
    check_rejected(from_csv(raw(value), 0.0), reason, field, value)


def test_reject_is_named_by_the_function_given() -> None:
    for decoder in (
        JsonDecoder(lambda r: f"line {r.offset}"),
        CsvDecoder(FIELDS, lambda r: f"line {r.offset}"),
    ):
        rejected = decoder(raw(b"?"), 0.0)
        assert isinstance(rejected, Rejected)
        assert rejected.source == "line 7"


def test_depth_that_is_just_allowed() -> None:
    nested: dict[str, Any] = {"a": 1}
    for _ in range(MAX_DEPTH - 2):
        nested = {"a": nested}
    event = from_json(raw(record(context=nested)), 0.0)
    assert isinstance(event, Interaction)
    assert event.context == nested
