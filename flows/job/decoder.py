"""How records of the input topics are decoded."""

from fnmatch import fnmatchcase

from flows.formats.envelopes.schema_registry import RegistryFrame
from flows.formats.envelopes.topic_format import TopicDecoder, TopicFormat
from flows.messages import Decoder
from flows.settings import Settings


def format_of(settings: Settings, topic: str) -> TopicFormat:
    """Return how the records of a topic are decoded.

    >>> format_of(Settings(topic_formats={"shop.*": TopicFormat(envelope="debezium")}), "shop.clicks").envelope
    'debezium'
    """
    every = _of_all(settings)
    found = (given.over(every) for pattern, given in settings.topic_formats.items() if fnmatchcase(topic, pattern))
    return next(found, every)


def why_not_plain(settings: Settings, topic: str) -> str:
    """Say what makes the job read a topic otherwise than as plain JSON events; empty: nothing does."""
    found = format_of(settings, topic)
    if found.envelope not in (None, "none"):
        return f"has the envelope {found.envelope}"
    if settings.schema_registry and found.is_framed is not False:
        return "has the schema registry's frame"
    return f"holds records of the kind {found.kind}" if found.kind not in (None, "interaction") else ""


def _of_all(settings: Settings) -> TopicFormat:
    return TopicFormat(
        settings.fields,
        settings.envelope,
        None,
        settings.time_from,
        settings.time_unit,
        settings.time_zone,
        settings.time_format,
    )


def decoder_of(settings: Settings) -> Decoder:
    """Return the decoder of records from Kafka, as the settings say.

    Raises:
        UsageError: The schema registry's client is not installed, or its settings are wrong.
    """
    every = _of_all(settings)
    frame = RegistryFrame(settings.schema_registry) if settings.schema_registry else None
    if not settings.topic_formats:
        return every.decoder(frame)
    formats = {pattern: given.over(every) for pattern, given in settings.topic_formats.items()}
    return TopicDecoder({**formats, "*": every} if "*" not in formats else formats, frame)
