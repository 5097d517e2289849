"""What the job does while its brokers are away: it waits, says so now and then, and ends when its patience does."""

import logging
import threading
import time

from confluent_kafka import KafkaError

from flows.kafka.errors import NON_RETRIABLE, Config, KafkaJobError, explain_error

logger = logging.getLogger(__name__)

STOP_SECONDS = 3.0
"""How long a job that has been told to stop waits for a broker that does not answer."""
_LOG_PAUSE = 10.0
"""Seconds: librdkafka's longest pause between two attempts to connect."""


class OutagePolicy:
    """How long the clients of a job wait for their brokers. They share one, and so speak with one voice.

    Args:
        seconds: After so long without a broker the job ends.
        stop: It is set when the job is told to stop: then it waits no longer than `STOP_SECONDS`.
    """

    def __init__(self, seconds: float = 300.0, stop: threading.Event | None = None) -> None:
        self.seconds = seconds
        self.stop = stop or threading.Event()
        self._silent_until = 0.0
        self._stopping_since: float | None = None

    def say(self, text: str) -> None:
        """Log a warning, unless there was one within the last ten seconds."""
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + _LOG_PAUSE
            logger.warning(text)

    def stopping_for(self) -> float:
        """Return for how many seconds the job has been known to be stopping; 0 while it is not."""
        if not self.stop.is_set():
            return 0.0
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
        return time.monotonic() - self._stopping_since


class ErrorCallback:
    """Listens to the errors that a client meets in the background; its `error_cb`.

    What waiting can heal is said, while the client goes on trying. What it cannot heal is kept until `check` raises
    it.

    Args:
        config: The client's settings.
        doing: What the client is for, such as `"reading events"`.
        patience: How long to wait, and the voice to say so; None: its own.
    """

    def __init__(self, config: Config, doing: str, patience: OutagePolicy | None = None) -> None:
        self.config = config
        self.doing = doing
        self.patience = patience or OutagePolicy()
        self._hopeless: KafkaJobError | None = None
        self._last: KafkaError | None = None
        self._away_since: float | None = None

    def __call__(self, error: KafkaError) -> None:
        """Take one error."""
        if error.fatal() or error.code() in NON_RETRIABLE:
            self._hopeless = self._hopeless or explain_error(self.config, self.doing, error)
            return
        self._last = error
        if self._away_since is None:
            self._away_since = time.monotonic()
        self.patience.say(f"{explain_error(self.config, self.doing, error)} The job waits and tries again.")

    def give_up(self, said: str) -> None:
        """Keep what `check` shall raise."""
        self._hopeless = self._hopeless or KafkaJobError(said)

    def answered(self) -> None:
        """Take note that a broker is there."""
        if self._away_since is not None:
            logger.info("%s: a broker answers again", self.doing)
            self._away_since = None

    def check(self) -> None:
        """Raise the `KafkaJobError` that was met, if any was that does not heal."""
        if self._hopeless is not None:
            raise self._hopeless

    def check_patience(self) -> None:
        """Raise a `KafkaJobError` if no broker has answered for too long; only for a client that calls `answered`."""
        if self._away_since is not None and time.monotonic() - self._away_since > self.patience.seconds:
            said = explain_error(self.config, self.doing, self._last or KafkaError(KafkaError._ALL_BROKERS_DOWN))
            raise KafkaJobError(
                f"{said} No broker has answered for {self.patience.seconds:g} s (`broker_patience`): the job ends."
                " Everything up to the last snapshot is kept; it goes on from there when it is started again."
            )
