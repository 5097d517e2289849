"""A rejected record as it is kept: a line of a file, or a message on the dead-letter topic, and how it is read back.

A list that is too large for the output topic is kept there, too.
"""

import base64
from typing import Final, NamedTuple

import orjson

from flows.messages import Carrier, Outgoing, Raw, Rejected, headers_of

MAX_RAW_BYTES: Final = 512 * 1024
"""Number of raw bytes that are kept. Brokers refuse messages over 1 MB by default. A bad record just below that limit
would exceed it with the headers, and stop the flow for good."""
LARGE_LIST: Final = "list too large"
"""Reason of a dead letter that holds a list instead of an input record."""
_LENGTH_BYTES: Final = 5
"""The most that Kafka takes to say how long a name or a value is."""

Header = tuple[str, bytes | None]


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
    """Encode a reject as a message that keeps the record's value, key, headers, time and position.

    The record's own headers come first. Then come `source`, `reason` and `field`, and where they say something:

    - `original_headers`: the number of the record's own headers,
    - `original_key`: `none`, where the record had no key. The dead letter's key is the position then.
    - `original_time`: the record's timestamp in Unix milliseconds,
    - `raw_bytes`: the length of a record that is longer than `MAX_RAW_BYTES`. Only so much of it is kept.

    >>> to_kafka(Rejected("events/0/7", "not JSON", "", b"{"))
    Outgoing(key=b'events/0/7', value=b'{',
             headers=(('source', b'events/0/7'), ('reason', b'not JSON'), ('field', b''), ('original_key', b'none')))
    """
    own, key, time = _parts(rejected.carrier)
    headers: tuple[Header, ...] = (
        *own,
        ("source", rejected.source.encode()),
        ("reason", rejected.reason.encode()),
        ("field", rejected.field.encode()),
    )
    if own:
        headers = (*headers, ("original_headers", b"%d" % len(own)))
    if key is None:
        headers = (*headers, ("original_key", b"none"))
    if time is not None:
        headers = (*headers, ("original_time", b"%d" % time))
    raw = rejected.raw
    if raw is not None and len(raw) > MAX_RAW_BYTES:
        headers = (*headers, ("raw_bytes", b"%d" % len(raw)))
        raw = raw[:MAX_RAW_BYTES]
    return Outgoing(rejected.source.encode() if key is None else key, raw, headers)


def _parts(carrier: Carrier | None) -> tuple[tuple[Header, ...], bytes | None, int | None]:
    """Return the headers, the key and the time of a message."""
    if carrier is None:
        return (), None, None
    kind, time = carrier.timestamp()
    return tuple(headers_of(carrier)), _bytes(carrier.key()), time if kind and time >= 0 else None


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def of_large_list(message: Outgoing) -> Outgoing:
    """Make a dead letter of a list that is too large for its topic, with the position of the event it answers.

    >>> of_large_list(Outgoing(b"u1", b'{"user":"u1","source":"events/0/7"}')).headers
    (('source', b'events/0/7'), ('reason', b'list too large'), ('field', b''))
    """
    source = "" if message.value is None else str(orjson.loads(message.value).get("source", ""))
    letter = to_kafka(Rejected(source, LARGE_LIST, "", message.value))
    return letter._replace(key=message.key, headers=tuple(h for h in letter.headers if h[0] != "original_key"))


def shorten(letter: Outgoing, max_bytes: int) -> Outgoing:
    """Cut a dead letter to a number of bytes. `raw_bytes` has the length of the record.

    The raw bytes are cut first. Where the headers alone are too large, those of the record go, and then its key.

    >>> shorten(to_kafka(Rejected("events/0/7", "not JSON", "", b"{" * 1000)), 150).headers[-1]
    ('raw_bytes', b'1000')
    """
    raw, headers, key = letter.value or b"", letter.headers, letter.key
    if "raw_bytes" not in dict(headers):
        headers = (*headers, ("raw_bytes", b"%d" % len(raw)))
    if _size(headers, key) > max_bytes:
        count = int(dict(headers).get("original_headers") or b"0")
        headers = tuple(header for header in headers[count:] if header[0] != "original_headers")
    if _size(headers, key) > max_bytes:
        key = dict(headers).get("source")
        headers = (*headers, ("original_key", b"cut"))
    return Outgoing(key, raw[: max(0, max_bytes - _size(headers, key))], headers)


def _size(headers: tuple[Header, ...], key: bytes | None) -> int:
    return len(key or b"") + sum(len(name) + len(value or b"") + 2 * _LENGTH_BYTES for name, value in headers)


class DeadLetter(NamedTuple):
    """A dead letter that was read back, and the record in it."""

    topic: str
    """The topic of the record; empty if the letter does not say."""
    partition: int
    offset: int
    reason: str
    record: Outgoing
    """The record as it was, without its time."""
    time: int | None
    """The record's timestamp in Unix milliseconds; None if it is not known, as in letters of version 0.1.0."""
    is_cut: bool
    """The letter does not hold all of the record."""

    @classmethod
    def of(cls, letter: Raw) -> "DeadLetter":
        """Take a message of the dead-letter topic apart. Letters of version 0.1.0 have no key, headers and time."""
        headers, key, _ = _parts(letter.carrier)
        said = {name: (value or b"").decode(errors="replace") for name, value in headers}
        count = _whole_number(said.get("original_headers")) or 0
        place, _, offset = said.get("source", "").rpartition("/")
        topic, _, partition = place.rpartition("/")
        no_key = said.get("original_key") in ("none", "cut")
        return cls(
            topic,
            _whole_number(partition) or 0,
            _whole_number(offset) or 0,
            said.get("reason", ""),
            Outgoing(None if no_key else key, letter.value, headers[:count]),
            _whole_number(said.get("original_time")),
            "raw_bytes" in said,
        )

    def as_raw(self) -> Raw:
        """Return the record as the job read it, to be decoded again."""
        return Raw(self.topic, self.partition, self.offset, self.record.value, self)

    def key(self) -> bytes | None:
        """Return the record's key. See `flows.messages.Carrier`."""
        return self.record.key

    def headers(self) -> dict[str, str | bytes | None] | list[tuple[str, str | bytes | None]] | None:
        """Return the record's headers."""
        return list(self.record.headers) or None

    def timestamp(self) -> tuple[int, int]:
        """Return 1 and the record's timestamp, or 0 and -1 if it is not known."""
        return (0, -1) if self.time is None else (1, self.time)


def _whole_number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
