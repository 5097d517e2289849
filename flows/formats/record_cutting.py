"""Cut the bytes of a file into records: lines, CSV records over several lines, or JSON values in a stream."""

import codecs
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

from flows.formats.csv_events import well_quoted
from flows.formats.validation import MAX_RECORD_BYTES

Blocks = Iterator[list[bytes]]
"""Records, in blocks of those that end in the same piece of the file."""

MAX_SPREAD_BYTES: Final = 1 << 20
"""Longest record over several lines, in bytes. A longer one counts as an unclosed quote or brace."""


def transcode(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    r"""Turn text in another encoding into UTF-8, piece by piece. `utf-8-sig` is UTF-8 without its byte order mark.

    Bytes that are no text in the encoding become bytes that are not UTF-8, so that only their record is rejected.

    >>> b"".join(transcode(["é;1\n".encode("utf-16")[:5], "é;1\n".encode("utf-16")[5:]], "utf-16")).decode()
    'é;1\n'
    """
    if encoding == "utf-8":
        yield from pieces
        return
    if encoding == "utf-8-sig":
        rest = iter(pieces)
        start = b""
        for piece in rest:
            start += piece
            if len(start) >= len(codecs.BOM_UTF8):
                break
        yield start.removeprefix(codecs.BOM_UTF8)
        yield from rest
        return
    if codecs.lookup(encoding).name in ("utf-16", "utf-32"):
        pieces, encoding = _with_byte_order(pieces, codecs.lookup(encoding).name)
    decoder = codecs.getincrementaldecoder(encoding)(errors="broken-bytes")
    for piece in pieces:
        yield decoder.decode(piece).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _with_byte_order(pieces: Iterable[bytes], encoding: str) -> tuple[Iterator[bytes], str]:
    """Name the byte order of UTF-16 or UTF-32 in the encoding, and take the mark away. Without a mark it is little."""
    rest, start = iter(pieces), b""
    for piece in rest:
        start += piece
        if len(start) >= len(codecs.BOM_UTF32_LE):
            break
    little, big = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
    if encoding == "utf-32":
        little, big = codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE
    order = "be" if start.startswith(big) else "le"
    return chain([start.removeprefix(big if order == "be" else little)], rest), f"{encoding}-{order}"


def _as_surrogate(error: UnicodeError) -> tuple[str, int]:
    """Put a character that cannot be UTF-8 in the place of broken bytes."""
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


codecs.register_error("broken-bytes", _as_surrogate)


def blocks_of_lines(
    pieces: Iterable[bytes], is_whole: Callable[[], bool] = lambda: True, newline: bytes = b"\n"
) -> Blocks:
    r"""Cut pieces of a file into lines, which come in blocks: all the lines that end in one piece.

    Args:
        pieces: The bytes of the file.
        is_whole: Asked after the last piece whether the file ends there. If so, a last line without a newline
            counts. If not, it is dropped: it may be cut short, and half a number is a number too.
        newline: One byte, which ends a line.

    >>> list(blocks_of_lines([b"a\nb", b"b", b"b\n\nc"]))
    [[b'a'], [b'bbb', b''], [b'c']]
    """
    tail = bytearray()
    for piece in pieces:
        first, *others = piece.split(newline)
        tail += first[: MAX_RECORD_BYTES + 1 - len(tail)]
        if others:
            *middle, rest = others
            block = [bytes(tail), *middle]
            tail = bytearray(rest[: MAX_RECORD_BYTES + 1])
            yield block
    if tail and is_whole():
        yield [bytes(tail)]


class QuotedRecords:
    r"""Joins the lines of CSV records whose quotes hold newlines, as RFC 4180 has it.

    A quote that is never closed must not swallow the records after it. So a record is joined only where its quotes
    close as they must. Otherwise its first line stands alone, and the lines after it are looked at again.

    Args:
        delimiter: Delimiter of the cells.
        newline: Bytes between the lines.

    >>> list(QuotedRecords()([[b'u1,"two', b'lines",5', b'u2,"stray,6'], [b'u3,"fine",7']]))
    [[b'u1,"two\nlines",5'], [b'u2,"stray,6', b'u3,"fine",7']]
    """

    def __init__(self, delimiter: str = ",", newline: bytes = b"\n") -> None:
        cell, mark = well_quoted(delimiter), re.escape(delimiter)
        within = '(?:[^"]|"")*+'
        compiled = [
            re.compile(pattern.encode(), re.DOTALL)
            for pattern in (
                f'(?:{cell}{mark})*+"{within}',
                f'{within}"(?:{mark}{cell})*+\r?',
                f'{within}(?:"(?:{mark}{cell})*?{mark}"{within})?',
            )
        ]
        self._opens, self._closes, self._stays = compiled
        self._newline = newline
        self._held: list[bytes] = []
        self._bytes = 0

    def __call__(self, blocks: Iterable[list[bytes]]) -> Blocks:
        """Join the lines of a file, once."""
        for block in blocks:
            if not self._held and not any(b'"' in line for line in block):
                yield block
            elif joined := self._take(block):
                yield joined
        while self._held:
            first, *others = self._held
            self._release()
            yield [first, *self._take(others)]

    def _take(self, lines: Iterable[bytes]) -> list[bytes]:
        waiting, joined = deque(lines), list[bytes]()
        while waiting:
            line = waiting.popleft()
            if not self._held:
                if b'"' in line and self._opens.fullmatch(line):
                    self._hold(line)
                else:
                    joined.append(line)
                continue
            if b'"' in line and self._closes.fullmatch(line):
                joined.append(self._newline.join([*self._held, line]))
                self._release()
            elif self._bytes + len(line) <= MAX_SPREAD_BYTES and (b'"' not in line or self._stays.fullmatch(line)):
                self._hold(line)
            else:
                first, *others = self._held
                self._release()
                joined.append(first)
                waiting.extendleft(reversed([*others, line]))
        return joined

    def _hold(self, line: bytes) -> None:
        self._held.append(line)
        self._bytes += len(line) + 1

    def _release(self) -> None:
        self._held, self._bytes = [], 0


_TO_BRACKET: Final = re.compile(rb'(?:[^{}\[\]"]++|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+")*+[{}\[\]"]')
"""What stands before the next bracket outside of strings, and the bracket; or the quote of a string without an end."""
_BETWEEN: Final = b" \t\r\n,[]\x1e"
"""What may stand between the objects of a stream: also the brackets of an array, and the mark of RFC 7464."""


class JsonObjects:
    r"""Cuts a stream of JSON objects: an array, or objects one after the other, over any number of lines.

    This is a scanner for braces outside of strings, and no parser: each object is decoded later, like a line of JSON
    Lines. So a broken object is rejected with its bytes, and the objects after it are still found.

    Args:
        is_whole: Asked after the last piece whether the file ends there. If not, what is left is dropped.
        skip: Bytes before the first object of an array that stands in an object. What follows the array is no record.

    >>> list(JsonObjects(skip=10)([b'{"data": [{"a": 1}, {"b": 2}', b'], "next": {"page": 2}}']))
    [[b'{"a": 1}', b'{"b": 2}']]
    >>> list(JsonObjects()([b'[{"a": "}"},\n {"b"', b': [{}]}, 7, {"c": 1}]']))
    [[b'{"a": "}"}'], [b'{"b": [{}]}', b'7', b'{"c": 1}']]
    """

    def __init__(self, is_whole: Callable[[], bool] = lambda: True, skip: int = 0) -> None:
        self._is_whole = is_whole
        self._skip = skip

    def __call__(self, pieces: Iterable[bytes]) -> Blocks:
        """Cut the bytes of a file, once."""
        rest, left, is_wrapped = b"", self._skip, self._skip > 0
        for piece in pieces:
            scan = _Scan(rest + piece[left:], is_last=False, is_wrapped=is_wrapped)
            left = max(0, left - len(piece))
            if scan.found:
                yield scan.found
            if scan.is_over:
                return
            rest = scan.buffer[scan.done :]
        if self._is_whole() and (scan := _Scan(rest, is_last=True, is_wrapped=is_wrapped)).found:
            yield scan.found


class _Scan:
    """One look at a buffer that begins between two objects.

    Attributes:
        buffer: The bytes.
        found: The objects in it, and invalid bytes between them.
        done: How far these reach.
        is_over: Whether the array ends here that stands in an object.
    """

    def __init__(self, buffer: bytes, is_last: bool, is_wrapped: bool = False) -> None:
        self.buffer = buffer
        self.is_over = False
        self._is_wrapped = is_wrapped
        self.found: list[bytes] = []
        self.done = 0
        self._is_last = is_last
        place: int | None = 0
        while place is not None:
            place = self._run(place)

    def _run(self, place: int) -> int | None:
        """Scan from a place outside of objects; return where to go on behind something broken, None at the end."""
        buffer, depth, start, inner, indent = self.buffer, 0, -1, -1, None
        while token := _TO_BRACKET.match(buffer, place):
            place = token.end()
            at = place - 1
            byte = buffer[at]
            if byte == _QUOTE:
                return self._unclosed(at, start)
            if byte == _OPEN:
                if depth == 0:
                    depth, start, inner, indent = 1, at, -1, _indent(buffer, at)
                elif _begins_anew(buffer, at, indent):
                    self._take(start, at)
                    depth, start, inner = 1, at, -1
                else:
                    depth += 1
                    inner = at if inner < 0 else inner
            elif byte == _OPEN_LIST:
                depth += depth > 0
            elif byte == _CLOSE_LIST and depth == 0 and self._is_wrapped:
                self._finish(at, anyway=True)
                self.is_over = True
                return None
            elif depth:
                depth -= 1
                if depth == 0 and byte == _CLOSE:
                    self._take(start, place)
                    start = -1
                elif depth == 0:
                    return self._broken(start, inner, place)
        if start < 0:
            self._finish(len(buffer))
            return None
        if not self._is_last and len(buffer) - start <= MAX_SPREAD_BYTES:
            return None
        return self._broken(start, inner, len(buffer))

    def _broken(self, start: int, inner: int, end: int) -> int | None:
        """Go on with the first object within one that has no end, or where it breaks off."""
        end = inner if inner >= 0 else end
        self._take(start, end)
        return end if end < len(self.buffer) else None

    def _unclosed(self, at: int, start: int) -> int | None:
        """Go on behind a string that does not end in its line: JSON allows no newline in a string."""
        end = self.buffer.find(b"\n", at)
        if end < 0:
            begin = self.done if start < 0 else start
            if not self._is_last and len(self.buffer) - begin <= MAX_SPREAD_BYTES:
                return None
            end = len(self.buffer)
        if start >= 0:
            self._take(start, end)
        else:
            self._finish(end, anyway=True)
        return end if end < len(self.buffer) else None

    def _take(self, start: int, end: int) -> None:
        self._add(self.buffer[self.done : start])
        self._add(self.buffer[start:end])
        self.done = end

    def _finish(self, end: int, anyway: bool = False) -> None:
        if anyway or self._is_last or end - self.done > MAX_SPREAD_BYTES:
            self._add(self.buffer[self.done : end])
            self.done = end

    def _add(self, record: bytes) -> None:
        if stripped := record.strip(_BETWEEN):
            self.found.append(stripped)


_QUOTE: Final = ord('"')
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
_OPEN_LIST: Final = ord("[")
_CLOSE_LIST: Final = ord("]")


def _indent(buffer: bytes, at: int) -> int | None:
    """Return how far a brace is indented; None if it does not begin its line."""
    line = buffer.rfind(b"\n", 0, at) + 1
    return at - line if not buffer[line:at].strip() else None


def _begins_anew(buffer: bytes, at: int, indent: int | None) -> bool:
    """Say whether a brace within an object begins another one, since the object before it is broken.

    It does where it begins a line, no further right than the other did, and stands where JSON allows no brace.
    """
    if indent is None or (own := _indent(buffer, at)) is None or own > indent:
        return False
    return not buffer[max(0, at - 4_096) : at].rstrip().endswith((b":", b"[", b","))
