"""Envelopes of events on Kafka: each is opened, and an invalid record is rejected with all its bytes."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from flows.formats.envelopes.schema_registry import RegistryError, RegistryFrame
from flows.formats.envelopes.topic_format import TopicFormat
from flows.formats.reasons import Reason
from flows.job.decoder import decoder_of
from flows.messages import Ignored, Interaction, ItemEvent, Raw, Rejected
from flows.settings import Settings
from tests.support.schema_registry import AVRO, Registry, avro, framed, schema_registry

Headers = list[tuple[str, str | bytes | None]]
EVENT = {"user": "u1", "item": "i9", "timestamp": 1382021321.5}


class Message:
    def __init__(self, headers: Headers | None = None, time: int | None = None) -> None:
        self._headers, self._time = headers, time

    def key(self) -> None:
        return None

    def headers(self) -> Headers | None:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return (0, -1) if self._time is None else (1, self._time)


def decoded(value: object, message: Message | None = None, topic: str = "events", **settings: Any) -> Any:
    text = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return decoder_of(Settings.model_validate(settings))(Raw(topic, 0, 7, text, message), 0.0)


def test_a_structured_cloud_event_gives_its_id_type_and_time_to_data_without() -> None:
    event = {"specversion": "1.0", "id": "e-7", "source": "/shop", "type": "purchase", "time": "2013-10-17T14:48:41Z"}
    found = decoded({**event, "data": {"user": "u1", "item": "i9"}}, envelope="cloudevents")
    assert (found.user, found.event, found.timestamp, found.id) == ("u1", "purchase", 1382021321.0, "/shop#e-7")
    own = decoded({**event, "data": {**EVENT, "event": "click", "id": "mine"}}, envelope="cloudevents")
    assert (own.event, own.timestamp, own.id) == ("click", 1382021321.5, "mine")
    coded = {**event, "data_base64": base64.b64encode(orjson.dumps(EVENT)).decode()}
    assert decoded(coded, envelope="cloudevents").item == "i9"


def test_a_binary_cloud_event_has_its_attributes_in_headers_and_fields_may_name_them() -> None:
    headers: Headers = [("ce_specversion", b"1.0"), ("ce_id", b"e-7"), ("ce_source", b"/shop"), ("ce_subject", b"u5")]
    settings = {"envelope": "cloudevents", "fields": {"user": "ce.subject", "item": "sku", "timestamp": "at"}}
    found = decoded({"sku": 4, "at": 1382021321}, Message(headers), **settings)
    assert (found.user, found.item, found.id) == ("u5", "4", "/shop#e-7")


@pytest.mark.parametrize(
    ("envelope", "value", "reason"),
    [
        ("cloudevents", EVENT, Reason.NO_ENVELOPE),
        ("cloudevents", {"specversion": "1.0", "data": "text"}, Reason.NOT_AN_OBJECT),
        ("cloudevents", {"specversion": "1.0", "data_base64": "?"}, Reason.NOT_JSON),
        ("cloudevents", b"{", Reason.NOT_JSON),
        ("cloudevents", b"\xff", Reason.NOT_UTF8),
        ("debezium", EVENT, Reason.NO_ENVELOPE),
        ("debezium", {"op": "c", "after": None}, Reason.MISSING_FIELD),
        ("debezium", {"op": "t"}, Reason.UNKNOWN_KIND),
        ("debezium", {"op": "c", "after": {"user": "u1"}}, Reason.MISSING_FIELD),
        ("debezium", b"", Reason.EMPTY_RECORD),
        ("debezium", b"[]", Reason.NO_ENVELOPE),
    ],
)
def test_record_outside_its_envelope_is_rejected_with_all_its_bytes(
    envelope: str, value: object, reason: Reason
) -> None:
    found = decoded(value, envelope=envelope)
    assert type(found) is Rejected
    assert found.reason == reason
    assert found.raw == (value if isinstance(value, bytes) else json.dumps(value).encode())


@pytest.mark.parametrize("has_schema", [True, False])
@pytest.mark.parametrize("operation", ["c", "u", "r"])
def test_rows_of_a_table_are_events_by_their_time_of_change(operation: str, has_schema: bool) -> None:
    row = {"customer": 5, "product": 9, "kind_of": "click"}
    change = {"op": operation, "before": None, "after": row, "source": {"ts_ms": 1382021321500}, "ts_ms": 9}
    fields = {"user": "customer", "item": "product", "event": "kind_of"}
    found = decoded({"schema": {}, "payload": change} if has_schema else change, envelope="debezium", fields=fields)
    assert (found.user, found.item, found.event, found.timestamp) == ("5", "9", "click", 1382021321.5)


def test_a_table_of_items_has_its_columns_as_features_and_a_deleted_row_is_not_available() -> None:
    formats = {"shop.items": {"kind": "item", "envelope": "debezium", "fields": {"item": "id"}}}
    row, settings = {"id": 9, "price": 50, "note": None}, {"topic_formats": formats, "time_unit": "ms"}
    made = decoded({"op": "c", "after": row, "ts_ms": 1382021321500}, topic="shop.items", **settings)
    assert made == ItemEvent("9", 1382021321.5, None, {"price": 50}, made.at)
    gone = decoded({"op": "d", "before": {"id": 9}, "after": None, "ts_ms": 1}, topic="shop.items", **settings)
    assert (gone.item, gone.available) == ("9", False)
    click = decoded({"user": "u1", "item": "9", "timestamp": 1382021321500}, topic="clicks", **settings)
    assert (type(click), click.timestamp) == (Interaction, 1382021321.5)


def test_a_deleted_row_that_is_no_event_and_a_tombstone_are_counted_and_are_no_dead_letters() -> None:
    for row in ({"id": 7}, {**EVENT, "user": ""}, {"kind": "forget", "user": "u1", "timestamp": 1}):
        found = decoded({"op": "d", "before": row, "ts_ms": 1}, envelope="debezium")
        assert (type(found), found.reason) == (Ignored, "delete")
    for settings in ({}, {"envelope": "debezium"}, {"envelope": "cloudevents"}):
        found = decoded(None, **settings)
        assert (type(found), found.reason) == (Ignored, "tombstone")


def test_the_records_kafka_timestamp_may_be_the_time() -> None:
    found = decoded({**EVENT, "timestamp": "nonsense"}, Message(time=1382021321500), time_from="kafka")
    assert found.timestamp == 1382021321.5
    assert decoded(EVENT, Message(), time_from="kafka").timestamp == 1382021321.5, "it has none of its own"


@pytest.mark.slow
@limits(deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: st.dictionaries(
            st.sampled_from(["op", "after", "before", "payload", "schema", "specversion", "data", "user", "ts_ms"]),
            inner,
        ),
    )
)
def test_envelope_decoder_never_raises(value: object) -> None:
    for envelope in ("cloudevents", "debezium"):
        found = decoded({"user": "u", "item": "i", "timestamp": 1} if value is None else value, envelope=envelope)
        assert isinstance(found, Rejected | Interaction)


JSON_SCHEMA = {"type": "object", "required": ["user"], "properties": {"user": {"type": "string"}}}


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with schema_registry() as served:
        yield served


def test_framed_avro_and_json_are_read_with_the_registrys_schemas(registry: Registry) -> None:
    avros, jsons, protos = registry.add("AVRO", AVRO), registry.add("JSON", JSON_SCHEMA), registry.add("PROTOBUF", "")
    decode = decoder_of(Settings.model_validate({"schema_registry": {"url": registry.url}}))
    row = {"user": "u1", "item": 9, "timestamp": 1382021321500, "value": 2.5}
    for _ in range(3):
        found = decode(Raw("events", 0, 7, framed(avros, avro(row))), 0.0)
        assert isinstance(found, Interaction)
        assert (found.user, found.item, found.timestamp, found.value) == ("u1", "9", 1382021321.5, 2.5)
        found = decode(Raw("events", 0, 8, framed(jsons, orjson.dumps(EVENT))), 0.0)
        assert isinstance(found, Interaction)
        assert (found.user, found.timestamp) == ("u1", 1382021321.5)
    for value, reason in (
        (framed(jsons, b'{"user": 5}'), Reason.WRONG_SCHEMA),
        (framed(avros, b"\xff"), Reason.WRONG_SCHEMA),
        (framed(protos, b""), Reason.UNKNOWN_SCHEMA),
        (framed(77, b"{}"), Reason.UNKNOWN_SCHEMA),
        (framed(77, b"{}"), Reason.UNKNOWN_SCHEMA),
        (orjson.dumps(EVENT), Reason.NO_ENVELOPE),
        (b"\0\0", Reason.NO_ENVELOPE),
    ):
        reject = decode(Raw("events", 0, 9, value), 0.0)
        assert isinstance(reject, Rejected)
        assert (reject.reason, reject.raw) == (reason, value)
    assert sum("/ids/77" in path for path in registry.asked) == 1


def test_a_registry_that_does_not_answer_ends_the_job_and_rejects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.formats.envelopes.schema_registry._PAUSE_SECONDS", 0.0)
    frame = RegistryFrame({"url": "http://127.0.0.1:1", "max.retries": 0})
    with pytest.raises(RegistryError, match=r"schema registry http://127.0.0.1:1: expected a schema; .*Is it running"):
        TopicFormat().decoder(frame)(Raw("events", 0, 0, framed(1, b"{}")), 0.0)
