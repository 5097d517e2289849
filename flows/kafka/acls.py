"""Check of the access rights that the job needs on the brokers. It reads rights and changes nothing."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient  # type: ignore[attr-defined]  # forgotten re-export

from flows.kafka.errors import SILENCE_STDERR, Config, explain_error

logger = logging.getLogger(__name__)

_SECONDS: Final = 5.0


class RequiredAcl(NamedTuple):
    """A right that the job needs."""

    setting: str
    """The setting that names the topic or group."""
    name: str
    operation: AclOperation


def missing_rights(config: Config, topics: Sequence[RequiredAcl], group: RequiredAcl) -> list[str]:
    """Say which rights are missing. Brokers that have no access control, or do not answer, grant everything.

    Args:
        config: librdkafka settings.
        topics: Rights needed on topics. Topics that do not exist are skipped.
        group: Right needed on the consumer group.

    Returns:
        One or two sentences for each missing right, with the setting to change.
    """
    admin = AdminClient({**SILENCE_STDERR, **config})
    names = sorted({need.name for need in topics})
    asked: Mapping[str, Future[Any]] = admin.describe_topics(
        TopicCollection(names), include_authorized_operations=True, request_timeout=_SECONDS
    )
    found = [_missing(config, need, "topic", asked[need.name]) for need in topics]
    answers: Mapping[str, Future[Any]] = admin.describe_consumer_groups(
        [group.name], include_authorized_operations=True, request_timeout=_SECONDS
    )
    found.append(_missing(config, group, "group", answers[group.name]))
    return [said for said in found if said]


_REFUSED: Final = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}


def _missing(config: Config, need: RequiredAcl, kind: str, answer: "Future[Any]") -> str | None:
    right = need.operation.name.capitalize()
    said = (
        f"This user may not do {right} on {kind} {need.name!r}. Give it the right, or change `{need.setting}`, or"
        " `sasl.username` in the `kafka` table."
    )
    try:
        granted = answer.result(_SECONDS).authorized_operations
    except (KafkaException, TimeoutError) as error:
        code = error.args[0].code() if isinstance(error, KafkaException) else None
        if code in _REFUSED:
            return said
        if code != KafkaError.UNKNOWN_TOPIC_OR_PART:
            logger.debug("%s", explain_error(config, f"asking for the rights on {kind} {need.name!r}", error))
        return None
    return None if not granted or need.operation in granted or AclOperation.ALL in granted else said
