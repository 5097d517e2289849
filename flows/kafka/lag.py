"""How far behind the job is: the ends of the input topic's partitions, asked of the brokers, against its positions.

The consumer that reads knows the ends only as of its last fetch: where fetching is what is broken, it would see no lag.
"""

import logging
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from flows.kafka.errors import SILENCE_STDERR, Config, trouble

logger = logging.getLogger(__name__)

TIMEOUT: Final = 2.0
"""Seconds: who asks for metrics does not wait longer."""


class Lag:
    """Asks for the lag of every partition, over a connection of its own that is made when it is first asked.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        topic: The input topic.
        positions: Offset of the record to come next, by partition: kept up to date by who reads.
    """

    def __init__(self, config: Config, topic: str, positions: Mapping[int, int]) -> None:
        self.config = config
        self.topic = topic
        self.positions = positions
        self._admin: AdminClient | None = None

    def __call__(self) -> dict[int, int]:
        """Return how many records each partition holds that have not been handed over.

        A partition whose end is not told in time is left out: better no number than an old one.
        """
        positions = dict(self.positions)
        if not positions:
            return {}
        if self._admin is None:
            self._admin = AdminClient({**SILENCE_STDERR, **self.config})
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(self.topic, number): latest for number in positions}
        answers = self._admin.list_offsets(wanted, request_timeout=TIMEOUT)
        lags: dict[int, int] = {}
        for where, answer in answers.items():
            try:
                end: int = answer.result(TIMEOUT).offset
            except (KafkaException, TimeoutError) as error:
                doing = f"asking for the end of {self.topic}/{where.partition}"
                logger.debug("%s", trouble(self.config, doing, error))
                continue
            lags[where.partition] = max(0, end - positions[where.partition])
        return lags
