"""Logs as bytes, and what is read of them: shared by the tests of reading logs."""

import random
from pathlib import Path

import orjson
import zstandard

from flows.files.line_source import LogSource
from flows.files.open_log import Log
from flows.messages import Event, Raw, Rejected

HEADER = b"user,item,timestamp,event,value\n"


def fields(n: int) -> dict[str, str | float]:
    # Random digits keep the compressed file long: damage in its middle has whole pieces before it.
    rng = random.Random(n)
    return {
        "user": f"u{rng.getrandbits(64)}",
        "item": f"i{n}",
        "timestamp": 1.5e9 + n,
        "event": "click",
        "value": rng.random(),
    }


def csv_line(n: int) -> bytes:
    return ",".join(map(str, fields(n).values())).encode() + b"\n"


def as_csv(count: int) -> bytes:
    return HEADER + b"".join(map(csv_line, range(count)))


def as_jsonl(count: int) -> bytes:
    return b"".join(orjson.dumps(fields(n)) + b"\n" for n in range(count))


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def records(source: LogSource, offset: int | None = None) -> list[Raw]:
    part = source.build_part("log", "log", offset)
    found: list[Raw] = []
    while True:
        try:
            found += part.next_batch()
        except StopIteration:
            return found


def events(log: Log) -> list[Event | Rejected]:
    return [log.decoder(raw, 0.0) for raw in records(log.source)]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
