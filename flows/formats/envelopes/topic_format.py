"""How the records of one topic are decoded, where topics differ."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from flows.formats.envelopes.decoder import EnvelopeDecoder, EnvelopeName, Kind
from flows.formats.envelopes.schema_registry import RegistryFrame
from flows.formats.field_map import check_fields
from flows.formats.json_events import JsonDecoder
from flows.formats.times import TimeFormat, TimeUnit
from flows.messages import Decoder, Event, Raw, Rejected


@dataclass(frozen=True)
class TopicFormat:
    """Format of a topic. A field that is None is as for all topics.

    Args:
        fields: Field to its name in the record, or a dotted path into nested objects.
        envelope: `none`, `cloudevents` or `debezium`.
        kind: The kind of records that say none: `interaction`, `item`, `request` or `forget`.
        time_from: `record`, or `kafka` for the record's Kafka timestamp.
        time_unit, time_zone, time_format: As of `flows.formats.times.TimeFormat`.
        is_framed: Whether records have the schema registry's frame. None: where a registry is set.

    Raises:
        UsageError: A field is unknown, or a time is described wrongly.
    """

    fields: dict[str, str] | None = None
    envelope: EnvelopeName | None = None
    kind: Kind | None = None
    time_from: Literal["record", "kafka"] | None = None
    time_unit: TimeUnit | None = None
    time_zone: str | None = None
    time_format: str | None = None
    is_framed: bool | None = None

    def __post_init__(self) -> None:
        check_fields(self.fields or {})
        TimeFormat(self.time_unit or "s", self.time_zone or "UTC", self.time_format)

    @property
    def times(self) -> TimeFormat:
        """How timestamps are read."""
        return TimeFormat(self.time_unit or "s", self.time_zone or "UTC", self.time_format)

    def decoder(self, frame: RegistryFrame | None) -> JsonDecoder | EnvelopeDecoder:
        """Return the decoder of these records: a plain one, unless there is an envelope, a kind or a Kafka time."""
        plain = JsonDecoder(fields=self.fields, times=self.times)
        frame = None if self.is_framed is False else frame
        envelope, time_from = self.envelope or "none", self.time_from or "record"
        if envelope == "none" and time_from == "record" and frame is None and self.kind is None:
            return plain
        return EnvelopeDecoder(plain, envelope, frame, self.kind, time_from)

    def over(self, other: "TopicFormat") -> "TopicFormat":
        """Return this format, and the other's where this says nothing."""
        names = ("fields", "envelope", "kind", "time_from", "time_unit", "time_zone", "time_format", "is_framed")
        mine, theirs = ({name: getattr(each, name) for name in names} for each in (self, other))
        return TopicFormat(**{name: theirs[name] if mine[name] is None else mine[name] for name in names})


class TopicDecoder:
    """Decodes the records of several topics, each in its own way.

    Args:
        formats: Formats by patterns of topics' names, such as `shop.*`. The first that matches counts.
        frame: Reads records with the schema registry's frame.

    >>> formats = {"items": TopicFormat(kind="item", fields={"item": "sku"}), "*": TopicFormat()}
    >>> TopicDecoder(formats, None)(Raw("items", 0, 0, b'{"sku": "i9", "timestamp": 1, "price": 5}'), 0.0).features
    {'price': 5}
    """

    def __init__(self, formats: dict[str, TopicFormat], frame: RegistryFrame | None) -> None:
        self.formats = formats
        self.frame = frame
        self._by_topic: dict[str, Decoder] = {}

    def __call__(self, raw: Raw, arrived: float) -> Event | Rejected:
        """Decode one record by its topic."""
        decoder = self._by_topic.get(raw.topic)
        if decoder is None:
            found = next(each for pattern, each in self.formats.items() if fnmatchcase(raw.topic, pattern))
            decoder = self._by_topic[raw.topic] = found.decoder(self.frame)
        return decoder(raw, arrived)
