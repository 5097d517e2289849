"""Outages of brokers: wait, log a warning at most every 10 s, and end the job after `broker_patience` seconds."""

import logging
import threading
import time

from confluent_kafka import KafkaError

from flows.kafka.errors import NON_RETRIABLE, Config, KafkaJobError, explain_error

logger = logging.getLogger(__name__)

STOP_SECONDS = 3.0
"""Seconds that a stopping job waits for a broker that does not answer."""
_LOG_PAUSE = 10.0
"""Seconds: librdkafka's longest pause between two attempts to connect."""


class OutagePolicy:
    """How long a job waits for its brokers. All its clients share one policy, so a warning is logged once.

    Args:
        seconds: Time without a broker after which the job ends.
        stop: Set when the job is to stop. Then it waits at most `STOP_SECONDS`.
    """

    def __init__(self, seconds: float = 300.0, stop: threading.Event | None = None) -> None:
        self.seconds = seconds
        self.stop = stop or threading.Event()
        self._silent_until = 0.0
        self._stopping_since: float | None = None

    def say(self, text: str) -> None:
        """Log a warning, unless there was one within the last 10 s."""
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + _LOG_PAUSE
            logger.warning(text)

    def stopping_for(self) -> float:
        """Return the seconds since the job began to stop; 0 if it is not stopping."""
        if not self.stop.is_set():
            return 0.0
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
        return time.monotonic() - self._stopping_since


class ErrorCallback:
    """Callback (`error_cb`) for errors that a client meets in the background.

    An error that may go away is logged, and the client goes on trying. Any other error is kept, and `check` raises it.

    Args:
        config: The client's settings.
        doing: Purpose of the client, such as `"reading events"`.
        patience: How long to wait. None: a policy of its own.
    """

    def __init__(self, config: Config, doing: str, patience: OutagePolicy | None = None) -> None:
        self.config = config
        self.doing = doing
        self.patience = patience or OutagePolicy()
        self._hopeless: KafkaJobError | None = None
        self._last: KafkaError | None = None
        self._away_since: float | None = None

    def __call__(self, error: KafkaError) -> None:
        """Log an error, or keep it for `check`."""
        if error.fatal() or error.code() in NON_RETRIABLE:
            self._hopeless = self._hopeless or explain_error(self.config, self.doing, error)
            return
        self._last = error
        if self._away_since is None:
            self._away_since = time.monotonic()
        self.patience.say(f"{explain_error(self.config, self.doing, error)} The job waits and tries again.")

    def give_up(self, said: str) -> None:
        """Make `check` raise a `KafkaJobError` with this text."""
        self._hopeless = self._hopeless or KafkaJobError(said)

    def answered(self) -> None:
        """Note that a broker has answered."""
        if self._away_since is not None:
            logger.info("%s: a broker answers again", self.doing)
            self._away_since = None

    def check(self) -> None:
        """Raise the first `KafkaJobError` that cannot go away by waiting, if there was one."""
        if self._hopeless is not None:
            raise self._hopeless

    def check_patience(self) -> None:
        """Raise a `KafkaJobError` if no broker has answered for too long. The client must call `answered`."""
        if self._away_since is not None and time.monotonic() - self._away_since > self.patience.seconds:
            said = explain_error(self.config, self.doing, self._last or KafkaError(KafkaError._ALL_BROKERS_DOWN))
            raise KafkaJobError(
                f"{said} No broker has answered for {self.patience.seconds:g} s (`broker_patience`): the job ends."
                " Everything up to the last snapshot is kept; it goes on from there when it is started again."
            )
