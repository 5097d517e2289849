"""Decode one JSON object into an event, and encode an event as one."""

import codecs
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from flows.formats.field_map import check_fields, paths_of, picker
from flows.formats.times import TimeFormat
from flows.formats.validation import (
    MAX_RECORD_BYTES,
    Naming,
    Reason,
    RejectError,
    check_depth,
    check_id,
    interaction,
    position,
)
from flows.messages import Event, Forget, Ignored, Interaction, ItemEvent, Outgoing, Raw, Rejected, Request

KIND: Final = b'"kind"'
"""How nearly all encoders write the field's name. A record without it is an interaction, and needs no look at its
kind before: other kinds have other fields."""
INTERACTION: Final = (None, "interaction")
"""The kinds of interactions."""
TOMBSTONE: Final = "tombstone"
"""Why a record without a value is passed over: Kafka's own sign that a key was deleted."""


class JsonDecoder:
    """Turns the JSON object in a `Raw` into an event, or says why not in a `Rejected`. Never raises.

    Unknown fields are passed over; of a field given twice the last counts; null in a field means: not given.
    An id is text, or a whole number, which becomes text as it is written. 7.5 is refused, and 7.0 as well.

    Args:
        name: How rejects name their record.
        fields: Where a field has another name, or stands in a nested object: `{"user": "actor.id"}`. An empty path
            turns a field off.
        times: How timestamps are read.

    Raises:
        UsageError: A field is unknown, or a required one is turned off.

    >>> decode = JsonDecoder()
    >>> record = Raw("events", 0, 7, b'{"user": "u1", "item": 9, "timestamp": 1382021321.5}')
    >>> event = decode(record, arrived=0.0)
    >>> event.item, event.event, event.value, event.source
    ('9', 'interaction', 1.0, 'events/0/7')
    >>> reject = decode(Raw("events", 0, 8, b'{"user": 1.5, "item": "i9", "timestamp": 1}'), arrived=0.0)
    >>> reject.source, str(reject.reason), reject.field
    ('events/0/8', 'wrong type', 'user')
    >>> decode = JsonDecoder(fields={"user": "who.id", "item": "sku", "timestamp": "at"}, times=TimeFormat("ms"))
    >>> event = decode(Raw("events", 0, 9, b'{"who": {"id": "u1"}, "sku": 7, "at": 1382021321500}'), arrived=0.0)
    >>> event.user, event.item, event.timestamp
    ('u1', '7', 1382021321.5)
    """

    def __init__(
        self, name: Naming = position, fields: Mapping[str, str] | None = None, times: TimeFormat | None = None
    ) -> None:
        check_fields(fields or {})
        self.name = name
        self.fields = dict(fields or {})
        self.times = times or TimeFormat()
        self._is_plain = self.times.is_plain
        self._is_strict = True
        is_renamed = any(field != path for field, path in self.fields.items())
        self._pickers = {f: picker(path) for f, path in paths_of(self.fields).items()} if is_renamed else None

    def __call__(self, raw: Raw, arrived: float) -> Event | Rejected:
        """Decode one record. `arrived` is the `time.perf_counter()` that the event will carry."""
        try:
            return self._event(raw, arrived)
        except RejectError as found:
            if raw.value is None:
                return Ignored(self.name(raw), TOMBSTONE, "", None, raw.carrier)
            fault = found
        except UnicodeDecodeError:
            fault = RejectError(Reason.NOT_UTF8)
        except RecursionError:
            fault = RejectError(Reason.TOO_DEEP)
        except msgspec.ValidationError as error:
            fault = _broken_rule(str(error))
        except msgspec.DecodeError:
            fault = not_json(raw.value or b"")
        return Rejected(self.name(raw), fault.reason, fault.field, raw.value, raw.carrier)

    def _event(self, raw: Raw, arrived: float) -> Event:
        value = raw.value
        if not value or value.isspace():
            raise RejectError(Reason.EMPTY_RECORD)
        if len(value) > MAX_RECORD_BYTES:
            raise RejectError(Reason.RECORD_TOO_LONG)
        value = value.removeprefix(codecs.BOM_UTF8)
        if self._pickers is None:
            found = None if KIND in value else self._in_one_pass(raw, arrived, value)
            if found is not None:
                return found
            kind = _read_kind(value).kind
            if kind is None or kind == "interaction":
                found = self._in_one_pass(raw, arrived, value)
                return found or self._interaction(raw, arrived, _read_interaction(value))
            if kind == "item":
                return self._item_event(raw, _read_item_event(value))
            if kind == "request":
                return self._request(raw, arrived, _read_request(value))
            if kind == "forget":
                return self._forget(raw, arrived, _read_forget(value))
            raise RejectError(Reason.UNKNOWN_KIND, "kind")
        picked = self._picked(value)
        kind = _check_kind(picked.get("kind"))
        if kind is None or kind == "interaction":
            return self._interaction(raw, arrived, msgspec.convert(picked, _Interaction))
        if kind == "item":
            return self._item_event(raw, msgspec.convert(picked, _ItemEvent))
        if kind == "request":
            return self._request(raw, arrived, msgspec.convert(picked, _Request))
        if kind == "forget":
            return self._forget(raw, arrived, msgspec.convert(picked, _Forget))
        raise RejectError(Reason.UNKNOWN_KIND, "kind")

    def _in_one_pass(self, raw: Raw, arrived: float, value: bytes) -> Interaction | None:
        """Decode an interaction; None: it is none, or a field breaks a rule."""
        if self._is_strict:
            try:
                plain = _read_plain(value)
            except msgspec.ValidationError:
                pass
            else:
                return self._plain(raw, arrived, plain) if plain.kind in INTERACTION else None
        try:
            wire = _read_interaction(value)
        except msgspec.ValidationError:
            return None
        if wire.kind not in INTERACTION:
            return None
        found = self._interaction(raw, arrived, wire)
        self._is_strict = False  # ids are numbers here: the next ones will be, too
        return found

    def _picked(self, value: bytes) -> dict[str, Any]:
        assert self._pickers is not None
        record = _read_object(value)
        found = {field: pick(record) for field, pick in self._pickers.items()}
        return {field: each for field, each in found.items() if each is not None}

    def _plain(self, raw: Raw, arrived: float, w: "_Plain") -> Interaction:
        time = w.timestamp
        if not self._is_plain:
            time = self.times.seconds(time)
        return interaction(raw, arrived, w.user, w.item, time, w.event, w.value, w.id, w.session, w.context, w.list)

    def _interaction(self, raw: Raw, arrived: float, w: "_Interaction") -> Interaction:
        time = w.timestamp
        if isinstance(time, str) or not self.times.is_plain:
            time = self.times.seconds(time)
        value = w.value
        if isinstance(value, str):
            value = _number(value)
        return interaction(
            raw,
            arrived,
            w.user if isinstance(w.user, str) else str(w.user),
            w.item if isinstance(w.item, str) else str(w.item),
            time,
            str(w.event) if isinstance(w.event, int) else w.event,
            value,
            str(w.id) if isinstance(w.id, int) else w.id,
            str(w.session) if isinstance(w.session, int) else w.session,
            w.context,
            w.list,
        )

    def _item_event(self, raw: Raw, wire: "_ItemEvent") -> ItemEvent:
        item = str(wire.item)
        check_id(item, "item")
        if wire.features is not None:
            check_depth(wire.features, "features")
        return ItemEvent(item, self.times.seconds(wire.timestamp), wire.available, wire.features, raw.at)

    def _request(self, raw: Raw, arrived: float, wire: "_Request") -> Request:
        user, request = str(wire.user), str(wire.request)
        check_id(user, "user")
        check_id(request, "request")
        if wire.context is not None:
            check_depth(wire.context, "context")
        return Request(user, self.times.seconds(wire.timestamp), request, wire.context, raw.at, arrived)

    def _forget(self, raw: Raw, arrived: float, wire: "_Forget") -> Forget:
        user = str(wire.user)
        check_id(user, "user")
        return Forget(user, self.times.seconds(wire.timestamp), raw.at, arrived)


