"""Progress of a past that is learned: how much is done, how fast, and the time left, as log lines."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from flows.monitoring.periodic import called_every

logger = logging.getLogger(__name__)

SECONDS: Final = 5.0
"""Time between two lines."""


class Look:
    """How far a log has been read whose number of records is not known yet. It is estimated from the bytes.

    >>> look = Look()
    >>> look.note(250, 1_000, 30)
    >>> look.done(), look.left()
    (30, 90)
    """

    def __init__(self) -> None:
        self._consumed, self._size, self._records = 0, 0, 0

    def note(self, consumed: int, size: int, records: int) -> None:
        """Note the bytes that were read, all bytes, and the records, as `flows.files.record_source.Progress` does."""
        self._consumed, self._size, self._records = consumed, size, records

    def done(self) -> int:
        """Return the number of records so far."""
        return self._records

    def left(self) -> int:
        """Return the number of records that are probably left."""
        return round(self._records * (self._size - self._consumed) / self._consumed) if self._consumed else 0


@dataclass(frozen=True)
class PastCollector(Collector):
    """Collects how far a stretch of the past is.

    Attributes:
        stage: Names the stretch.
        done: Returns the number of records that are done since the stretch began here.
        left: Returns the number of records that are left.
        started: When it began, by the monotonic clock.

    >>> past = PastCollector("learning the past", lambda: 30, lambda: 90)
    >>> [(family.name, family.samples[0].value) for family in past.collect()][:2]
    [('freshrank_past_done_records', 30), ('freshrank_past_left_records', 90)]
    """

    stage: str
    done: Callable[[], int]
    left: Callable[[], int]
    started: float = field(default_factory=time.monotonic)

    @override
    def collect(self) -> Iterator[Metric]:
        done, left, seconds = self.done(), self.left(), time.monotonic() - self.started
        for name, said, value in (
            ("done_records", "Records of the past that are done since the start of this process.", done),
            ("left_records", "Records of the past that are left.", left),
            ("left_seconds", "Time until they are learned, at the mean speed so far.", left * seconds / max(done, 1)),
        ):
            gauge = GaugeMetricFamily(f"freshrank_past_{name}", said, labels=["stage"])
            gauge.add_metric([self.stage], value)
            yield gauge


@contextmanager
def told_progress(doing: str, unit: str, done: Callable[[], int], left: Callable[[], int]) -> Iterator[None]:
    """Log how far a task is, every few seconds and at its end.

    Args:
        doing: Names the task.
        unit: What is counted, such as "events".
        done: Returns the number that is done since the task began here.
        left: Returns the number that is left.
    """
    started = time.monotonic()

    def tell() -> None:
        made, missing = done(), left()
        logger.info("%s", progress_text(doing, unit, made, missing, time.monotonic() - started))

    with called_every(SECONDS, tell, "progress of the past"):
        yield
    seconds, made = time.monotonic() - started, done()
    logger.info(
        "%s: %s %s in %.1f s, %s a second", doing, f"{made:,}", unit, seconds, f"{made / max(seconds, 1e-9):,.0f}"
    )


def progress_text(doing: str, unit: str, done: int, left: int, seconds: float) -> str:
    """Return one line of progress.

    >>> progress_text("learning the past", "events", 30_000, 90_000, 2.0)
    'learning the past: 30,000 events, 90,000 left (25 % done), 15,000 a second, about 6 s left'
    >>> progress_text("learning the past", "events", 0, 90_000, 2.0)
    'learning the past: 0 events, 90,000 left (0 % done)'
    """
    share = done / max(done + left, 1)
    said = f"{doing}: {done:,} {unit}, {left:,} left ({share:.0%} done)".replace("% done", " % done")
    if not done or seconds <= 0.0:
        return said
    rate = done / seconds
    return f"{said}, {rate:,.0f} a second, about {left / rate:,.0f} s left"
