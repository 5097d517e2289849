"""A rejected record as it is kept: a line of a file, or a message on the dead-letter topic. A list that the output
topic does not take is kept there, too.
"""

import base64
from typing import Final

import orjson

from flows.messages import Outgoing, Rejected

MAX_RAW_BYTES: Final = 512 * 1024
"""How much of the raw bytes is kept. Brokers refuse messages over 1 MB by default: a bad record just below
that would be above it together with its headers, and stop the flow for good."""
_LENGTH_BYTES: Final = 5
"""The most that Kafka takes to say how long a name or a value is."""


def to_file_line(rejected: Rejected) -> bytes:
    """Encode a reject as one line of JSON: `source`, `reason`, `field` and `raw`.

    `raw` is the record as text, or null if it had no bytes. Bytes that are not UTF-8 are written in base64,
    with `"raw_encoding": "base64"` beside them. Of a record longer than `MAX_RAW_BYTES` only so much is kept,
    and `raw_bytes` says how long it was.

    >>> to_file_line(Rejected("log.csv:3", "malformed row", "", b"u1,i9"))
    b'{"source":"log.csv:3","reason":"malformed row","field":"","raw":"u1,i9"}\\n'
    """
    line: dict[str, str | int | None] = {
        "source": rejected.source,
        "reason": str(rejected.reason),
        "field": rejected.field,
        "raw": None,
    }
    if rejected.raw is not None:
        kept = rejected.raw[:MAX_RAW_BYTES]
        try:
            line["raw"] = kept.decode()
        except UnicodeDecodeError:
            line["raw"] = base64.b64encode(kept).decode()
            line["raw_encoding"] = "base64"
        if len(kept) < len(rejected.raw):
            line["raw_bytes"] = len(rejected.raw)
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def to_kafka(rejected: Rejected) -> Outgoing:
    """Encode a reject as a message: the raw bytes as its value, and headers `source`, `reason`, `field`.

    Of a record longer than `MAX_RAW_BYTES` only so much is kept; the header `raw_bytes` says how long it was.

    >>> to_kafka(Rejected("events/0/7", "not JSON", "", b"{"))
    Outgoing(key=None, value=b'{',
             headers=(('source', b'events/0/7'), ('reason', b'not JSON'), ('field', b'')))
    """
    headers: tuple[tuple[str, bytes], ...] = (
        ("source", rejected.source.encode()),
        ("reason", rejected.reason.encode()),
        ("field", rejected.field.encode()),
    )
    raw = rejected.raw
    if raw is not None and len(raw) > MAX_RAW_BYTES:
        headers = (*headers, ("raw_bytes", b"%d" % len(raw)))
        raw = raw[:MAX_RAW_BYTES]
    return Outgoing(None, raw, headers)


def of_large_list(message: Outgoing) -> Outgoing:
    """Make a dead letter of a list that is too large for its topic, with the position of the event it answers.

    >>> of_large_list(Outgoing(b"u1", b'{"user":"u1","source":"events/0/7"}')).headers
    (('source', b'events/0/7'), ('reason', b'list too large'), ('field', b''))
    """
    source = "" if message.value is None else str(orjson.loads(message.value).get("source", ""))
    return to_kafka(Rejected(source, "list too large", "", message.value))


def shorten(letter: Outgoing, max_bytes: int) -> Outgoing:
    """Cut a dead letter's raw bytes until all of it has at most so many bytes; `raw_bytes` says how long they were.

    >>> shorten(to_kafka(Rejected("events/0/7", "not JSON", "", b"{" * 1000)), 100).headers[-1]
    ('raw_bytes', b'1000')
    """
    raw, headers = letter.value or b"", letter.headers
    if "raw_bytes" not in dict(headers):
        headers = (*headers, ("raw_bytes", b"%d" % len(raw)))
    used = sum(len(name) + len(value) + 2 * _LENGTH_BYTES for name, value in headers)
    return Outgoing(letter.key, raw[: max(0, max_bytes - used)], headers)
