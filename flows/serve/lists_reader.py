"""Reads the output topic into the store, and wakes those who wait for a list."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from flows.kafka.errors import Config
from flows.kafka.follower import Bounds, Follower
from flows.messages import FALLBACK_USER
from flows.serve.lists import UserList, parse_list
from flows.serve.store import ListStore, ListStoreError, Progress

logger = logging.getLogger(__name__)

REQUEST_HEADER: Final = "request"
"""Header of the output topic that names the request a list answers."""
FUTURE_SECONDS: Final = 86_400.0
"""An event time so far ahead of the clock is not believed."""
REPLAY_SECONDS: Final = 86_400.0
"""Where the newest event is older than this, the job reads a recorded log, and that log's time is taken for now."""

Listener: TypeAlias = Callable[[Sequence[tuple[str, UserList | None]]], None]
"""Is told on the event loop which lists have changed."""


class ListsReader:
    """Keeps a store in step with the output topic.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        topic: The output topic.
        store: Where the lists are kept.
        loop: The event loop of those who wait.

    Attributes:
        newest: Time of the newest event that any list answers, in Unix seconds.
        unreadable: Messages that are no lists.
    """

    def __init__(self, config: Config, topic: str, store: ListStore, loop: asyncio.AbstractEventLoop) -> None:
        self.store = store
        self.unreadable = 0
        self.changed = 0
        """Lists written or withdrawn since the process started."""
        self.newest = 0.0
        self.listeners: list[Listener] = []
        self.follower = Follower(config, topic, self._start, self._take, self._idle)
        self._topic = topic
        self._loop = loop
        self._identity = ""
        self._waiting: dict[str, asyncio.Future[UserList]] = {}
        self._flush_at = time.monotonic()
        self.store_fault: str | None = None
        self.fallback: UserList | None = None
        """The fallback list, once it is known."""
        self.is_fallback_known = False
        """Whether `fallback` is what the store holds: every look-up needs it, so it is not read each time."""
        self.is_ready = False
        """Whether all that the topic held when it was opened is in the store."""

    def moment(self) -> float:
        """Return the time of what happens now: the clock's, or the log's where a recorded log is fed."""
        now = time.time()
        return round(self.newest if 0.0 < self.newest < now - REPLAY_SECONDS else now, 3)

    def start(self) -> None:
        """Begin to read."""
        self.follower.start()

    def close(self) -> None:
        """Stop reading; the store has all that was read."""
        self.follower.stop()

    def expect(self, request: str) -> "asyncio.Future[UserList]":
        """Return a future for the list that answers a request. `forget` it when nobody waits any longer."""
        future: asyncio.Future[UserList] = self._loop.create_future()
        self._waiting[request] = future
        return future

    def forget(self, request: str) -> None:
        """Wait no longer for a request."""
        self._waiting.pop(request, None)

    def _start(self, identity: str, bounds: Mapping[int, Bounds]) -> Mapping[int, int]:
        """Go on where the store ends; begin anew where the topic is another, or was cut off before that."""
        progress = self.store.progress()
        self.newest = progress.newest
        topic = f"{self._topic}#{identity}"
        is_same = progress.topic == topic and all(
            number in bounds and bounds[number].low <= position <= bounds[number].high
            for number, position in progress.positions.items()
        )
        if not is_same or self.store.is_damaged:
            if progress.topic:
                logger.warning("topic %r is not the one whose lists are in the store: it is read anew", self._topic)
            self.store.clear()
            self.newest = 0.0
            self.is_ready = False
            self.fallback, self.is_fallback_known = None, True
        self._identity = topic
        known = self.store.progress().positions
        return {number: known.get(number, each.low) for number, each in bounds.items()}

    def _take(self, messages: Sequence[Any]) -> None:
        changes: dict[str, bytes | None] = {}
        told: list[tuple[str, UserList | None]] = []
        answers: list[tuple[str, UserList]] = []
        is_heard = bool(self.listeners) and self.is_ready  # the past would only hold the loop up
        limit = time.time() + FUTURE_SECONDS
        for message in messages:
            key, value = message.key(), message.value()
            try:
                user = FALLBACK_USER if key is None else key.decode()
            except UnicodeDecodeError:
                self.unreadable += 1
                continue
            found = None if value is None else parse_list(value)
            if found is None and value is not None:
                self.unreadable += 1
                continue
            changes[user] = value
            if user == FALLBACK_USER:
                self.fallback, self.is_fallback_known = found, True
            if found is not None and self.newest < found.event_time < limit:
                self.newest = found.event_time
            if is_heard:
                told.append((user, found))
            if found is not None and self._waiting and (headers := message.headers()):
                answers += [
                    (said.decode(errors="replace"), found)
                    for name, said in headers
                    if name == REQUEST_HEADER and isinstance(said, bytes)
                ]
        self.changed += len(changes)
        self._write(changes)
        if (answers or told) and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, answers, told)

    def _write(self, changes: Mapping[str, bytes | None]) -> None:
        progress = Progress(self._identity, dict(self.follower.positions), self.newest)
        try:
            self.store.write(changes, progress)
            self.store_fault = None
        except ListStoreError as error:
            self._failed(error)

    def _idle(self) -> None:
        self.is_ready = self.is_ready or self.follower.caught_up
        if time.monotonic() > self._flush_at:
            self._flush_at = time.monotonic() + 1.0
            try:
                if self.store.is_damaged:
                    self.follower.reopen("the store is damaged")
                    return
                self.store.flush()
            except ListStoreError as error:
                self._failed(error)

    def _failed(self, error: ListStoreError) -> None:
        if str(error) != self.store_fault:
            logger.error("%s", error)
        self.store_fault = str(error)

    def _tell(self, answers: Sequence[tuple[str, UserList]], told: Sequence[tuple[str, UserList | None]]) -> None:
        """Wake those who wait; on the event loop."""
        for request, found in answers:
            future = self._waiting.pop(request, None)
            if future is not None and not future.done():
                future.set_result(found)
        for listener in list(self.listeners):
            listener(told)
