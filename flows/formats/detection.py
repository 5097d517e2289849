"""Detection of a file's format by its first records. If it is ambiguous, the error says which option to give."""

import codecs
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import msgspec

from flows.errors import LogError
from flows.formats.csv_detection import detect_csv
from flows.formats.file_format import FileFormat, FileOptions, Kind
from flows.formats.json_detection import detect_json
from flows.formats.json_wrapping import Wrapped, wrapped_array
from flows.formats.record_cutting import JsonObjects, blocks_of_lines, transcode

HEAD_BYTES: Final = 64 * 1024
"""About so much of a file is looked at."""
MOST_RECORDS: Final = 200
"""Largest number of first records that are examined."""
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
EXPECTED: Final = "expected an event log: CSV or JSON, plain, .gz or .zst, or Parquet"


def detect(place: str, pieces: Iterable[bytes], options: FileOptions, *, is_json: bool = False) -> FileFormat:
    """Find out how a file is to be read.

    Args:
        place: Names the file, for messages.
        pieces: Its bytes, decompressed; about `HEAD_BYTES` are taken.
        options: What is told of it.
        is_json: Whether its name says that it is JSON.

    Raises:
        LogError: The file is empty or not text, or the format is ambiguous. The message says which option to give.
    """
    raw, is_all = _head(pieces)
    if not raw:
        raise LogError(f"{place}: {EXPECTED}; the file is empty. Check how it was written.")
    encoding = options.encoding or encoding_of(raw)
    head = b"".join(transcode([raw] if is_all else [raw, b""], encoding))
    if not is_all and encoding != "utf-8":
        head = head.removesuffix(b"\xed\xb3\xbf")  # a character that was cut in two
    newline = b"\r" if b"\r" in head and b"\n" not in head else b"\n"
    lines = [line for block in blocks_of_lines([head], lambda: is_all, newline) for line in block]
    lines = lines or [head]
    looked_at = lines[:MOST_RECORDS]
    if not options.encoding and sum(map(_is_text, looked_at)) * 2 < len(looked_at):
        sample = next(line for line in looked_at if not _is_text(line))
        raise LogError(
            f"{place}: {EXPECTED}; it holds {sample[:20]!r}: a binary file, or text that is not UTF-8. "
            "Name the encoding with --encoding, such as latin-1, or export the file as UTF-8."
        )
    first = next((line.strip() for line in lines if line.strip()), b"")
    if is_json or first.startswith((b"{", b"[", b"\x1e")):
        kind, records = _json_records(head, lines, first, is_json)
        if kind is not None:
            base = FileFormat(kind, encoding, newline)
            wrapped = wrapped_array(head) if sum(map(_is_object, records)) <= 1 else None
            if wrapped is None:
                return detect_json(place, records[:MOST_RECORDS], base, options, is_sure=is_json)
            return _wrapped(place, head, records, wrapped, base, options)
    return detect_csv(place, lines[:MOST_RECORDS], encoding, newline, options)


def _wrapped(
    place: str, head: bytes, records: list[bytes], wrapped: Wrapped, base: FileFormat, options: FileOptions
) -> FileFormat:
    """Read one object as the record that it is, or else the array in it as the records."""
    if any(map(_is_object, records)):
        with suppress(LogError):
            return detect_json(place, records[:MOST_RECORDS], base, options, is_sure=True)
    cut = [record for block in JsonObjects(lambda: False, wrapped.skip)([head]) for record in block]
    base = replace(base, kind=Kind.JSON_STREAM, skip=wrapped.skip)
    found = detect_json(place, cut[:MOST_RECORDS], base, options, is_sure=True)
    return replace(found, notes=(f"the array {wrapped.path}", *found.notes))


def encoding_of(head: bytes) -> str:
    """Tell the encoding of text by its first bytes: UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    >>> encoding_of("user,item".encode("utf-16-le")), encoding_of(b"user"), encoding_of(b"\\xef\\xbb\\xbfuser")
    ('utf-16-le', 'utf-8', 'utf-8-sig')
    """
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    start = head[:256]
    if len(start) >= 4 and len(start) % 2 == 0:
        even, odd = start[::2], start[1::2]
        if odd.count(0) * 2 >= len(odd) and even.count(0) * 10 <= len(even):
            return "utf-16-le"
        if even.count(0) * 2 >= len(even) and odd.count(0) * 10 <= len(odd):
            return "utf-16-be"
    return "utf-8"


def _head(pieces: Iterable[bytes]) -> tuple[bytes, bool]:
    """Return the first bytes, and whether they are all."""
    head = bytearray()
    for piece in pieces:
        head += piece
        if len(head) >= HEAD_BYTES:
            return bytes(head[: 4 * HEAD_BYTES]), False
    return bytes(head), True


def _is_text(line: bytes) -> bool:
    try:
        return "\0" not in line.decode()
    except UnicodeDecodeError:
        return False


def _is_object(record: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(record), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _json_records(head: bytes, lines: Sequence[bytes], first: bytes, is_sure: bool) -> tuple[Kind | None, list[bytes]]:
    """Decide between JSON Lines and a stream of objects, by the number of objects. None: it is not JSON."""
    whole = [line for line in lines[:MOST_RECORDS] if line.strip()]
    if _is_object(first):
        return Kind.JSON_LINES, whole
    streamed = [record for block in JsonObjects(lambda: False)([head]) for record in block][:MOST_RECORDS]
    in_lines, in_stream = sum(map(_is_object, whole)), sum(map(_is_object, streamed))
    if not in_stream and not in_lines and not is_sure:
        return None, []
    if in_stream > in_lines or (in_stream and first.startswith((b"[", b"\x1e"))):
        return Kind.JSON_STREAM, streamed
    return Kind.JSON_LINES, whole
