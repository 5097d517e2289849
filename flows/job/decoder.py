"""How records of the input topics are decoded."""

from flows.formats.envelopes.schema_registry import RegistryFrame
from flows.formats.envelopes.topic_format import TopicDecoder, TopicFormat
from flows.messages import Decoder
from flows.settings import Settings


def decoder_of(settings: Settings) -> Decoder:
    """Return the decoder of records from Kafka, as the settings say.

    Raises:
        UsageError: The schema registry's client is not installed, or its settings are wrong.
    """
    every = TopicFormat(
        settings.fields,
        settings.envelope,
        None,
        settings.time_from,
        settings.time_unit,
        settings.time_zone,
        settings.time_format,
    )
    frame = RegistryFrame(settings.schema_registry) if settings.schema_registry else None
    if not settings.topic_formats:
        return every.decoder(frame)
    formats = {pattern: given.over(every) for pattern, given in settings.topic_formats.items()}
    return TopicDecoder({**formats, "*": every} if "*" not in formats else formats, frame)
