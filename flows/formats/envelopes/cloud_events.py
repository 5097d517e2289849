"""CloudEvents 1.0 on Kafka: attributes and data in one JSON object, or attributes in headers.

Source: https://github.com/cloudevents/spec, "Kafka Protocol Binding for CloudEvents", sections 3.2 and 3.3.
"""

import base64
import binascii
from typing import Any, Final

import msgspec

from flows.formats.envelopes.opened import Opened
from flows.formats.reasons import Reason, RejectError
from flows.messages import Raw, headers_of

_PREFIX: Final = "ce_"
_read = msgspec.json.Decoder().decode


def open_cloud_event(record: Any, raw: Raw) -> Opened:
    """Return the data of a CloudEvent, with `id`, `event` (its type) and `timestamp` (its time) as the attributes say.

    The attributes stand in the data as well, as the object `ce`: `fields = { user = "ce.subject" }`.

    Raises:
        RejectError: The record is no CloudEvent, or its data is no JSON object.

    >>> event = {"specversion": "1.0", "id": "e-7", "source": "/shop", "type": "click", "data": {"user": "u1"}}
    >>> opened = open_cloud_event(event, Raw("events", 0, 7, b""))
    >>> opened.record["user"], opened.said
    ('u1', {'id': '/shop#e-7', 'event': 'click'})
    """
    attributes = {
        name.removeprefix(_PREFIX): (value or b"").decode(errors="replace")
        for name, value in headers_of(raw.carrier)
        if name.startswith(_PREFIX)
    }
    if "specversion" in attributes:
        data = record
    elif isinstance(record, dict) and "specversion" in record:
        data = record.get("data")
        if data is None and "data_base64" in record:
            data = _decoded(record["data_base64"])
        attributes = {name: each for name, each in record.items() if name not in ("data", "data_base64")}
    else:
        raise RejectError(Reason.NO_ENVELOPE, "specversion")
    if not isinstance(data, dict):
        raise RejectError(Reason.NOT_AN_OBJECT, "data")
    said = {"event": attributes.get("type"), "timestamp": attributes.get("time")}
    if attributes.get("id"):
        said["id"] = f"{attributes.get('source', '')}#{attributes['id']}"
    return Opened({"ce": attributes, **data}, {name: each for name, each in sorted(said.items(), reverse=True) if each})


def _decoded(data: Any) -> Any:
    try:
        return _read(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError, TypeError, msgspec.DecodeError):
        raise RejectError(Reason.NOT_JSON, "data_base64") from None
