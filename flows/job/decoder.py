"""How records of the input topics are decoded."""

from flows.formats.json_events import JsonDecoder
from flows.messages import Decoder
from flows.settings import Settings


def decoder_of(settings: Settings) -> Decoder:
    """Return the decoder of records from Kafka, as the settings say."""
    return JsonDecoder(fields=settings.fields, times=settings.times)
