"""Administration of topics: connect to the brokers, describe topics and create them, each within a timeout."""

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

from flows.kafka.errors import NON_RETRIABLE, SILENCE_STDERR, Config, KafkaJobError, explain_error, most_telling, retry
from flows.kafka.outage import ErrorCallback


def partitions(config: Config, topic: str, timeout: float = 10.0) -> list[int]:
    """Return the numbers of a topic's partitions.

    Args:
        config: librdkafka settings.
        topic: Its name.
        timeout: Seconds to wait for a broker.

    Raises:
        KafkaJobError: No broker answers, or the topic does not exist.
    """
    _, cluster = connect(config, timeout)
    if topic not in cluster.topics:
        raise explain_error(config, f"reading topic {topic!r}", KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    return sorted(cluster.topics[topic].partitions)


def create_topic(
    config: Config,
    topic: str,
    more: Mapping[str, str] | None = None,
    /,
    *,
    compacted: bool,
    partitions: int,
    replication: int,
    timeout: float = 10.0,
) -> None:
    """Create a topic unless it exists, and wait until it can be written to.

    Args:
        config: librdkafka settings.
        topic: Its name.
        more: Further settings of a new topic.
        compacted: True: the topic keeps only the newest message of each key, as the topic of lists does. False: it
            keeps every message until its retention ends, whatever the brokers' default is.
        partitions: Number of partitions of a new topic. A topic that exists is left as it is.
        replication: Number of copies of each partition of a new topic.
        timeout: Seconds for each of three steps: connect, create, wait for the topic to appear.

    Raises:
        KafkaJobError: No broker answers, the topic may not be created, or it does not appear in time.
    """
    admin, cluster = connect(config, timeout)
    doing = f"creating topic {topic!r}"
    try:
        if topic in cluster.topics:
            return
        policy = {"cleanup.policy": "compact" if compacted else "delete", **(more or {})}
        wanted = NewTopic(topic, partitions, replication, config=policy)
        admin.create_topics([wanted], request_timeout=timeout)[topic].result(timeout)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
            raise explain_error(config, doing, error) from None
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        made = connect(config, timeout)[1].topics.get(topic)
        if made is not None and made.partitions and all(p.leader >= 0 for p in made.partitions.values()):
            return
        time.sleep(0.05)
    raise KafkaJobError(f"{doing} failed: it was accepted, but has no leader after {timeout:.0f} s.")


def max_message_bytes(config: Config, topic: str, timeout: float = 5.0) -> int | None:
    """Return the topic's `max.message.bytes`, the largest batch in bytes; None if the brokers do not say.

    Args:
        config: librdkafka settings.
        topic: Name of the topic.
        timeout: Seconds to wait for the brokers.
    """
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


def connect(config: Config, timeout: float) -> tuple[AdminClient, ClusterMetadata]:
    """Connect, and return the client with the brokers' metadata.

    Raises:
        KafkaJobError: No broker answers in time, or it refuses the client.
    """
    met: list[KafkaError] = []
    doing = f"connecting to the brokers at {config.get('bootstrap.servers')}"
    settings: dict[str, Any] = {**SILENCE_STDERR, **config, "error_cb": met.append}
    admin = retry(config, doing, lambda: AdminClient(settings))
    deadline = time.monotonic() + timeout
    while True:
        try:
            # Metadata of all topics: a request for one by its name may create it.
            return admin, admin.list_topics(timeout=max(0.1, min(1.0, deadline - time.monotonic())))
        except KafkaException as error:
            admin.poll(0)
            told = most_telling([*met, error.args[0]])
            if told.code() in NON_RETRIABLE or time.monotonic() >= deadline:
                raise explain_error(config, doing, told) from None
