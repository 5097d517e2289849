"""Fresh lists: a request goes to the input topic, and the job's answer comes on the output topic."""

import asyncio
import secrets

import msgspec

from flows.formats.record_writer import RecordWriter
from flows.kafka.awaited_producer import AwaitedProducer
from flows.messages import Outgoing
from flows.serve.lists import UserList
from flows.serve.lists_reader import ListsReader


class FreshAnswer(msgspec.Struct):
    """Result of a request."""

    found: UserList | None
    fault: str | None
    """Reason why there is no fresh list. None: there is one."""


class FreshLists:
    """Requests lists from the job.

    Args:
        producer: Writes the input topic, without waiting for more messages.
        writer: Encodes the requests.
        reader: Reads the output topic.
        wait: Seconds after which the stored list is used.
    """

    def __init__(self, producer: AwaitedProducer, writer: RecordWriter, reader: ListsReader, wait: float) -> None:
        self.producer = producer
        self.writer = writer
        self.reader = reader
        self.wait = wait
        self.asked = 0
        self.late = 0
        """Number of requests whose answer did not come in time."""
        self._prefix = secrets.token_hex(6)
        self._sending: set[asyncio.Task[object]] = set()

    async def ask(self, user: str, at: float | None = None) -> FreshAnswer:
        """Request a user's list, and wait for it at most `wait` seconds.

        Args:
            user: The user's id.
            at: Unix seconds of the visit. None: now, or the newest event where a recorded log is fed.
        """
        reader = self.reader
        if reader.follower.fault is not None:
            return FreshAnswer(None, "the output topic cannot be read")
        if not reader.is_ready:
            return FreshAnswer(None, "the output topic is not read to its end yet")
        if self.producer.fault is not None and self.producer.pending > 1_000:
            return FreshAnswer(None, "the input topic cannot be written")
        if not self.writer.has_kinds:
            return FreshAnswer(None, "the setting `fields` gives the name `kind` to another field")
        self.asked += 1
        request = f"{self._prefix}-{self.asked}"
        future = reader.expect(request)
        task = asyncio.ensure_future(self.producer.deliver([self._message(user, request, at)]))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        try:
            async with asyncio.timeout(self.wait):
                return FreshAnswer(await future, None)
        except TimeoutError:
            self.late += 1
            said = "the input topic cannot be written" if self.producer.fault else "the job did not answer in time"
            return FreshAnswer(None, said)
        finally:
            reader.forget(request)

    def _message(self, user: str, request: str, at: float | None) -> Outgoing:
        time = self.reader.moment() if at is None else at
        event = {"kind": "request", "user": user, "timestamp": time, "request": request}
        return self.writer.encode(event)
