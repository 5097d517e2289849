"""Envelope: what a message on the deltas topic says of the delta in it, so that each delta is applied once.

The messages of a shard form a chain. Each names its predecessor by a random id. So a repeated message, a message of a
process that was thought dead, and a gap are told apart without a clock or a coordinator.
"""

import struct
import zlib
from typing import Final

import msgspec

MAGIC: Final = b"FRSH"
VERSION: Final = 1
HEADER: Final = struct.Struct("<4sHI")
"""Magic number, version, and checksum of what follows."""


class EnvelopeError(ValueError):
    """Bytes are no message of a shard, or one of another version."""


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """One message of a shard to its peers."""

    shard: int
    shards: int
    generation: int
    """Number of times that the state was dealt out anew (`freshrank rescale`)."""
    model: int
    """Number for the model and its arguments that decide what is counted."""
    model_name: str
    settings: int
    """Number for the settings that decide what is learned of an event."""
    run: int
    """Number of the process."""
    seq: int
    """Number of the message, from 1, within its generation."""
    id: int
    """Random number of the message, above 0."""
    after: int
    """The id of the message before. 0: there is none."""
    positions: dict[str, int]
    """Offset of the next event that the peers do not know, by `topic/partition`."""
    events: int
    """Number of events in the delta."""
    delta: bytes
    """What the shard has learned. Empty: it is there, and has learned nothing."""


_decoder: Final = msgspec.msgpack.Decoder(Envelope)


def seal(envelope: Envelope) -> bytes:
    """Return a message as bytes.

    >>> told = Envelope(0, 2, 0, 7, "blend/1", 9, 4, 1, 5, 0, {"events/0": 17}, 3, b"delta")
    >>> unseal(seal(told)) == told
    True
    """
    body = msgspec.msgpack.encode(envelope)
    return HEADER.pack(MAGIC, VERSION, zlib.crc32(body)) + body


def unseal(data: bytes) -> Envelope:
    """Return the message in bytes.

    Raises:
        EnvelopeError: They are no message, are damaged, or have another version.
    """
    if len(data) < HEADER.size or data[:4] != MAGIC:
        raise EnvelopeError(f"expected a message of a shard; got {len(data)} bytes that begin with {data[:4]!r}")
    _, version, checksum = HEADER.unpack_from(data)
    if version != VERSION:
        raise EnvelopeError(
            f"expected a message of format version {VERSION}; got version {version}. Upgrade the shards together"
        )
    body = memoryview(data)[HEADER.size :]
    if zlib.crc32(body) != checksum:
        raise EnvelopeError("expected a message of a shard; got bytes whose checksum is wrong")
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise EnvelopeError(f"expected a message of a shard; {error}") from None
