"""What goes wrong between the job and its brokers, said so that one knows which setting to change.

Clients speak through `KafkaJobError`. What they do while they wait is in `flows.kafka.outage`. No secret is shown.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from flows.errors import JobError

Config = Mapping[str, Any]
"""librdkafka settings by their own names: `bootstrap.servers` and what the `kafka` table passes through.
Values are texts or numbers; `oauth_cb`, which gives tokens, is a callable."""

SILENCE_STDERR = {"log_level": 2}
"""What librdkafka would print on stderr by itself, `flows.kafka.outage.ErrorCallback` says through `logging`."""

T = TypeVar("T")

_CREDENTIALS = (
    "Check `sasl.username` and `sasl.mechanism` in the `kafka` table, and `kafka_password`, or `sasl.password` there."
)
_CONNECTION = (
    "Is a broker running at `bootstrap`, and can it be reached from here? One that hangs up at once may want"
    " another `security.protocol` in the `kafka` table."
)
_TOPIC = "Create it, or change `input_topic`, `output_topic` or `dead_letter_topic`."
_CERTIFICATES = (
    "Check `security.protocol` and the `ssl.*` settings in the `kafka` table: `ssl.ca.location` is the authority that"
    " signed the brokers' certificates."
)
_LATE = (
    "Nothing after the last snapshot counts as delivered; the job goes on from there when it is started again."
    " `broker_patience` is how many seconds it waits."
)
_LARGE = (
    "Raise the topic's max.message.bytes, make lists shorter with `top`, or set `too_large` to dead-letter. If that is"
    " set: the topic's limit is read at the start, which needs the right DescribeConfigs; else set `message.max.bytes`"
    " in the `kafka` table to it."
)
_RIGHTS = "Give this user the right, or change `sasl.username` in the `kafka` table."

_HINTS: dict[int, str] = {
    KafkaError._AUTHENTICATION: _CREDENTIALS,
    KafkaError.SASL_AUTHENTICATION_FAILED: _CREDENTIALS,
    KafkaError.UNSUPPORTED_SASL_MECHANISM: _CREDENTIALS,
    KafkaError._SSL: _CERTIFICATES,
    KafkaError._INVALID_ARG: "Correct it in the `kafka` table.",
    KafkaError._RESOLVE: "Correct the host name in `bootstrap`.",
    KafkaError._TRANSPORT: _CONNECTION,
    KafkaError._ALL_BROKERS_DOWN: _CONNECTION,
    KafkaError._TIMED_OUT: _CONNECTION,
    KafkaError._MSG_TIMED_OUT: _LATE,
    KafkaError.MSG_SIZE_TOO_LARGE: _LARGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART: _TOPIC,
    KafkaError._UNKNOWN_TOPIC: _TOPIC,
    KafkaError._UNKNOWN_PARTITION: _TOPIC,
    KafkaError.UNKNOWN_TOPIC_ID: _TOPIC,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _RIGHTS,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: _RIGHTS,
    KafkaError.GROUP_AUTHORIZATION_FAILED: f"{_RIGHTS} It may also have a right for another `group`.",
    KafkaError.INVALID_REPLICATION_FACTOR: "Ask for no more replicas than there are brokers.",
}

NON_RETRIABLE = {
    KafkaError._FATAL,
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
}
"""Errors that no waiting heals."""

_UNREADY = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
}
"""Errors of a broker that has just started, or just made a topic."""

_SECRET = re.compile(r"password|secret|token|\.pem$|oauthbearer\.config")


class KafkaJobError(JobError):
    """Kafka cannot do what the job needs: what was expected, what came, where, and what to do."""


def explain_error(config: Config, doing: str, error: BaseException | KafkaError) -> KafkaJobError:
    """Make a `KafkaJobError` of what librdkafka said.

    Args:
        config: The client's settings; its secrets are blotted out of the message.
        doing: What was being done and where, such as `"reading events/0"`.
        error: The error, or the exception that carries it.
    """
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        error = error.args[0]
    hint = _HINTS.get(error.code(), "") if isinstance(error, KafkaError) else ""
    said = (error.str() or error.name()) if isinstance(error, KafkaError) else str(error)
    text = f"{doing} failed: {said.rstrip('.')}. {hint}".rstrip()
    for secret in secrets_in(config):
        text = text.replace(secret, "***")
    return KafkaJobError(text)


def secrets_in(config: Config) -> list[str]:
    """Return the values of a client's settings that must never be shown."""
    return [str(value) for name, value in config.items() if _SECRET.search(name) and str(value)]


def retry(config: Config, doing: str, request: Callable[[], T], timeout: float = 10.0) -> T:
    """Return the answer to a request, which is made again while the brokers are only not ready for it yet.

    Args:
        config: The client's settings.
        doing: What the request is for, such as `"opening topic 'events'"`.
        request: Makes it, with a timeout of its own.
        timeout: Seconds after which it is not made again.

    Raises:
        KafkaJobError: The request failed, or was still too early after all that time.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return request()
        except KafkaException as error:
            if error.args[0].code() not in _UNREADY or time.monotonic() >= deadline:
                raise explain_error(config, doing, error) from None
            time.sleep(0.1)


def most_telling(errors: Iterable[KafkaError]) -> KafkaError:
    """Choose, of several errors, the one that says most about what is wrong."""
    vague = {KafkaError._ALL_BROKERS_DOWN: 2, KafkaError._TIMED_OUT: 2, KafkaError._TRANSPORT: 1}
    return min(errors, key=lambda error: vague.get(error.code(), 0))
