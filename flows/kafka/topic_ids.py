"""Topic ids: a topic that was deleted and created again keeps its name and gets another id."""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from flows.kafka.errors import SILENCE_STDERR, Config, explain_error

logger = logging.getLogger(__name__)

_SECONDS: Final = 5.0


class TopicIds:
    """Fetches the ids of topics, and later checks without blocking whether they changed.

    Old brokers have no ids, or do not return them. Then a change is not noticed.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.known: dict[str, str] = {}
        self._admin: AdminClient | None = None
        self._asked: dict[str, Future[Any]] = {}

    def fetch(self, topics: Iterable[str]) -> Mapping[str, str]:
        """Return the present ids of topics, and remember them for `changed`."""
        for topic, answer in self._ask(list(topics)).items():
            if (found := self._answer(topic, answer)) is not None:
                self.known[topic] = found
        return self.known

    def changed(self) -> str | None:
        """Return a topic whose id has changed since `fetch`, or None, and start the request for the next call."""
        answers, self._asked = self._asked, {}
        for topic, answer in answers.items():
            if not answer.done():
                self._asked[topic] = answer
            elif (found := self._answer(topic, answer)) is not None and found != self.known.get(topic, found):
                return topic
        if not self._asked and self.known:
            self._asked = self._ask(list(self.known))
        return None

    def _ask(self, topics: list[str]) -> dict[str, "Future[Any]"]:
        if not topics:
            return {}
        self._admin = self._admin or AdminClient({**SILENCE_STDERR, **self.config})
        return self._admin.describe_topics(TopicCollection(topics), request_timeout=_SECONDS)

    def _answer(self, topic: str, answer: "Future[Any]") -> str | None:
        try:
            found = answer.result(_SECONDS)
        except (KafkaException, TimeoutError) as error:
            logger.debug("%s", explain_error(self.config, f"asking for the id of topic {topic!r}", error))
            return None
        return None if found.topic_id is None else str(found.topic_id)
