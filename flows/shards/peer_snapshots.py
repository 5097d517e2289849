"""Peer snapshots: what shards know of items, as files in a directory that all of them see.

A shard may be away for longer than the topic of deltas keeps messages. Then it takes over such a snapshot of a peer,
and goes on from the messages behind it. Each shard writes one file and replaces it whole, in a thread of its own.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.shards.figures import ShardFigures
from flows.shards.identity import Shard
from flows.state.atomic_files import write_whole
from flows.state.record_file import StoreError, WriteError, append, read_records
from flows.state.stateful import Snapshot

logger = logging.getLogger(__name__)

VERSION: Final = 1
ABOUT: Final = "about"
JOIN_SECONDS: Final = 30.0
"""How long the end of a shard waits for the file."""


class Told(NamedTuple):
    """A message of a shard: its number, its id, and its offset on the topic of deltas."""

    seq: int = 0
    id: int = 0
    offset: int = -1


class PeerSnapshot(msgspec.Struct, frozen=True):
    """What a file says of the state in it."""

    version: int
    shard: int
    shards: int
    generation: int
    model: int
    topic: str
    topic_id: str
    learned: dict[int, tuple[int, int, int]]
    """The last message of each shard that is part of the state (`Told`)."""
    positions: dict[int, dict[str, int]]
    """Where each shard was in the input with that message."""
    written: float
    """Unix seconds."""

    def behind(self, shard: int) -> Told:
        """Return the last message of a shard that is part of the state."""
        return Told(*self.learned.get(shard, Told()))


class PeerSnapshots:
    """The directory of peer snapshots, as one shard sees it.

    Args:
        directory: It is created if it is missing.
        shard: Which shard this is.
        seconds: Least time between two files.
    """

    def __init__(self, directory: Path, shard: Shard, seconds: float = 300.0) -> None:
        self.directory = directory
        self.shard = shard
        self.seconds = seconds
        self.figures = ShardFigures()
        self._written: float | None = None
        self._writing: threading.Thread | None = None
        self._has_failed = False

    def is_due(self, now: float, is_last: bool = False) -> bool:
        """Whether it is time for a file.

        Args:
            now: Monotonic seconds.
            is_last: The shard ends, and will write no other.
        """
        if self._writing is not None and self._writing.is_alive() and not is_last:
            return False
        return is_last or self._written is None or now - self._written >= self.seconds

    def make_due(self) -> None:
        """Have the next file written at once."""
        self._written = None

    def write(self, about: PeerSnapshot, items: Snapshot, now: float) -> None:
        """Begin to write a file. A failure is logged: it does not end the shard."""
        self._written = now
        self.join()
        self._writing = threading.Thread(target=self._write, args=(about, items), name="peer-snapshot", daemon=True)
        self._writing.start()

    def join(self) -> None:
        """Wait until the file is written."""
        if self._writing is not None:
            self._writing.join(JOIN_SECONDS)

    def _write(self, about: PeerSnapshot, items: Snapshot) -> None:
        path = self._path(about.topic, self.shard.index)
        head = {ABOUT: np.frombuffer(msgspec.json.encode(about), np.uint8)}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda new: append(new, 0, [head, items]))
        except (OSError, WriteError) as error:
            self.figures.snapshots_failed += 1
            if not self._has_failed:
                logger.warning(
                    "shard %s: its snapshot for peers cannot be written: %s. It tries again every %g s.",
                    self.shard,
                    error,
                    self.seconds,
                )
            self._has_failed = True
            return
        self.figures.snapshots_written += 1
        self._has_failed = False

    def found(self, topic: str) -> Iterator[PeerSnapshot]:
        """Yield what the files of the peers say. A file that cannot be read is left out, with a warning."""
        for peer in self.shard.peers:
            path = self._path(topic, peer)
            with suppress(FileNotFoundError, StopIteration):
                try:
                    _, head = next(read_records(path, path.stat().st_size))
                    about = msgspec.json.decode(head[ABOUT].tobytes(), type=PeerSnapshot)
                except (StoreError, KeyError, msgspec.DecodeError, msgspec.ValidationError) as error:
                    logger.warning("shard %s: %s: expected a snapshot of shard %d; %s", self.shard, path, peer, error)
                    continue
                yield about

    def read(self, about: PeerSnapshot) -> dict[str, NDArray[Any]] | None:
        """Return the state of items in a file. None: it has been replaced since, or is damaged."""
        path = self._path(about.topic, about.shard)
        try:
            records = read_records(path, path.stat().st_size)
            _, head = next(records)
            _, items = next(records)
        except (StoreError, OSError, StopIteration) as error:
            logger.warning("shard %s: the snapshot of shard %d cannot be read: %s", self.shard, about.shard, error)
            return None
        same = msgspec.json.decode(head[ABOUT].tobytes(), type=PeerSnapshot) == about
        return items if same else None

    def _path(self, topic: str, shard: int) -> Path:
        return self.directory / f"{topic}-shard-{shard}.items"


def misfit(found: PeerSnapshot, shards: int, generation: int, model: int, topic_id: str) -> str | None:
    """Say why a snapshot cannot be of use to a shard, whatever its positions. None: it can."""
    if found.version != VERSION:
        return f"it has format version {found.version}, not {VERSION}"
    if found.shards != shards:
        return f"it is of {found.shards} shards, not {shards}"
    if found.generation != generation:
        return f"it has generation {found.generation}, not {generation}"
    if found.model != model:
        return "it is of another model, or of other arguments"
    if found.topic_id and topic_id and found.topic_id != topic_id:
        return "it is from before the topic was made anew"
    return None


def age_of(found: PeerSnapshot) -> float:
    """Return how old a snapshot is, in seconds. It is only said: clocks of machines may differ."""
    return max(0.0, time.time() - found.written)
