"""Where lists are kept between the output topic and a look-up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from flows.errors import JobError


class ListStoreError(JobError):
    """The lists cannot be read or written where they are kept."""


@dataclass
class Progress:
    """How far a store has read, and of which topic.

    Attributes:
        topic: Identity of the topic: its name and the id that Kafka gave it when it was created.
        positions: Offset of the message to come next, by partition.
        newest: Time of the newest event that any list answers, in Unix seconds.
    """

    topic: str = ""
    positions: dict[int, int] = field(default_factory=dict)
    newest: float = 0.0


class ListStore(Protocol):
    """Keeps the newest message of every key, and how far the topic was read.

    One thread writes. Look-ups come from the event loop's thread at the same time.
    """

    is_damaged: bool
    """Whether the store holds what it should not. `clear` mends it."""

    def progress(self) -> Progress:
        """Return how far the store has read."""

    def clear(self) -> None:
        """Forget everything: the topic is another."""

    def write(self, changes: Mapping[str, bytes | None], progress: Progress) -> None:
        """Keep these messages; None removes one. A crash never keeps a progress without its messages."""

    def flush(self) -> None:
        """Write down what is still on its way."""

    async def get(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the message of each user, None where there is none.

        Raises:
            ListStoreError: The store does not answer.
        """

    async def count(self) -> int:
        """Return the number of lists."""

    async def close(self) -> None:
        """Flush, and let go."""


class MemoryStore:
    """Keeps lists in memory alone: a restart reads the whole topic again.

    >>> import asyncio
    >>> store = MemoryStore()
    >>> store.write({"u1": b"list"}, Progress("lists", {0: 1}))
    >>> asyncio.run(store.get(["u1", "u2"]))
    [b'list', None]
    """

    is_damaged = False

    def __init__(self) -> None:
        self._lists: dict[str, bytes] = {}
        self._progress = Progress()

    def progress(self) -> Progress:
        """Return how far the store has read."""
        return self._progress

    def clear(self) -> None:
        """Forget everything."""
        self._lists = {}
        self._progress = Progress()

    def write(self, changes: Mapping[str, bytes | None], progress: Progress) -> None:
        """Keep these messages."""
        for user, value in changes.items():
            if value is None:
                self._lists.pop(user, None)
            else:
                self._lists[user] = value
        self._progress = progress

    def flush(self) -> None:
        """Nothing is on its way."""

    async def get(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the message of each user."""
        return [self._lists.get(user) for user in users]

    async def count(self) -> int:
        """Return the number of lists."""
        return len(self._lists)

    async def close(self) -> None:
        """Nothing to let go."""
