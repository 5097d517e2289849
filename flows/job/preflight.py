"""Checks before a job starts: settings, brokers, topics and rights."""

from collections.abc import Mapping, Sequence

from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]  # forgotten re-export

from flows.errors import UsageError
from flows.job.connector import Findings
from flows.job.sharding import inspect_shards
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
        topics |= {name: [topic] for name, topic in output_topics(settings).items()}
    client = settings.client()
    if faults := probe(client, topics):
        return Findings(faults, [])
    policies, shards = _policy_findings(settings), inspect_shards(settings, input_topics(settings))
    faults = missing_rights(client, *_needs(settings)) + policies.faults + shards.faults
    return Findings(faults, policies.warnings + shards.warnings)


def output_topics(settings: Settings) -> dict[str, str]:
    """Return the topics that the job writes, by the names of the settings."""
    return {
        "output_topic": settings.output_topic,
        "dead_letter_topic": settings.dead_letter_topic,
        **settings.item_topics,
        **({} if settings.shard is None else {"delta_topic": settings.deltas}),
    }


def topic_faults(settings: Settings) -> list[str]:
    """Say which topics are named twice. A topic that is both read and written is a ring: it never ends."""
    faults = []
    taken: dict[str, str] = {}
    for name, topic in output_topics(settings).items():
        if settings.topics.matches(topic):
            harm = (
                "each rejected record would be read and rejected again, without end"
                if name == "dead_letter_topic"
                else "the job would read its own lists as events"
            )
            faults.append(
                f"`{name}` is {topic!r}, and `input_topic` ({settings.input_topic}) reads that topic: {harm}. Change"
                " one of them."
            )
        if topic in taken:
            harm = (
                "readers of lists would read dead letters"
                if name == "dead_letter_topic"
                else "readers of one would read the other"
            )
            faults.append(f"`{name}` and `{taken[topic]}` are both {topic!r}: {harm}. Give one of them another topic.")
        taken.setdefault(topic, name)
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
    inputs, written = input_topics(settings), output_topics(settings)
    policies = cleanup_policies(settings.client(), [*inputs, *written.values()])
    letters, lists = (policies.get(written[name]) for name in ("dead_letter_topic", "output_topic"))
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
            f"Topic {settings.dead_letter_topic!r} (`dead_letter_topic`) has cleanup.policy={letters}: the brokers keep"
            " only the newest dead letter of each key. Set it to delete, or change `dead_letter_topic`."
        )
    if lists is not None and "compact" not in lists:
        found.warnings.append(
            f"Topic {settings.output_topic!r} (`output_topic`) has cleanup.policy={lists}: lists of users who are away"
            " are removed when its retention ends. Set it to compact, which keeps the newest list of each user."
        )
    for name, topic in settings.item_topics.items():
        if "compact" not in (policy := policies.get(topic, "compact")):
            found.warnings.append(
                f"Topic {topic!r} (`{name}`) has cleanup.policy={policy}: lists that do not change are removed when its"
                " retention ends. Set it to compact, which keeps the newest list of each key."
            )
    return found


def _needs(settings: Settings) -> tuple[list[RequiredAcl], RequiredAcl]:
    topics = [
        *(RequiredAcl("input_topic", topic, AclOperation.READ) for topic in input_topics(settings)),
        *(RequiredAcl(name, topic, AclOperation.WRITE) for name, topic in output_topics(settings).items()),
        *([] if settings.shard is None else [RequiredAcl("delta_topic", settings.deltas, AclOperation.READ)]),
    ]
    return topics, RequiredAcl("group", settings.group, AclOperation.READ)


def make_topics(settings: Settings) -> None:
    """Create the output topics where they are missing and may be created."""
    if settings.create_topics:
        client, size = settings.client(), {"partitions": settings.partitions, "replication": settings.replication}
        present = connect(client, 10.0)[1].topics
        for name, topic in output_topics(settings).items():
            if topic in present or name == "delta_topic":  # that one has as many partitions as there are shards
                continue
            create_topic(client, topic, compacted=name != "dead_letter_topic", **size)
