"""Logs in random dialects with random damage, and the events that must be found in them.

Run by hand over as many as one likes: `python -m tests.support.made_logs 1000000`.
"""

import json
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple

from flows.errors import UsageError
from flows.files.line_source import cut_into_records
from flows.formats.detection import detect
from flows.formats.file_format import FileOptions, Kind
from flows.messages import Interaction, Raw, Rejected

Row = tuple[str, str, float]


class MadeLog(NamedTuple):
    """A log, and what it holds."""

    data: bytes
    events: list[Row]
    what: str


NAMES = [("user", "item", "timestamp"), ("userId", "itemId", "time"), ("visitor_id", "SKU", "created_at")]
LETTERS = "abcXYZ019-_. éßж😀"
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
JUNK = "?;,|\t{}[]:x1 .-\\é"


def made(seed: int) -> MadeLog:
    """Make a log. The same seed makes the same."""
    rng = random.Random(seed)
    rows = [
        (_text(rng), _text(rng), float(1_300_000_000 + rng.randrange(400_000_000))) for _ in range(rng.randint(4, 12))
    ]
    return (_csv if rng.random() < 0.6 else _json)(rng, rows)


def _text(rng: random.Random) -> str:
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 6))).strip() or "x"


def _time(rng: random.Random) -> tuple[str, Callable[[float], str]]:
    way = rng.choice([*UNITS, "iso", "naive", "utc"])
    if way in UNITS:
        return way, lambda time: str(int(time) * UNITS[way])
    endings = {"iso": "Z", "naive": "", "utc": " UTC"}
    return way, lambda time: f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S}" + endings[way]


def _junk(rng: random.Random) -> str:
    return "".join(rng.choice(JUNK) for _ in range(rng.randint(0, 20)))


def _damaged(lines: list[str], rng: random.Random, junk: Callable[[], str]) -> list[str]:
    """Put bad lines between good ones: fewer than a third of all, and none in the first place."""
    for _ in range(rng.randint(0, len(lines) // 4)):
        lines.insert(rng.randint(2, len(lines)), junk())
    return lines


def _csv(rng: random.Random, rows: list[Row]) -> MadeLog:
    delimiter = rng.choice([",", ";", "\t", "|", "::"])
    newline = rng.choice(["\n", "\r\n", "\r"])
    way, time = _time(rng)

    def cell(text: str) -> str:
        if len(delimiter) == 1 and (delimiter in text or '"' in text or rng.random() < 0.1):
            return '"' + text.replace('"', '""') + '"'
        return text

    extra = [rng.choice(["", "plain", "two" + newline + "lines", 'say "x"']) for _ in rows]
    if len(delimiter) > 1 or newline == "\r":
        extra = ["" for _ in rows]
    named = rng.choice(NAMES)
    lines = [delimiter.join((*named, "note"))]
    for (user, item, at), note in zip(rows, extra, strict=True):
        quoted = cell(note) if newline not in note else '"' + note.replace('"', '""') + '"'
        lines.append(delimiter.join((cell(user), cell(item), time(at), quoted)))

    def junk() -> str:
        text = _junk(rng)
        return text if text.count(delimiter) != 3 else text + delimiter

    text = newline.join(_damaged(lines, rng, junk)) + rng.choice(["", newline])
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    return MadeLog(text.encode(encoding), rows, f"CSV {delimiter!r} {newline!r} {way} {encoding} {named[0]}")


def _json(rng: random.Random, rows: list[Row]) -> MadeLog:
    named, (way, time) = rng.choice(NAMES), _time(rng)

    def record(row: Row) -> dict[str, Any]:
        at: Any = time(row[2])
        found = dict(zip(named, (row[0], row[1], int(at) if way in UNITS else at), strict=True))
        if rng.random() < 0.3:
            found["context"] = {"a": [1, {"b": '}{"]['}], "c": None}
        return found

    form = rng.choice(["lines", "array", "pretty", "indented", "joined", "rs"])
    ascii_only = rng.random() < 0.5
    indent = 2 if form == "indented" else None
    objects = [json.dumps(record(row), ensure_ascii=ascii_only, indent=indent) for row in rows]
    if form == "lines":
        bad = ["", "?", "[1, 2]", "nul", "{}", '{"a": 1', "}{", '"x']
        objects = _damaged(objects, rng, lambda: rng.choice(bad))
        text = "\n".join(objects)
    elif form == "array":
        text = "[" + rng.choice([", ", ",", ",\n"]).join(objects) + "]"
    elif form == "pretty":
        text = "[\n  " + ",\n  ".join(objects) + "\n]\n"
    elif form == "indented":
        text = "\n".join(objects)
    elif form == "joined":
        text = "".join(objects)
    else:
        text = "".join(f"\x1e{each}\n" for each in objects)
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])
    return MadeLog(text.encode(encoding), rows, f"JSON {form} {way} {encoding} {named[0]}")


def read(data: bytes, piece: int = 1 << 16) -> tuple[list[Row], int]:
    """Detect, cut and decode a log in memory. Return its events, and the number of rejects.

    Raises:
        UsageError: It asks for something.
    """
    pieces = [data[place : place + piece] for place in range(0, len(data), piece)]
    format = detect("made", pieces, FileOptions())
    decode = format.decoder(lambda raw: str(raw.offset))
    records = list(chain.from_iterable(cut_into_records(format, pieces)))
    if format.kind == Kind.CSV and format.header:
        records = records[1:]
    decoded = [decode(Raw("made", 0, number, record), 0.0) for number, record in enumerate(records)]
    events = [(each.user, each.item, each.timestamp) for each in decoded if isinstance(each, Interaction)]
    return events, sum(isinstance(each, Rejected) for each in decoded)


def lost(log: MadeLog, piece: int = 1 << 16) -> list[Row]:
    """Return the events of a log that are not found, in order."""
    found, _ = read(log.data, piece)
    return [event for event in log.events if event not in found]


def mangled(seed: int) -> bytes:
    """Make bytes that may be anything: a log with bytes changed, cut out and put in."""
    rng = random.Random(seed)
    data = bytearray(made(seed).data if rng.random() < 0.9 else rng.randbytes(rng.randint(0, 200)))
    for _ in range(rng.randint(1, 8)):
        place = rng.randint(0, len(data))
        data[place : place + rng.randint(0, 9)] = rng.randbytes(rng.randint(0, 3))
    return bytes(data)


def say(*words: object) -> None:
    """Print words at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main(count: int, first: int = 0) -> None:
    """Try logs by their seeds, and print what is lost or raised."""
    asked = 0
    for seed in range(first, first + count):
        log = made(seed)
        try:
            gone = lost(log, piece=1 + seed % 97 if seed % 3 else 1 << 16)
        except UsageError as error:
            say("ASKED", seed, log.what, str(error)[:200])
            gone = []
        if gone:
            say("LOST", seed, log.what, gone)
        try:
            read(mangled(seed))
        except UsageError:
            asked += 1
        if seed % 50_000 == 49_999:
            say(f"{seed + 1 - first:,} logs, and as many mangled, of which {asked:,} asked")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
