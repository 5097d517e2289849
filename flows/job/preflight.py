"""Checks before a job starts: topics, brokers and rights."""

from flows.kafka.acls import RequiredAcl, Right, missing_rights
from flows.kafka.admin import create_topic, probe
from flows.settings import Settings


def find_faults(settings: Settings) -> list[str]:
    """Say what keeps the job from running; topics that it may create are no fault. Nothing where all is well."""
    topics = {"input_topic": settings.input_topic}
    if not settings.create_topics:
        topics |= {"output_topic": settings.output_topic, "dead_letter_topic": settings.dead_letter_topic}
    client = settings.client()
    return probe(client, topics) or missing_rights(client, *_needs(settings))


def _needs(settings: Settings) -> tuple[list[RequiredAcl], RequiredAcl]:
    topics = [
        RequiredAcl("input_topic", settings.input_topic, Right.READ),
        RequiredAcl("output_topic", settings.output_topic, Right.WRITE),
        RequiredAcl("dead_letter_topic", settings.dead_letter_topic, Right.WRITE),
    ]
    return topics, RequiredAcl("group", settings.group, Right.READ)


def make_topics(settings: Settings) -> list[str]:
    """Create the output topics where they are missing and may be created; return warnings about those there are."""
    if not settings.create_topics:
        return []
    client, size = settings.client(), {"partitions": settings.partitions, "replication": settings.replication}
    warnings = [
        create_topic(client, settings.output_topic, compacted=True, **size),
        create_topic(client, settings.dead_letter_topic, compacted=False, **size),
    ]
    return [warning for warning in warnings if warning]
