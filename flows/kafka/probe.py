"""Checks of the brokers before a run: do they answer, do the topics exist, and what is their cleanup policy?

No check waits longer than its timeout.
"""

import logging
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types forget to re-export these
    AdminClient,
    BrokerMetadata,
    ClusterMetadata,
    ConfigResource,
    ResourceType,
)

from flows.kafka.admin import connect
from flows.kafka.client_settings import conflicts
from flows.kafka.errors import SILENCE_STDERR, Config, KafkaJobError, explain_error
from flows.kafka.sink import PRODUCER_DEFAULTS
from flows.kafka.token_command import TokenError

logger = logging.getLogger(__name__)
_UNHEARD: Final = logging.getLogger(f"{__name__}.unheard")
"""Logger of clients that are made only for a check. Nothing polls them, so it stays silent."""

_CONNECT_SECONDS: Final = 3.0
"""Timeout in seconds for an advertised listener to accept a connection."""


def probe(
    config: Config, topics: Mapping[str, str | Sequence[str]], timeout: float = 10.0, *, may_be_missing: bool = False
) -> list[str]:
    """Find faults before a run: settings that conflict, brokers that do not answer, and missing topics.

    Args:
        config: librdkafka settings.
        topics: One or several topics by the setting that names them: `{"input_topic": ["events", "items"]}`.
        timeout: Seconds after which a broker that does not answer counts as out of reach.
        may_be_missing: Whether a missing topic is allowed.

    Returns:
        One line for each fault, with the setting to change. Empty if there is none.
    """
    if faults := conflicts(config) or client_faults(config):
        return faults
    try:
        _, cluster = connect(config, timeout)
    except KafkaJobError as found:
        return [str(found)]
    wanted = {
        topic: setting for setting, given in topics.items() for topic in ([given] if isinstance(given, str) else given)
    }
    missing = [
        f"Topic {topic!r} is not on the brokers at {config.get('bootstrap.servers')}, or this user may not"
        f" see it. Create it, or change `{setting}`."
        for topic, setting in wanted.items()
        if topic not in cluster.topics and not may_be_missing
    ]
    return missing + listener_faults(cluster, wanted)


def client_faults(config: Config) -> list[str]:
    """Return the settings that librdkafka refuses. It checks all of them when a client is made, before it connects."""
    if (give_token := config.get("oauth_cb")) is not None:
        try:
            give_token("")
        except TokenError as error:
            return [f"{error} Run the command by hand to see what it prints."]
    makers: dict[str, Callable[[dict[str, Any]], object]] = {
        "reading": lambda settings: Consumer({**settings, "group.id": "freshrank-check"}).close(),
        "writing": lambda settings: Producer({**PRODUCER_DEFAULTS, **settings}),
    }
    for doing, make in makers.items():
        try:
            make({**SILENCE_STDERR, **config, "logger": _UNHEARD})
        except (KafkaException, ValueError, TypeError) as error:
            if not isinstance(error, KafkaException):  # a value of the wrong type
                error = KafkaException(KafkaError(KafkaError._INVALID_ARG, str(error)))
            return [str(explain_error(config, f"making a client for {doing}", error))]
    return []


def listener_faults(cluster: ClusterMetadata, topics: Iterable[str]) -> list[str]:
    """Find leaders of these topics' partitions that do not answer at their advertised address.

    A client gets the brokers' own addresses from the bootstrap address, and then uses only those.
    """
    leaders = {
        part.leader for topic in topics if topic in cluster.topics for part in cluster.topics[topic].partitions.values()
    }
    brokers = [cluster.brokers[number] for number in sorted(leaders) if number in cluster.brokers]
    if not brokers:
        return []
    with ThreadPoolExecutor(len(brokers)) as pool:
        return [said for said in pool.map(_listener_fault, brokers) if said]


def _listener_fault(broker: BrokerMetadata) -> str | None:
    try:
        socket.create_connection((broker.host, broker.port), _CONNECT_SECONDS).close()
    except OSError as error:
        return (
            f"Broker {broker.id} tells clients to connect to {broker.host}:{broker.port}, which does not answer from"
            f" here ({error.strerror or error}). Correct `advertised.listeners` of the broker, or make that name and"
            " port reachable from this machine."
        )
    return None


def cleanup_policies(config: Config, topics: Iterable[str], timeout: float = 5.0) -> dict[str, str]:
    """Return each topic's `cleanup.policy`. Topics that are missing, or that this user may not describe, are left out.

    Args:
        config: librdkafka settings.
        topics: Names of topics.
        timeout: Seconds to wait for the brokers.
    """
    resources = {topic: ConfigResource(ResourceType.TOPIC, topic) for topic in topics}
    admin = AdminClient({**SILENCE_STDERR, **config})
    asked = admin.describe_configs(list(resources.values()), request_timeout=timeout)
    found = {}
    for topic, resource in resources.items():
        try:
            found[topic] = str(asked[resource].result(timeout)["cleanup.policy"].value)
        except (KafkaException, TimeoutError) as error:
            logger.debug("%s", explain_error(config, f"asking for the settings of topic {topic!r}", error))
    return found
