"""Intake of events: checks each with the job's own decoder, and answers when the brokers have it."""

import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from flows.kafka.awaited_producer import AwaitedProducer
from flows.messages import Decoder, Event, Forget, Interaction, ItemEvent, Outgoing, Raw, Rejected
from flows.serve.http_errors import HttpError

MAX_IDS: Final = 100_000
"""Number of event ids that are remembered, so that an event sent again is not written again."""
RETRY_SECONDS: Final = 2
"""Value of `Retry-After`, in seconds, if no broker takes events."""

_split_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_one: Final = msgspec.json.Decoder(msgspec.Raw).decode


class EventResult(msgspec.Struct, omit_defaults=True):
    """Result for one event."""

    status: Literal["accepted", "repeated", "refused"]
    """`repeated`: an event with this id was accepted before; it was not written again."""
    source: str = ""
    """Position of the event on the input topic."""
    reason: str = ""
    """Reason of a refusal, as the job gives it for a dead letter."""
    field: str = ""
    """Name of the invalid field, if it is one field."""


class IntakeAnswer(msgspec.Struct):
    """Results for the events of one request, in their order."""

    accepted: int
    """Events that the brokers have, those sent again included."""
    refused: int
    results: list[EventResult]


def split_events(body: bytes, most: int) -> list[bytes]:
    r"""Split a body into events: one JSON object, an array of them, or one on each line (NDJSON).

    Args:
        body: The body.
        most: Most events.

    Raises:
        HttpError: It is none of these, or holds too many.

    >>> split_events(b'{"user": "u1"}\n{"user": "u2"}\n', 10)
    [b'{"user": "u1"}', b'{"user": "u2"}']
    >>> split_events(b'[{"user": "u1"}, 7]', 10)
    [b'{"user": "u1"}', b'7']
    """
    body = body.removeprefix(b"\xef\xbb\xbf").strip()
    if not body:
        raise HttpError(400, "expected one event, an array of events, or one event on each line; the body is empty")
    if body.startswith(b"["):
        try:
            events = [bytes(each) for each in _split_array(body)]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HttpError(400, f"expected a JSON array of events; {error}") from None
    else:
        try:
            events = [bytes(_one(body))]
        except (msgspec.DecodeError, UnicodeDecodeError):  # one object may span lines, so lines come second
            events = [line for line in body.splitlines() if line.strip()]
    if len(events) > most:
        raise HttpError(413, f"expected at most {most:,} events in one request; got {len(events):,}")
    return events


class Intake:
    """Checks events and writes the good ones to the input topic.

    Args:
        producer: Writes the input topic.
        decoder: The job's own.
        topic: The input topic.

    Attributes:
        refused: How many events were refused, by reason.
    """

    def __init__(self, producer: AwaitedProducer, decoder: Decoder, topic: str) -> None:
        self.producer = producer
        self.decoder = decoder
        self.topic = topic
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        self._ids: OrderedDict[str, str] = OrderedDict()

    async def take(self, events: Sequence[bytes], may_administer: bool = True) -> IntakeAnswer:
        """Write the good events, and wait until the brokers have them.

        Args:
            events: The events, undecoded.
            may_administer: Whether item events and erasures are taken.

        Raises:
            HttpError: 503: the brokers did not take all of them. Send all again: ids keep repeats out.
        """
        results: list[EventResult] = []
        going: list[tuple[int, str | None, Outgoing]] = []
        for value in events:
            decoded = self.decoder(Raw(self.topic, 0, 0, value), time.perf_counter())
            result = self._check(decoded, may_administer)
            if result is None and not isinstance(decoded, Rejected):
                id = decoded.id if isinstance(decoded, Interaction) else None
                going.append((len(results), id, Outgoing(_key(decoded), value)))
                result = EventResult("accepted")
            results.append(result or EventResult("refused"))
        deliveries = await self.producer.deliver([message for _, _, message in going])
        lost = [delivery for delivery in deliveries if delivery.fault]
        for (number, id, _), delivery in zip(going, deliveries, strict=True):
            if not delivery.fault:
                results[number].source = delivery.source
                self.accepted += 1
                if id is not None:
                    self._remember(id, delivery.source)
        if lost:
            raise HttpError(
                503,
                f"{len(lost):,} of {len(events):,} events did not reach the brokers. Send all of them again.",
                {"Retry-After": str(RETRY_SECONDS)},
            )
        refused = sum(result.status == "refused" for result in results)
        return IntakeAnswer(len(results) - refused, refused, results)

    def _check(self, decoded: Event | Rejected, may_administer: bool) -> EventResult | None:
        """Return the reason why an event is not written. None: it is written."""
        if isinstance(decoded, Rejected):
            self.refused[decoded.reason] += 1
            return EventResult("refused", reason=str(decoded.reason), field=decoded.field)
        if isinstance(decoded, ItemEvent | Forget) and not may_administer:
            self.refused["not allowed"] += 1
            return EventResult("refused", reason="needs a token of the role admin", field="kind")
        if isinstance(decoded, Interaction) and decoded.id in self._ids:
            return EventResult("repeated", source=self._ids[decoded.id or ""])
        return None

    def _remember(self, id: str, source: str) -> None:
        self._ids[id] = source
        if len(self._ids) > MAX_IDS:
            self._ids.popitem(last=False)


def _key(event: Event) -> bytes:
    """Return the key of an event: its user, so that one user's events stay in order."""
    key = event.item if isinstance(event, ItemEvent) else event.user
    return key.encode()
