"""Decoder of records in an envelope, or with a kind or a time outside of them."""

import codecs
from datetime import date, datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

from flows.formats.envelopes.cloud_events import open_cloud_event
from flows.formats.envelopes.debezium import open_change_event
from flows.formats.envelopes.opened import DELETED, Envelope, Opened, iso_of
from flows.formats.envelopes.schema_registry import RegistryFrame
from flows.formats.json_events import JsonDecoder, not_json
from flows.formats.reasons import Reason, RejectError
from flows.formats.validation import MAX_RECORD_BYTES
from flows.messages import Event, Ignored, Interaction, ItemEvent, Raw, Rejected

EnvelopeName: TypeAlias = Literal["none", "cloudevents", "debezium"]
Kind: TypeAlias = Literal["interaction", "item", "request", "forget"]

ENVELOPES: Final[dict[EnvelopeName, Envelope]] = {
    "none": lambda record, raw: Opened(record),
    "cloudevents": open_cloud_event,
    "debezium": open_change_event,
}
_OF_ITEMS: Final = ("kind", "item", "timestamp", "available", "features", "ce")
_read = msgspec.json.Decoder().decode


class EnvelopeDecoder:
    """Opens the envelope of a record, fills in the kind and the time, and passes the event to a `JsonDecoder`.

    Args:
        decoder: Decodes the JSON object in the envelope.
        envelope: Which envelope.
        frame: Reads records with the schema registry's frame. None: they are JSON.
        kind: The kind of records that say none. An item event without `features` has all its other fields as such.
        time_from: `kafka`: the record's Kafka timestamp is the event's time.

    >>> decode = EnvelopeDecoder(JsonDecoder(fields={"item": "id"}), "debezium", kind="item")
    >>> change = b'{"op": "c", "after": {"id": 9, "price": 50}, "ts_ms": 1382021321500}'
    >>> event = decode(Raw("items", 0, 7, change), 0.0)
    >>> event.item, event.features, event.timestamp
    ('9', {'price': 50}, 1382021321.5)
    """

    def __init__(
        self,
        decoder: JsonDecoder,
        envelope: EnvelopeName = "none",
        frame: RegistryFrame | None = None,
        kind: Kind | None = None,
        time_from: Literal["record", "kafka"] = "record",
    ) -> None:
        self.decoder = decoder
        self.envelope = envelope
        self.frame = frame
        self.kind = kind
        self.time_from = time_from
        self._open = ENVELOPES[envelope]

    def __call__(self, raw: Raw, arrived: float) -> Event | Rejected:
        """Decode one record. A tombstone is ignored, and so is a deletion that is of no item and no interaction."""
        if raw.value is None:
            return self.decoder(raw, arrived)
        try:
            opened = self._open(self._record(raw, raw.value), raw)
            event = self._event(opened, raw)
            is_deleted = opened.is_deleted
        except RejectError as fault:
            return Rejected(self.decoder.name(raw), fault.reason, fault.field, raw.value, raw.carrier)
        except (RecursionError, OverflowError):
            return Rejected(self.decoder.name(raw), Reason.TOO_DEEP, "", raw.value, raw.carrier)
        decoded = self.decoder(raw._replace(value=event), arrived)
        if is_deleted and not isinstance(decoded, ItemEvent):
            if isinstance(decoded, Interaction):
                return msgspec.structs.replace(decoded, is_deleted=True)
            return Ignored(self.decoder.name(raw), DELETED, "", raw.value, raw.carrier)
        if isinstance(decoded, Rejected):
            return msgspec.structs.replace(decoded, raw=raw.value)
        return decoded

    def _record(self, raw: Raw, value: bytes) -> Any:
        if not value or value.isspace():
            raise RejectError(Reason.EMPTY_RECORD)
        if len(value) > MAX_RECORD_BYTES:
            raise RejectError(Reason.RECORD_TOO_LONG)
        if self.frame is not None:
            return self.frame(raw)
        try:
            return _read(value.removeprefix(codecs.BOM_UTF8))
        except UnicodeDecodeError:
            raise RejectError(Reason.NOT_UTF8) from None
        except msgspec.DecodeError:
            raise not_json(value) from None

    def _event(self, opened: Opened, raw: Raw) -> bytes:
        record = opened.record
        if not isinstance(record, dict):
            raise RejectError(Reason.NOT_AN_OBJECT)
        paths = self.decoder.fields
        said = dict(opened.said)
        if self.time_from == "kafka" and raw.carrier is not None:
            kind, milliseconds = raw.carrier.timestamp()
            if kind and milliseconds >= 0:
                said["timestamp"] = iso_of(milliseconds)
                record = {name: each for name, each in record.items() if name != "timestamp"}
        # A field that has a path of its own is the record's business.
        record = {**{name: each for name, each in said.items() if name not in paths}, **_present(record)}
        if self.kind is not None and "kind" not in paths:
            record.setdefault("kind", self.kind)
        if record.get("kind") == "item":
            self._fill_item(record, opened.is_deleted)
        return msgspec.json.encode(record, enc_hook=_as_text)

    def _fill_item(self, record: dict[str, Any], is_deleted: bool) -> None:
        paths = self.decoder.fields
        if is_deleted:
            record["available"] = False
        elif "features" not in record and "features" not in paths and self.kind == "item":
            taken = {*_OF_ITEMS, *(path.partition(".")[0] for path in paths.values())}
            record["features"] = {name: each for name, each in record.items() if name not in taken}


def _present(record: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in record.items() if each is not None}


def _as_text(value: Any) -> Any:
    """Convert values of Avro's logical types for JSON."""
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
