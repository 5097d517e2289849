"""Checks before a job starts: settings, brokers, topics and rights."""

from collections.abc import Mapping, Sequence

from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]  # forgotten re-export

from flows.errors import UsageError
from flows.job.connector import Findings
from flows.kafka.acls import RequiredAcl, missing_rights
from flows.kafka.admin import connect, create_topic
from flows.kafka.probe import cleanup_policies, probe
from flows.settings import Settings


def inspect_job(settings: Settings) -> Findings:
    """Find faults in the settings, the brokers, the topics or the rights of a job.

    Topics that the job may create are no fault.
    """
    if faults := topic_faults(settings):
        return Findings(faults, [])
    topics = {"input_topic": settings.topics.names}
    if not settings.create_topics:
        topics |= {"output_topic": [settings.output_topic], "dead_letter_topic": [settings.dead_letter_topic]}
    client = settings.client()
    if faults := probe(client, topics):
        return Findings(faults, [])
    policies = _policy_findings(settings)
    return Findings(missing_rights(client, *_needs(settings)) + policies.faults, policies.warnings)


def topic_faults(settings: Settings) -> list[str]:
    """Say which topics are named twice. A topic that is both read and written is a ring: it never ends."""
    lists, letters, faults = settings.output_topic, settings.dead_letter_topic, []
    for name, topic, harm in (
        ("output_topic", lists, "the job would read its own lists as events"),
        ("dead_letter_topic", letters, "each rejected record would be read and rejected again, without end"),
    ):
        if settings.topics.matches(topic):
            faults.append(
                f"`{name}` is {topic!r}, and `input_topic` ({settings.input_topic}) reads that topic: {harm}. Change"
                " one of them."
            )
    if lists == letters:
        faults.append(
            f"`dead_letter_topic` and `output_topic` are both {lists!r}: readers of lists would read dead letters. Give"
            " one of them another topic."
        )
    return faults


def require_distinct_topics(settings: Settings) -> None:
    """Refuse settings that name a topic twice.

    Raises:
        UsageError: A topic has two roles.
    """
    if faults := topic_faults(settings):
        raise UsageError("\n".join(faults))


def require_brokers(settings: Settings, topics: Mapping[str, Sequence[str]], *, may_be_missing: bool = False) -> None:
    """Refuse to go on where brokers do not answer or topics are missing.

    Args:
        settings: Where the brokers are.
        topics: Names of topics by the setting or option that holds them.
        may_be_missing: A topic that is not there is no fault.

    Raises:
        UsageError: As `flows.kafka.probe.probe` finds.
    """
    if faults := probe(settings.client(), topics, may_be_missing=may_be_missing):
        raise UsageError("\n".join(faults))


def input_topics(settings: Settings) -> list[str]:
    """Return the input topics, those that match a pattern as the brokers have them now.

    Raises:
        KafkaJobError: A pattern is given, and no broker answers.
    """
    choice = settings.topics
    return choice.names or choice.among(connect(settings.client(), 10.0)[1].topics)


def _policy_findings(settings: Settings) -> Findings:
    inputs, names = input_topics(settings), (settings.dead_letter_topic, settings.output_topic)
    policies = cleanup_policies(settings.client(), [*inputs, *names])
    letters, lists = (policies.get(name) for name in names)
    found = Findings([], [])
    for topic in [] if settings.compacted_input else inputs:
        if "compact" in (policy := policies.get(topic, "")):
            found.faults.append(
                f"Topic {topic!r} (`input_topic`) has cleanup.policy={policy}: the brokers keep only the newest event"
                " of each key, so older events are lost. Set it to delete, or accept the loss: set `compacted_input`"
                " to true."
            )
    if letters is not None and "compact" in letters:
        found.faults.append(
            f"Topic {names[0]!r} (`dead_letter_topic`) has cleanup.policy={letters}: the brokers keep only the newest"
            " dead letter of each key. Set it to delete, or change `dead_letter_topic`."
        )
    if lists is not None and "compact" not in lists:
        found.warnings.append(
            f"Topic {names[1]!r} (`output_topic`) has cleanup.policy={lists}: lists of users who are away are removed"
            " when its retention ends. Set it to compact, which keeps the newest list of each user."
        )
    return found


def _needs(settings: Settings) -> tuple[list[RequiredAcl], RequiredAcl]:
    topics = [
        *(RequiredAcl("input_topic", topic, AclOperation.READ) for topic in input_topics(settings)),
        RequiredAcl("output_topic", settings.output_topic, AclOperation.WRITE),
        RequiredAcl("dead_letter_topic", settings.dead_letter_topic, AclOperation.WRITE),
    ]
    return topics, RequiredAcl("group", settings.group, AclOperation.READ)


def make_topics(settings: Settings) -> None:
    """Create the output topics where they are missing and may be created."""
    if settings.create_topics:
        client, size = settings.client(), {"partitions": settings.partitions, "replication": settings.replication}
        create_topic(client, settings.output_topic, compacted=True, **size)
        create_topic(client, settings.dead_letter_topic, compacted=False, **size)
