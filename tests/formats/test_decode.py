"""Decoders: accepted and rejected records with reasons. They never raise."""

import json
import math
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main
from hypothesis import given
from hypothesis import strategies as st

from flows.formats.csv_events import FIELDS, MISSING, CsvDecoder
from flows.formats.json_events import JsonDecoder
from flows.formats.validation import END_OF_TIME, MAX_DEPTH, MAX_RECORD_BYTES, Reason
from flows.messages import Event, Forget, Interaction, ItemEvent, Raw, Rejected, Request
from flows.steps.decode import decode
from tests.support.records_to_decode import check_rejected, from_csv, from_json, number, raw, record, row

GOOD = Interaction("u1", "i9", 1382021321.5, at=("events", 0, 7), arrived=2.5, has_value=False)


class TestGoodJson:
    def test_defaults(self) -> None:
        assert from_json(raw(record()), 2.5) == GOOD

    def test_every_field(self) -> None:
        value = record(event="click", value=4, id="e-77", session="s3", context={"device": "phone"}, kind="interaction")
        assert from_json(raw(value), 2.5) == Interaction(
            "u1", "i9", 1382021321.5, "click", 4.0, "e-77", "s3", {"device": "phone"}, ("events", 0, 7), 2.5
        )

    @pytest.mark.parametrize(
        "value",
        [
            record() + b"\r",
            b"\xef\xbb\xbf" + record(),
            b" \t" + record() + b" \n",
            record(event=None, value=None, id=None, session=None, context=None, kind=None),
            record(event="", id="", session=""),
            record(colour="red", nested={"a": [1, {}]}),
            record(arrived=99.0, source="elsewhere"),
            record(features=7, available="maybe"),  # another kind's fields are unknown fields here
            b'{"user": "first", ' + record()[1:],  # of a field given twice the last counts
        ],
    )
    def test_forms_of_the_same_event(self, value: bytes) -> None:
        assert from_json(raw(value), 2.5) == GOOD

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("2013-10-17T14:48:41.5Z", 1382021321.5),
            ("2013-10-17T16:48:41.5+02:00", 1382021321.5),
            ("2013-10-17 14:48:41.500000+00:00", 1382021321.5),
            ("1970-01-01T00:00:00Z", 0.0),
        ],
    )
    def test_iso_times(self, text: str, seconds: float) -> None:
        for event in (from_json(raw(record(timestamp=text)), 0.0), from_csv(raw(row(timestamp=text)), 0.0)):
            assert isinstance(event, Interaction)
            assert event.timestamp == seconds

    def test_item_event(self) -> None:
        value = record(kind="item", available=True, features={"tags": ["news"], "price": 5000})
        expected = ItemEvent("i9", 1382021321.5, True, {"tags": ["news"], "price": 5000}, ("events", 0, 7))
        assert from_json(raw(value), 0.0) == expected

    def test_item_event_needs_only_item_and_time(self) -> None:
        value = b'{"item": "i9", "timestamp": 5, "kind": "item", "user": 3}'
        assert from_json(raw(value), 0.0) == ItemEvent("i9", 5.0, at=("events", 0, 7))

    def test_kind_in_escapes_is_read(self) -> None:
        value = rb'{"user": "u1", "item": "i9", "timestamp": 5, "\u006bind": "item"}'
        assert isinstance(from_json(raw(value), 0.0), ItemEvent)

    @pytest.mark.parametrize("user", [b'"u1"', b"1"])
    def test_item_named_kind_is_an_interaction(self, user: bytes) -> None:
        value = b'{"user": %s, "item": "kind", "timestamp": 5, "context": {"kind": "item"}}' % user
        assert isinstance(from_json(raw(value), 0.0), Interaction)

    def test_forget(self) -> None:
        value = b'{"kind": "forget", "user": "u1", "timestamp": 5, "item": 3}'
        assert from_json(raw(value), 2.5) == Forget("u1", 5.0, ("events", 0, 7), 2.5)

    def test_request(self) -> None:
        value = b'{"kind": "request", "user": "u1", "timestamp": 5, "request": "r-18", "item": 3}'
        assert from_json(raw(value), 2.5) == Request("u1", 5.0, "r-18", None, ("events", 0, 7), 2.5)
        value = record(kind="request", request="r-18", context={"device": "phone"}, is_of_replay=True)
        expected = Request("u1", 1382021321.5, "r-18", {"device": "phone"}, ("events", 0, 7), 2.5)
        assert from_json(raw(value), 2.5) == expected

    def test_id_of_the_greatest_length(self) -> None:
        for user in ("u" * 1024, "ü" * 512, "𝄞" * 256):
            event = from_json(raw(record(user=user)), 0.0)
            assert isinstance(event, Interaction)
            assert event.user == user