class _Kind(msgspec.Struct, gc=False):
    kind: str | None = None


class _Plain(msgspec.Struct, gc=False):
    """An interaction whose ids are text and whose time is a number: most are, and are read the fastest."""

    user: str
    item: str
    timestamp: float
    event: str | None = None
    value: float | None = None
    id: str | None = None
    session: str | None = None
    context: dict[str, Any] | None = None
    kind: Any = None
    list: Any = None


class _Interaction(msgspec.Struct, gc=False):
    user: str | int
    item: str | int
    timestamp: float | str
    event: str | int | None = None
    value: float | str | None = None
    id: str | int | None = None
    session: str | int | None = None
    context: dict[str, Any] | None = None
    kind: Any = None
    list: Any = None


class _ItemEvent(msgspec.Struct, gc=False):
    item: str | int
    timestamp: float | str
    available: bool | None = None
    features: dict[str, Any] | None = None


class _Request(msgspec.Struct, gc=False):
    user: str | int
    timestamp: float | str
    request: str | int
    context: dict[str, Any] | None = None


class _Forget(msgspec.Struct, gc=False):
    user: str | int
    timestamp: float | str


_read_kind = msgspec.json.Decoder(_Kind).decode
_read_plain = msgspec.json.Decoder(_Plain).decode
_read_interaction = msgspec.json.Decoder(_Interaction).decode
_read_item_event = msgspec.json.Decoder(_ItemEvent).decode
_read_request = msgspec.json.Decoder(_Request).decode
_read_forget = msgspec.json.Decoder(_Forget).decode
_read_any = msgspec.json.Decoder().decode


