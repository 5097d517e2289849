"""Readers of the input topic and of the rejects, which pass their records to the event loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from flows.kafka.errors import Config
from flows.kafka.follower import Bounds, Follower, Start
from flows.messages import Decoder, Event, Raw, Rejected

MAX_SAMPLE: Final = 300
"""Largest number of bytes of a reject that are shown."""


class Reject(NamedTuple):
    """A rejected record."""

    source: str
    reason: str
    field: str
    raw: str
    """The beginning of the record, as text."""


TakeEvents: TypeAlias = Callable[[Sequence[Event], bool], None]
"""Takes events; says whether they came after the topic was read to its end once."""


def from_the_end(records: int) -> Start:
    """Begin a number of records before the end of each partition."""

    def start(identity: str, bounds: Mapping[int, Bounds]) -> Mapping[int, int]:
        return {number: max(each.low, each.high - records) for number, each in bounds.items()}

    return start


def follow_events(
    config: Config, topic: str, lookback: int, decoder: Decoder, loop: asyncio.AbstractEventLoop, take: TakeEvents
) -> Follower:
    """Return the follower of the input topic. It skips rejects, which come on a topic of their own.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        topic: The input topic.
        lookback: Records of each partition that are read at the start.
        decoder: The job's own.
        loop: Where `take` is called.
        take: Takes the events.
    """

    def decode(messages: Sequence[Any]) -> None:
        events: list[Event] = []
        for message in messages:
            raw = Raw(topic, message.partition(), message.offset(), message.value(), message)
            decoded = decoder(raw, 0.0)
            if not isinstance(decoded, Rejected):
                events.append(decoded)
        if events and not loop.is_closed():
            loop.call_soon_threadsafe(take, events, follower.caught_up)

    follower = Follower(config, topic, from_the_end(lookback), decode)
    return follower


def follow_rejects(
    config: Config, topic: str, lookback: int, loop: asyncio.AbstractEventLoop, take: Callable[[list[Reject]], None]
) -> Follower:
    """Return the follower of the dead-letter topic. The arguments are those of `follow_events`."""

    def read(messages: Sequence[Any]) -> None:
        rejects = []
        for message in messages:
            said = {
                name: value.decode(errors="replace")
                for name, value in message.headers() or ()
                if isinstance(value, bytes)
            }
            raw = (message.value() or b"")[:MAX_SAMPLE].decode(errors="replace")
            rejects.append(Reject(said.get("source", ""), said.get("reason", ""), said.get("field", ""), raw))
        if not loop.is_closed():
            loop.call_soon_threadsafe(take, rejects)

    return Follower(config, topic, from_the_end(lookback), read)
