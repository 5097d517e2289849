"""Opening of the store of the setting `store`."""

from pathlib import Path

from flows.errors import UsageError
from flows.serve.settings import default_store
from flows.serve.sqlite_store import SqliteStore
from flows.serve.store import ListStore, MemoryStore


def open_store(name: str, topic: str, port: int) -> ListStore:
    """Open the store of a topic's lists.

    Args:
        name: `memory`, `redis://host:port/db`, a path, or empty for a file in the user's cache directory.
        topic: The output topic.
        port: The server's port, so that two servers on one machine have two files.

    Raises:
        ListStoreError: The store cannot be opened.
        UsageError: The name is none of these.
    """
    if name == "memory":
        return MemoryStore()
    if name.startswith(("redis://", "rediss://", "valkey://")):
        from flows.serve.redis_store import RedisStore

        return RedisStore(name.replace("valkey://", "redis://", 1), topic)
    if "://" in name:
        raise UsageError(f"setting serve.store: expected a path, `memory` or `redis://host:port/db`; got {name!r}.")
    return SqliteStore(Path(name) if name else default_store(topic, port))
