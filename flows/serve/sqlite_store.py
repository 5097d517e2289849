"""Store of lists in a local SQLite file. The newest lists are in memory until they are written.

SQLite was chosen over LMDB for three reasons. A damaged file is an exception, while a memory map would end the process.
Ids may be longer than 511 bytes. SQLite comes with Python. The file is a cache of the topic: a damaged one is rebuilt.
"""

import contextlib
import fcntl
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from flows.serve.store import ListStoreError, Progress

logger = logging.getLogger(__name__)

FORMAT: Final = 1
"""Version of the file's layout. A file of another version is made anew."""
FLUSH_SECONDS: Final = 1.0
"""Longest time that a change waits for the file."""
FLUSH_CHANGES: Final = 20_000
"""Most changes that wait for the file."""
_LAYOUT: Final = """
create table if not exists lists (user text primary key, value blob not null) without rowid;
create table if not exists progress (one integer primary key check (one = 1), topic text, newest real);
create table if not exists positions (partition integer primary key, position integer not null);
"""


class SqliteStore:
    """Keeps lists in a file, so that a restart reads only what is new on the topic.

    Args:
        path: The file. Its directory is made if it is missing.

    Raises:
        ListStoreError: The file cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        """Guards the two tables in memory; held for a moment only."""
        self._held: IO[str] | None = None
        self._waiting: dict[str, bytes | None] = {}
        self._flushing: dict[str, bytes | None] = {}
        self._flushed_at = time.monotonic()
        self.is_damaged = False
        """Whether the file holds what it should not. `clear` makes it anew."""
        self._writer, self._reader = self._open()
        self._progress = self._read_progress()

    def progress(self) -> Progress:
        """Return how far the store has read."""
        return self._progress

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._waiting, self._flushing = {}, {}
        self._progress = Progress()
        if self.is_damaged:
            self._remake()
            return
        with self._speaking(), self._writer:
            for table in ("lists", "progress", "positions"):
                self._writer.execute(f"delete from {table}")

    def write(self, changes: Mapping[str, bytes | None], progress: Progress) -> None:
        """Keep these messages: at once for look-ups, within `FLUSH_SECONDS` in the file."""
        with self._lock:
            self._waiting.update(changes)
        self._progress = progress
        if len(self._waiting) >= FLUSH_CHANGES or time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write all changes and the progress in one transaction."""
        self._flushed_at = time.monotonic()
        with self._lock:
            if not self._waiting:
                return
            self._flushing, self._waiting = self._waiting, {}
        progress = self._progress
        try:
            self._save(self._flushing, progress)
        except ListStoreError:
            with self._lock:  # a full disk may have room again later
                self._waiting, self._flushing = self._flushing | self._waiting, {}
            raise
        with self._lock:
            self._flushing = {}

    def _save(self, changes: Mapping[str, bytes | None], progress: Progress) -> None:
        kept = [(user, value) for user, value in changes.items() if value is not None]
        gone = [(user,) for user, value in changes.items() if value is None]
        with self._speaking(), self._writer:
            self._writer.executemany("insert or replace into lists values (?, ?)", kept)
            self._writer.executemany("delete from lists where user = ?", gone)
            self._writer.execute("insert or replace into progress values (1, ?, ?)", (progress.topic, progress.newest))
            self._writer.executemany("insert or replace into positions values (?, ?)", progress.positions.items())

    async def get(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the message of each user."""
        found: list[bytes | None] = []
        for user in users:
            with self._lock:
                if user in self._waiting:
                    found.append(self._waiting[user])
                    continue
                if user in self._flushing:
                    found.append(self._flushing[user])
                    continue
            with self._speaking():
                row = self._reader.execute("select value from lists where user = ?", (user,)).fetchone()
            found.append(None if row is None else row[0])
        return found

    async def count(self) -> int:
        """Return the number of lists in the file."""
        with self._speaking():
            return int(self._reader.execute("select count(*) from lists").fetchone()[0])

    async def close(self) -> None:
        """Flush, and close the file."""
        with contextlib.suppress(ListStoreError):
            self.flush()
        self._reader.close()
        self._writer.close()
        if self._held is not None:
            self._held.close()

    def _remake(self) -> None:
        with self._lock:
            self._reader.close()
            self._writer.close()
            self._delete()
            self._writer, self._reader = self._open()
            self.is_damaged = False

    def _delete(self) -> None:
        for each in (self.path, *(self.path.with_name(self.path.name + end) for end in ("-wal", "-shm"))):
            each.unlink(missing_ok=True)

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        try:
            self._lock_file()
            try:
                return self._connect(), self._connect()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                    raise
                logger.warning("%s: expected lists of an earlier run; %s. The file is made anew.", self.path, error)
                self._delete()
                return self._connect(), self._connect()
        except (OSError, sqlite3.Error) as error:
            raise ListStoreError(
                f"{self.path}: expected a file to keep lists in; {error}. Set `store` to a path that this user may "
                "write and no other process uses, or to `memory`."
            ) from None

    def _lock_file(self) -> None:
        if self._held is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        held = self.path.with_name(self.path.name + ".lock").open("w")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            raise OSError("another process uses it") from None
        self._held = held

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=5.0, check_same_thread=False, isolation_level="IMMEDIATE")
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")  # an atomic file whatever happens; a power cut loses seconds
        connection.execute("pragma mmap_size = 1073741824")
        connection.execute("pragma cache_size = -32768")
        version = connection.execute("pragma user_version").fetchone()[0]
        if version not in (0, FORMAT):
            connection.close()
            raise sqlite3.DatabaseError(f"it has version {version} of the layout, not {FORMAT}")
        connection.executescript(_LAYOUT)
        connection.execute(f"pragma user_version = {FORMAT}")
        return connection

    def _read_progress(self) -> Progress:
        with self._speaking():
            row = self._reader.execute("select topic, newest from progress").fetchone()
            positions = dict(self._reader.execute("select partition, position from positions").fetchall())
        return Progress() if row is None else Progress(row[0], positions, row[1])

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self.is_damaged = type(error) is sqlite3.DatabaseError
            raise ListStoreError(f"{self.path}: the lists cannot be read or written; {error}.") from error