class TestGoodCsv:
    def test_carriage_return_is_not_part_of_the_last_cell(self) -> None:
        decoder = CsvDecoder(["timestamp", "user", "item"])
        assert decoder(raw(b"1382021321.5,u1,i9\r"), 2.5) == GOOD
        assert decoder(raw(b'1382021321.5,u1,"i9"\r'), 2.5) == GOOD

    def test_quotes_and_commas(self) -> None:
        event = from_csv(raw(row(user='say "hi"', item="1,2")), 0.0)
        assert isinstance(event, Interaction)
        assert (event.user, event.item) == ('say "hi"', "1,2")

    def test_columns_that_hold_no_field(self) -> None:
        decoder = CsvDecoder(["", "user", "genre", "item", "", "timestamp"])
        assert decoder(raw(b"x,u1,x,i9,x,1382021321.5"), 2.5) == GOOD

    def test_columns_must_hold_the_required_fields(self) -> None:
        with pytest.raises(ValueError, match="missing item, timestamp"):
            CsvDecoder(["user", "value"])


def check_sound(result: Event | Rejected) -> None:
    """What decode promises later steps of any event."""
    if isinstance(result, Rejected):
        assert result.reason in set(Reason)
        return
    ids = [getattr(result, field) for field in ("user", "item", "event") if hasattr(result, field)]
    assert all(0 < len(text.encode()) <= 1024 for text in ids)
    assert 0.0 <= result.timestamp < END_OF_TIME
    if isinstance(result, Interaction):
        assert math.isfinite(result.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)

field_names = st.sampled_from([*FIELDS, "kind", "context", "available", "features"]) | st.text(max_size=3)

kinds = st.fixed_dictionaries({}, optional={"kind": st.sampled_from(["item", "forget", "interaction"])})

likely_json = st.builds(
    lambda fields, kind: record(**{**fields, **kind}), st.dictionaries(field_names, json_values), kinds
)

likely_csv = st.text('u1,"\r\n_.-+eT:Z\0ü').map(str.encode)

any_bytes = st.binary() | likely_json | likely_csv


@given(any_bytes)
def test_decoder_never_raises_for_any_bytes(value: bytes) -> None:
    check_sound(from_json(raw(value), 0.0))
    check_sound(from_csv(raw(value), 0.0))


@given(record_bytes=likely_json, at=st.integers(0, 200), by=st.binary(max_size=3))
def test_decoder_never_raises_for_damaged_records(record_bytes: bytes, at: int, by: bytes) -> None:
    check_sound(from_json(raw(record_bytes[:at] + by + record_bytes[at + 1 :]), 0.0))


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=300).filter(
    lambda cell: cell not in MISSING  # words that stand for an empty cell in CSV, and are words in JSON
)


@given(
    user=cells,
    item=cells,
    timestamp=st.floats(-10, END_OF_TIME + 10),
    event=st.none() | cells,
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    id=st.none() | cells,
    session=st.none() | cells,
)
def test_json_and_csv_of_one_event_decode_alike(timestamp: float, value: float | None, **texts: str | None) -> None:
    fields = {"timestamp": timestamp, "value": value, **texts}
    as_json = from_json(raw(record(**fields)), 2.5)
    as_csv = from_csv(raw(row(**{name: str(cell) for name, cell in fields.items() if cell is not None})), 2.5)
    if isinstance(as_json, Rejected):
        assert isinstance(as_csv, Rejected)
        assert (as_json.reason, as_json.field) == (as_csv.reason, as_csv.field)
    else:
        assert as_json == as_csv


@given(garbage=st.lists(any_bytes, max_size=6), at=st.integers(0, 6), batch_size=st.integers(1, 3))
@pytest.mark.slow
def test_a_good_event_beside_garbage_is_never_lost(garbage: list[bytes], at: int, batch_size: int) -> None:
    values = [*garbage[:at], record(), *garbage[at:]]
    records = [Raw("events", 0, n, value) for n, value in enumerate(values)]
    events: list[Event] = []
    rejected: list[Rejected] = []
    flow = Dataflow("fuzz")
    out = decode("decode", op.input("in", flow, TestingSource(records, batch_size)), from_json)
    op.output("events", out.events, TestingSink(events))
    op.output("rejected", out.rejected, TestingSink(rejected))
    run_main(flow)  # type: ignore[no-untyped-call]  # bytewax does not type it
    assert all(isinstance(reject, Rejected) for reject in rejected)
    assert not any(isinstance(event, Rejected) for event in events)
    assert f"events/0/{min(at, len(garbage))}" in [event.source for event in events]
    assert sorted([e.source for e in events] + [r.source for r in rejected]) == sorted(r.source for r in records)
    assert [r.raw for r in rejected] == [records[int(r.source.rsplit("/", 1)[1])].value for r in rejected]


def test_a_batch_arrives_at_one_moment() -> None:
    events: list[Event] = []
    flow = Dataflow("arrival")
    source = TestingSource([Raw("events", 0, n, record()) for n in range(4)], batch_size=2)
    op.output("events", decode("decode", op.input("in", flow, source), from_json).events, TestingSink(events))
    run_main(flow)  # type: ignore[no-untyped-call]  # bytewax does not type it
    arrivals = [event.arrived for event in events if isinstance(event, Interaction)]
    assert arrivals[0] == arrivals[1] < arrivals[2] == arrivals[3]


DEEP = b"[" * 100_000

BAD_JSON: list[tuple[bytes | None, Reason, str]] = [
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
def test_invalid_json_is_rejected(value: bytes | None, reason: Reason, field: str) -> None:
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
def test_invalid_csv_is_rejected(value: bytes | None, reason: Reason, field: str) -> None:
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
