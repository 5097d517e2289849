"""Reading and writing of plain, gzip and zstd files in pieces."""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import zstandard

PLAIN_BYTES: Final = 64 * 1024
"""Bytes of a plain file that are read at once."""

COMPRESSED_BYTES: Final = 1024
"""Bytes of a compressed file that are read at once. They decompress to at most 1 MB (gzip) or 32 MB (zstd)."""


class Pieces:
    """Iterates over the bytes of a plain, gzip or zstd file, piece by piece.

    The first bytes tell the format. A compressed file may have several members. If the file is truncated or damaged,
    the iteration ends after the last good bytes, and `damage` describes the fault.

    Args:
        path: The file.

    Attributes:
        size: Size of the stored file in bytes.
        consumed: Number of stored bytes that have been read.
        damage: The fault and its approximate place. None if there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.consumed = 0
        self.damage: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                self.size = file.seek(0, 2)
                file.seek(0)
                new = decompressor_for(file.peek(4)[:4])
                yield from self._plain(file) if new is None else self._members(file, new)
        except (OSError, zlib.error, zstandard.ZstdError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._damaged(f"is broken ({reason})")

    def _plain(self, file: BinaryIO) -> Iterator[bytes]:
        while piece := self._read(file, PLAIN_BYTES):
            yield piece

    def _members(self, file: BinaryIO, new: "Callable[[], Decompressor]") -> Iterator[bytes]:
        rest = b""
        while rest := rest or self._read(file, COMPRESSED_BYTES):
            rest = rest.lstrip(b"\0")  # some tools pad the file with zeros
            if not rest:
                continue
            member, start = new(), self.consumed - len(rest)
            while not member.eof:
                if not rest:
                    return self._damaged("is cut short")
                try:
                    piece = member.decompress(rest)
                except (zlib.error, zstandard.ZstdError):
                    yield from self._up_to_the_fault(file, new(), start, rest)
                    raise
                if piece:
                    yield piece
                rest = member.unused_data if member.eof else self._read(file, COMPRESSED_BYTES)

    def _up_to_the_fault(self, file: BinaryIO, member: "Decompressor", start: int, broken: bytes) -> Iterator[bytes]:
        # An error hides what was good before it in the same piece: read the member again, but that by bytes.
        file.seek(start)
        left = self.consumed - len(broken) - start
        while left:
            again = file.read(min(left, COMPRESSED_BYTES))
            left -= len(again)
            member.decompress(again)
        for byte in broken:
            yield member.decompress(bytes([byte]))

    def _read(self, file: BinaryIO, count: int) -> bytes:
        piece = file.read(count)
        self.consumed += len(piece)
        return piece

    def _damaged(self, what: str) -> None:
        self.damage = f"the file {what}, about byte {self.consumed:,} of {self.size:,}"


class Decompressor(Protocol):
    """Decompressor of one member: the common interface of zlib and zstandard."""

    @property
    def eof(self) -> bool:
        """Whether the end of the member was reached."""

    @property
    def unused_data(self) -> bytes:
        """Bytes after the end of the member."""

    def decompress(self, data: bytes, /) -> bytes:
        """Return the bytes that `data` decompresses to."""


def decompressor_for(magic: bytes) -> Callable[[], Decompressor] | None:
    """Return the decompressor of a file that begins with these four bytes; None for a plain file."""
    if magic[:2] == b"\x1f\x8b":
        return lambda: zlib.decompressobj(wbits=31)
    if magic == b"\x28\xb5\x2f\xfd" or (magic[1:] == b"\x2a\x4d\x18" and magic[0] >> 4 == 5):
        return lambda: zstandard.ZstdDecompressor().decompressobj()
    return None


class Compressor(Protocol):
    """What zlib and zstandard have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """Return compressed bytes as far as they are ready."""

    def flush(self) -> bytes:
        """Return all remaining bytes, and end the member."""


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


_COMPRESSORS: Final[dict[str, Callable[[], Compressor]]] = {
    ".gz": lambda: zlib.compressobj(wbits=31),
    ".zst": lambda: zstandard.ZstdCompressor().compressobj(),
}


def compressor_for(path: Path) -> Compressor:
    """Return a compressor for one member of a file, by the ending of its name. For a plain file it changes nothing."""
    return _COMPRESSORS.get(path.suffix, _Plain)()
