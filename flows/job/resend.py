"""Resend: puts dead letters back into the input topic, each once, after their cause was repaired."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import orjson
from confluent_kafka import KafkaException, Producer

from flows.formats.dead_letters import LARGE_LIST, DeadLetter
from flows.job.decoder import decoder_of
from flows.job.preflight import input_topics, require_brokers, require_distinct_topics
from flows.kafka.admin import partitions
from flows.kafka.errors import SILENCE_STDERR, Config, explain_error, retry
from flows.kafka.sink import PRODUCER_DEFAULTS
from flows.kafka.topic_range import TopicRange, read_range
from flows.messages import Raw, Rejected, headers_of
from flows.settings import Settings

BATCH: Final = 100
"""Dead letters that one transaction sends."""
LEDGER: Final = "resent"
"""Header of the messages on the dead-letter topic that say which dead letters were sent. Their value is JSON:
`{"resent": [[partition, offset], ...]}`."""
_SECONDS: Final = 30.0


@dataclass
class Resent:
    """Result of a resend."""

    sent: int = 0
    before: int = 0
    """Sent by an earlier resend."""
    still_bad: Counter[str] = field(default_factory=Counter)
    """Would be rejected again, by reason. They were not sent."""
    cut: int = 0
    """Letters that hold only a part of their record."""
    other: int = 0
    """Letters that are no record of an input topic, such as lists that were too large."""

    def sentence(self, topic: str, is_dry: bool) -> str:
        """Say it in one line, leaving out what did not happen."""
        parts = [f"dead letters {'to send' if is_dry else 'sent'} to {topic}: {self.sent:,}"]
        if self.before:
            parts.append(f"sent before: {self.before:,}")
        if self.cut:
            parts.append(f"not sent, as they hold only a part of their record: {self.cut:,}")
        if self.other:
            parts.append(f"not sent, as they are no records of {topic}: {self.other:,}")
        if self.still_bad:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.still_bad.most_common())
            parts.append(
                f"not sent, as they would be rejected again: {self.still_bad.total():,} ({reasons}). Correct `fields`,"
                " `time_unit` or what else reads them, or add --anyway"
            )
        return "; ".join(parts) + "."


def resend(
    settings: Settings,
    wanted: TopicRange | None = None,
    reasons: Iterable[str] = (),
    *,
    anyway: bool = False,
    is_dry: bool = False,
) -> Resent:
    """Send dead letters to their topic and partition again, with their key, headers and time.

    Each batch of records goes in one transaction with a note on the dead-letter topic that says which letters they
    were. So no letter is sent twice, even if a resend is killed.

    Args:
        settings: Where the brokers are, the topics, and how records are decoded now.
        wanted: Range of the dead-letter topic. None: all of it.
        reasons: Only letters with one of these reasons; empty: all.
        anyway: Send those, too, that would be rejected again.
        is_dry: Only count.

    Raises:
        KafkaJobError: The letters cannot be read, or the records cannot be written.
        UsageError: A topic has two roles, or the brokers or the topics cannot be reached.
    """
    require_distinct_topics(settings)
    require_brokers(settings, {"input_topic": settings.topics.names, "dead_letter_topic": [settings.dead_letter_topic]})
    client, done, only = settings.client(), Resent(), set(reasons)
    sent_before = set(_ledger(client, settings.dead_letter_topic))
    is_good = (lambda letter: True) if anyway else _judge(settings, done)
    letters = _letters(client, settings, wanted or TopicRange(), only, sent_before, done)
    good = ((place, letter) for place, letter in letters if is_good(letter))
    if is_dry:
        done.sent = sum(1 for _ in good)
        return done
    sender: _Sender | None = None
    while batch := list(islice(good, BATCH)):
        sender = sender or _Sender(client, settings)
        sender.send(batch)
        done.sent += len(batch)
    return done


Place = tuple[int, int]
"""Partition and offset of a dead letter."""


def _ledger(client: Config, topic: str) -> Iterator[Place]:
    """Return which letters earlier resends have sent."""
    for raw in read_range(client, topic, TopicRange()):
        if _is_ledger(raw):
            yield from ((partition, offset) for partition, offset in orjson.loads(raw.value or b"{}")[LEDGER])


def _is_ledger(raw: Raw) -> bool:
    return any(name == LEDGER for name, _ in headers_of(raw.carrier))


def _letters(
    client: Config, settings: Settings, wanted: TopicRange, reasons: set[str], sent: set[Place], done: Resent
) -> Iterator[tuple[Place, DeadLetter]]:
    for raw in read_range(client, settings.dead_letter_topic, wanted):
        if _is_ledger(raw):
            continue
        letter, place = DeadLetter.of(raw), (raw.partition, raw.offset)
        if reasons and letter.reason not in reasons:
            continue
        if not settings.topics.matches(letter.topic) or letter.reason == LARGE_LIST:
            done.other += 1
        elif letter.is_cut:
            done.cut += 1
        elif place in sent:
            done.before += 1
        else:
            yield place, letter


def _judge(settings: Settings, done: Resent) -> Callable[[DeadLetter], bool]:
    decode = decoder_of(settings)

    def is_good(letter: DeadLetter) -> bool:
        decoded = decode(letter.as_raw(), 0.0)
        if isinstance(decoded, Rejected):
            done.still_bad[str(decoded.reason)] += 1
            return False
        return True

    return is_good


class _Sender:
    """A producer whose transactions hold records and the note that they were sent."""

    def __init__(self, client: Config, settings: Settings) -> None:
        self.client = client
        self.letters = settings.dead_letter_topic
        self.counts = {topic: len(partitions(client, topic)) for topic in input_topics(settings)}
        self.doing = f"sending dead letters of topic {self.letters!r} again"
        name = f"{settings.group}-resend"
        given: dict[str, Any] = {**SILENCE_STDERR, **PRODUCER_DEFAULTS, **client, "transactional.id": name}
        doing = f"{self.doing} (right Write on transactional id {name!r})"
        self.producer = retry(client, doing, lambda: Producer(given))
        retry(client, doing, lambda: self.producer.init_transactions(_SECONDS))

    def send(self, batch: list[tuple[Place, DeadLetter]]) -> None:
        try:
            self.producer.begin_transaction()
            for _, letter in batch:
                is_there = letter.partition < self.counts.get(letter.topic, 0)
                self.producer.produce(
                    letter.topic,
                    letter.record.value,
                    letter.record.key,
                    partition=letter.partition if is_there else -1,
                    headers=letter.headers(),
                    timestamp=letter.time or 0,
                )
            note = orjson.dumps({LEDGER: [place for place, _ in batch]})
            self.producer.produce(self.letters, note, LEDGER.encode(), headers=[(LEDGER, b"%d" % len(batch))])
            self.producer.commit_transaction(_SECONDS)
        except (KafkaException, BufferError) as error:
            raise explain_error(self.client, self.doing, error) from None
