"""Errors of Kafka clients, explained: each message names the setting to change and shows no secret.

`flows.kafka.outage` says what a client does while it waits for brokers.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from flows.errors import JobError

Config = Mapping[str, Any]
"""librdkafka settings by their own names: `bootstrap.servers` and those of the `kafka` table.
Values are texts or numbers. `oauth_cb`, which returns a token, is a callable."""

SILENCE_STDERR = {"log_level": 2}
"""Stops librdkafka from printing on stderr. `flows.kafka.outage.ErrorCallback` logs its errors through `logging`."""

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
"""Errors that do not go away by waiting."""

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
    """A Kafka operation failed. The message says what was expected, what came, where, and what to do."""


def explain_error(config: Config, doing: str, error: BaseException | KafkaError) -> KafkaJobError:
    """Turn an error of librdkafka into a `KafkaJobError` with advice.

    Args:
        config: The client's settings. Their secrets become `***` in the message.
        doing: The operation and its object, such as `"reading events/0"`.
        error: The error, or the exception that carries it.

    >>> error = KafkaError(KafkaError._RESOLVE, "failed to resolve 'kafak:9092'")
    >>> print(explain_error({}, "connecting", error))
    connecting failed: failed to resolve 'kafak:9092'. Correct the host name in `bootstrap`.
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
    """Make a request, and repeat it while the brokers are not ready for it.

    Args:
        config: The client's settings.
        doing: The purpose of the request, such as `"opening topic 'events'"`.
        request: Makes the request, with a timeout of its own.
        timeout: Seconds after which the request is not repeated.

    Returns:
        The result of `request`.

    Raises:
        KafkaJobError: The request failed, or the brokers were still not ready after `timeout` seconds.
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
    """Choose the most specific of several errors: a refusal before a timeout."""
    vague = {KafkaError._ALL_BROKERS_DOWN: 2, KafkaError._TIMED_OUT: 2, KafkaError._TRANSPORT: 1}
    return min(errors, key=lambda error: vague.get(error.code(), 0))
