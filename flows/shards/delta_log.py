"""Interface of what carries the messages of shards, such as a topic of Kafka."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class DeltaLog(Protocol):
    """Carries messages of shards: a partition for each, in order."""

    topic: str
    topic_id: str

    def open(self) -> None:
        """Connect."""

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the offset of the first message, and of the next one to come."""

    def read(self, partition: int, start: int, end: int) -> Sequence[tuple[int, int, bytes]]:
        """Return the messages from `start` up to `end`, and wait for them."""

    def begin(self, starts: Mapping[int, int]) -> None:
        """Read on at these offsets, by partition."""

    def poll(self) -> Sequence[tuple[int, int, bytes]]:
        """Return the next messages, without waiting."""

    def send(self, value: bytes) -> None:
        """Send a message to the shard's own partition."""

    def flush(self) -> int:
        """Wait until all messages are delivered, and return the offset of the last. -1: there was none."""

    def close(self) -> None:
        """Close the connection."""
