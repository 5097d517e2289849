"""Store of lists in Redis or Valkey, for several servers or for a site that reads Redis itself.

Layout, for the output topic `lists` (docs/serving.md shows it to a site's engineer):

- `freshrank:lists:user:<user>`: the message as on the topic, JSON. The fallback list is that of the empty user.
- `freshrank:lists:progress`: a hash with the topic's identity, the newest event time, and a field for each partition.

A batch and its progress go in one transaction, so a crash never keeps a progress without its lists.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import redis
import redis.asyncio

from flows.serve.store import ListStoreError, Progress

_SECONDS: Final = 2.0
"""Timeout of Redis in seconds."""


class RedisStore:
    """Keeps lists in Redis.

    Args:
        url: Address, such as `redis://:password@127.0.0.1:6379/0`.
        topic: The output topic: part of each key.

    Raises:
        ListStoreError: From every method: Redis does not answer.
    """

    is_damaged = False

    def __init__(self, url: str, topic: str) -> None:
        self._where = url.rpartition("@")[2].removeprefix("redis://")
        self._prefix = f"freshrank:{topic}"
        options: dict[str, Any] = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
        self._client = redis.Redis.from_url(url, **options)
        self._reads = redis.asyncio.Redis.from_url(url, **options)
        self._waiting: dict[str, bytes | None] = {}
        self._must_clear = False
        self._progress: Progress | None = None

    def progress(self) -> Progress:
        """Return the progress in Redis. It is unknown while Redis does not answer. Then reading begins at the start."""
        if self._progress is None:
            with self._speaking():
                found: dict[bytes, bytes] = self._client.hgetall(f"{self._prefix}:progress")  # type: ignore[assignment]
            fields = {name.decode(): value.decode() for name, value in found.items()}
            positions = {int(name): int(value) for name, value in fields.items() if name.isdigit()}
            self._progress = Progress(fields.get("topic", ""), positions, float(fields.get("newest", 0.0)))
        return self._progress

    def clear(self) -> None:
        """Delete everything of the topic."""
        with self._speaking():
            batch: list[bytes] = []
            for key in self._client.scan_iter(match=f"{_escape(self._prefix)}:*", count=1_000):
                batch.append(key)
                if len(batch) >= 1_000:
                    self._client.unlink(*batch)
                    batch = []
            if batch:
                self._client.unlink(*batch)
        self._waiting = {}
        self._progress = Progress()

    def write(self, changes: Mapping[str, bytes | None], progress: Progress) -> None:
        """Store these messages. If Redis does not answer, they are buffered and written with the next ones."""
        self._waiting.update(changes)
        self._progress = progress
        self.flush()

    def flush(self) -> None:
        """Write the buffered messages and the progress in one transaction."""
        if not self._waiting or self._progress is None:
            return
        progress = self._progress
        kept = {self._key(user): value for user, value in self._waiting.items() if value is not None}
        gone = [self._key(user) for user, value in self._waiting.items() if value is None]
        fields: dict[Any, Any] = {"topic": progress.topic, "newest": repr(progress.newest)}
        fields |= {str(number): str(position) for number, position in progress.positions.items()}
        with self._speaking(), self._client.pipeline(transaction=True) as together:
            if kept:
                together.mset(kept)
            if gone:
                together.unlink(*gone)
            together.hset(f"{self._prefix}:progress", mapping=fields)
            together.execute()
        self._waiting = {}

    async def get(self, users: Sequence[str]) -> list[bytes | None]:
        """Return the message of each user."""
        with self._speaking():
            found: Any = await self._reads.mget([self._key(user) for user in users])
        return list(found)

    async def count(self) -> int:
        """Return the number of keys in the database, about the number of lists where it holds nothing else."""
        with self._speaking():
            return int(await self._reads.dbsize())

    async def close(self) -> None:
        """Write the buffered messages, and close the connection."""
        try:
            self.flush()
        except ListStoreError:
            pass  # the progress in Redis is that of the lists it has: the next start reads the rest again
        finally:
            self._client.close()
            await self._reads.aclose()

    def _key(self, user: str) -> str:
        return f"{self._prefix}:user:{user}"

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            raise ListStoreError(
                f"Redis at {self._where} does not answer: {error}. Look-ups need it; it is tried again."
            ) from None


def _escape(text: str) -> str:
    """Escape the special characters of a pattern."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in text)
