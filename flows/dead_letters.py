"""A rejected record as it is kept: a line of a file, or a message on the dead-letter topic."""

import base64
from collections.abc import Callable
from typing import Final, TypeVar

import bytewax.operators as op
import orjson
from bytewax.dataflow import Stream, operator
from bytewax.outputs import Sink

from flows.messages import Outgoing, Rejected
from flows.tally import Tally

X = TypeVar("X")

MAX_RAW_BYTES: Final = 512 * 1024
"""How much of the raw bytes is kept. Brokers refuse messages over 1 MB by default: a bad record just below
that would be above it together with its headers, and stop the flow for good."""


@operator
def dead_letters(
    step_id: str,
    up: Stream[Rejected],
    tally: Tally,
    encode: Callable[[Rejected], X],
    sink: Sink[tuple[str, X]],
) -> None:
    """Count every reject by its reason and hand it to the sink in the sink's form."""

    def encode_batch(batch: list[Rejected]) -> list[tuple[str, X]]:
        tally.rejected.update(str(rejected.reason) for rejected in batch)
        return [(rejected.source, encode(rejected)) for rejected in batch]

    op.output("sink", op.flat_map_batch("encode", up, encode_batch), sink)


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
