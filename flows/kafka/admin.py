"""Ask the brokers before a run: whether they can be reached and whether the topics are there. Nothing here waits longer
than its timeout.
"""

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types forget to re-export these
    AdminClient,
    ClusterMetadata,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from flows.kafka.errors import NON_RETRIABLE, SILENCE_STDERR, Config, KafkaJobError, ask, most_telling, trouble
from flows.kafka.outage import ErrorCallback


def probe(config: Config, topics: Mapping[str, str], timeout: float = 10.0) -> list[str]:
    """Say what keeps these settings from working: brokers out of reach, topics that are not there.

    Args:
        config: librdkafka settings.
        topics: Names of topics by the setting that holds them: `{"input_topic": "events"}`.
        timeout: Seconds after which a broker that does not answer counts as out of reach.

    Returns:
        A sentence or two for each fault, with the setting to change. Nothing where all is well.
    """
    try:
        _, cluster = _connect(config, timeout)
    except KafkaJobError as found:
        return [str(found)]
    return [
        f"Topic {topic!r} is not on the brokers at {config.get('bootstrap.servers')}, or this user may not"
        f" see it. Create it, or change `{setting}`."
        for setting, topic in topics.items()
        if topic not in cluster.topics
    ]


def partitions(config: Config, topic: str, timeout: float = 10.0) -> list[int]:
    """Return the numbers of a topic's partitions.

    Args:
        config: librdkafka settings.
        topic: Its name.
        timeout: Seconds to wait for a broker.

    Raises:
        KafkaTrouble: No broker answers, or the topic does not exist.
    """
    _, cluster = _connect(config, timeout)
    if topic not in cluster.topics:
        raise trouble(config, f"reading topic {topic!r}", KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    return sorted(cluster.topics[topic].partitions)


def create_topic(
    config: Config, topic: str, *, compacted: bool, partitions: int, replication: int, timeout: float = 10.0
) -> str | None:
    """Create a topic unless it exists, and wait until it can be written to.

    Args:
        config: librdkafka settings.
        topic: Its name.
        compacted: True for a topic that keeps the newest message of every key: the lists.
        partitions: How many a new topic has; one that exists is left as it is.
        replication: How many copies of each a new topic has.
        timeout: Seconds for each of: to connect, to create, to appear.

    Returns:
        A warning where the topic exists and is not compacted though it should be, else None.

    Raises:
        KafkaTrouble: No broker answers, the topic may not be created, or it does not appear in time.
    """
    admin, cluster = _connect(config, timeout)
    doing = f"creating topic {topic!r}"
    try:
        if topic in cluster.topics:
            return _compaction_warning(admin, topic, timeout) if compacted else None
        policy = {"cleanup.policy": "compact"} if compacted else {}
        wanted = NewTopic(topic, partitions, replication, config=policy)
        admin.create_topics([wanted], request_timeout=timeout)[topic].result(timeout)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
            raise trouble(config, doing, error) from None
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        made = _connect(config, timeout)[1].topics.get(topic)
        if made is not None and made.partitions and all(p.leader >= 0 for p in made.partitions.values()):
            return None
        time.sleep(0.05)
    raise KafkaJobError(f"{doing} failed: it was accepted, but has no leader after {timeout:.0f} s.")


def max_message_bytes(config: Config, topic: str, timeout: float = 5.0) -> int | None:
    """Return how large a message (rather: a batch of them) may be on a topic; None if the brokers do not say."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        settings: dict[str, Any] = {
            **SILENCE_STDERR,
            **config,
            "error_cb": ErrorCallback(config, f"asking about topic {topic!r}"),
        }
        admin = AdminClient(settings)
        asked = admin.describe_configs([resource], request_timeout=timeout)[resource]
        return int(asked.result(timeout)["max.message.bytes"].value)
    except (KafkaException, TimeoutError):  # no such topic, no right to know
        return None


def _compaction_warning(admin: AdminClient, topic: str, timeout: float) -> str | None:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    settings = admin.describe_configs([resource], request_timeout=timeout)[resource].result(timeout)
    policy = settings["cleanup.policy"].value
    if "compact" in policy:
        return None
    return (
        f"Topic {topic!r} has cleanup.policy={policy}, under which lists can go missing; with compact it"
        " keeps the newest of every user. Change the topic's cleanup.policy to compact."
    )


def _connect(config: Config, timeout: float) -> tuple[AdminClient, ClusterMetadata]:
    """A client that has had an answer from a broker, and that answer."""
    met: list[KafkaError] = []
    doing = f"connecting to the brokers at {config.get('bootstrap.servers')}"
    settings: dict[str, Any] = {**SILENCE_STDERR, **config, "error_cb": met.append}
    admin = ask(config, doing, lambda: AdminClient(settings))
    deadline = time.monotonic() + timeout
    while True:
        try:
            # All topics: to ask for one by its name may create it.
            return admin, admin.list_topics(timeout=max(0.1, min(1.0, deadline - time.monotonic())))
        except KafkaException as error:
            admin.poll(0)
            told = most_telling([*met, error.args[0]])
            if told.code() in NON_RETRIABLE or time.monotonic() >= deadline:
                raise trouble(config, doing, told) from None