def _read_object(value: bytes) -> dict[str, Any]:
    found = _read_any(value)
    if not isinstance(found, dict):
        raise RejectError(Reason.NOT_AN_OBJECT)
    return found


def _check_kind(kind: Any) -> str | None:
    if kind is None or isinstance(kind, str):
        return kind
    raise RejectError(Reason.WRONG_TYPE, "kind")


def _number(text: str) -> float:
    try:
        if "_" not in text:  # Python would read 1_000
            return float(text)
    except ValueError:
        pass
    raise RejectError(Reason.WRONG_TYPE, "value")


_FIELD = re.compile(r"required field `(\w+)`|at `\$\.(\w+)")
_NOT_FINITE = re.compile(rb'"(\w+)"\s*:\s*[-+]?(?:NaN|Inf)')


def _broken_rule(message: str) -> RejectError:
    """Translate the message of a `msgspec.ValidationError`."""
    found = _FIELD.search(message)
    if found is None:
        return RejectError(Reason.NOT_AN_OBJECT)
    field = found[1] or found[2]
    if found[1] or "got `null`" in message:
        return RejectError(Reason.MISSING_FIELD, field)
    return RejectError(Reason.NOT_FINITE if "out of range" in message else Reason.WRONG_TYPE, field)


def not_json(value: bytes) -> RejectError:
    """Say what is wrong with bytes that are not JSON: many encoders write NaN and Infinity, which JSON has
    not."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return RejectError(Reason.NOT_UTF8)
    found = _NOT_FINITE.search(value)
    return RejectError(Reason.NOT_FINITE, found[1].decode()) if found else RejectError(Reason.NOT_JSON)


def encode_event(event: Event) -> Outgoing:
    """Encode an event in the input's wire format, keyed by its user, or by its item where it has no user.

    >>> encode_event(Interaction("u1", "i9", 1382021321.5)).value.decode()
    '{"user":"u1","item":"i9","timestamp":1382021321.5,"event":"interaction","value":1.0}'
    """
    fields = fields_of(event)
    key = fields.get("user") or fields["item"]
    return Outgoing(key.encode(), msgspec.json.encode(fields))


def fields_of(event: Event) -> dict[str, Any]:
    """Return the fields of an event by their names in the wire format, without those that it lacks."""
    fields: dict[str, Any]
    optional: dict[str, Any]
    if isinstance(event, Interaction):
        fields = {"user": event.user, "item": event.item, "timestamp": event.timestamp}
        fields |= {"event": event.event, **({"value": event.value} if event.has_value else {})}
        optional = {"id": event.id, "session": event.session, "context": event.context}
        optional["list"] = event.source_list
    elif isinstance(event, Request):
        fields = {"kind": "request", "user": event.user, "timestamp": event.timestamp, "request": event.request}
        optional = {"context": event.context}
    elif isinstance(event, Forget):
        fields = {"kind": "forget", "user": event.user, "timestamp": event.timestamp}
        optional = {}
    else:
        fields = {"kind": "item", "item": event.item, "timestamp": event.timestamp}
        optional = {"available": event.available, "features": event.features}
    return fields | {name: value for name, value in optional.items() if value is not None}
