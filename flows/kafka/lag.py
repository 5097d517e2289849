"""Lag of the job: ends of the input topic's partitions, from the brokers, minus the job's positions.

The consumer that reads knows the ends only as of its last fetch. It would see no lag if fetching itself were broken.
"""

import logging
from collections.abc import Mapping
from typing import Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from flows.kafka.errors import SILENCE_STDERR, Config, explain_error
from flows.kafka.position import Place

logger = logging.getLogger(__name__)

TIMEOUT: Final = 2.0
"""Timeout in seconds: a scrape of the metrics waits no longer."""


class Lag:
    """Measures the lag of every partition, over a connection of its own that the first call makes.

    The end of a partition is the end of its readable records: those of a transaction count once it is committed.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        positions: Offset of the next record, by topic and partition. The caller keeps it up to date.
    """

    def __init__(self, config: Config, positions: Mapping[Place, int]) -> None:
        self.config = config
        self.positions = positions
        self._admin: AdminClient | None = None

    def __call__(self) -> dict[Place, int]:
        """Return the number of records of each partition that the flow has not received.

        A partition is left out if its end does not come in time: no number is better than an old one.
        """
        positions = dict(self.positions)
        if not positions:
            return {}
        if self._admin is None:
            self._admin = AdminClient({**SILENCE_STDERR, **self.config})
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(*place): latest for place in positions}
        is_all = self.config.get("isolation.level") == "read_uncommitted"
        level = IsolationLevel.READ_UNCOMMITTED if is_all else IsolationLevel.READ_COMMITTED
        answers = self._admin.list_offsets(wanted, isolation_level=level, request_timeout=TIMEOUT)
        lags: dict[Place, int] = {}
        has_failed = False
        for where, answer in answers.items():
            try:
                end: int = answer.result(TIMEOUT).offset
                if end < 0:  # a connection that breaks under the request gives this, and no error
                    raise KafkaException(KafkaError(KafkaError._TRANSPORT))
            except (KafkaException, TimeoutError) as error:
                doing = f"asking for the end of {where.topic}/{where.partition}"
                logger.debug("%s", explain_error(self.config, doing, error))
                has_failed = True
                continue
            lags[where.topic, where.partition] = max(0, end - positions[where.topic, where.partition])
        if has_failed:
            # It keeps the leaders' epochs, and asks with old ones for ever after a broker has started again.
            self._admin = None
        return lags
