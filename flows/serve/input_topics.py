"""The input topics as the server uses them: it writes events to one of them, and reads them all."""

import logging

from flows.errors import UsageError
from flows.job.decoder import why_not_plain
from flows.kafka.admin import connect
from flows.settings import Settings

logger = logging.getLogger(__name__)


def events_topic(job: Settings, chosen: str) -> str:
    """Return the input topic that events and requests are written to.

    Args:
        job: The job's settings.
        chosen: The setting `serve.events_topic`; empty: the first topic that `input_topic` names.

    Raises:
        UsageError: No topic is named, the job does not read it, or it reads it in an envelope.

    >>> events_topic(Settings(input_topic="clicks,items"), "")
    'clicks'
    """
    topic = chosen or job.topics.main
    if topic is None:
        raise UsageError(
            f"serve: `input_topic` is a pattern ({job.input_topic}): name the topic for events with `events_topic` in "
            "the table `[serve]`."
        )
    if not job.topics.matches(topic):
        raise UsageError(
            f"serve: expected `events_topic` to be an input topic of the job ({job.input_topic}); got {topic!r}."
        )
    if why := why_not_plain(job, topic):
        raise UsageError(
            f"serve: expected an input topic of plain JSON events; {topic} {why}. Name another with `events_topic` in "
            "the table `[serve]`."
        )
    if not job.topics.is_one:
        logger.info("events and requests are written to topic %r; `events_topic` names another", topic)
    return topic


def read_topics(job: Settings) -> list[str]:
    """Return the input topics: as they are named, or those that match the pattern now.

    Raises:
        KafkaJobError: No broker answers the question for a pattern.
    """
    if job.topics.names:
        return job.topics.names
    return job.topics.among(connect(job.client(), 10.0)[1].topics)
