"""Share of the input: the partitions of one of several jobs that read the same topics."""

import logging
from collections.abc import Callable, Iterable

from flows.kafka.position import Place, name_of

logger = logging.getLogger(__name__)


class Share:
    """Tells the own partitions from those of others.

    Args:
        owns: Says whether a partition, by its number, is one of these.

    >>> share = Share(lambda number: number % 2 == 1)
    >>> share.begin([("events", 0), ("events", 1)])
    [('events', 1)]
    """

    def __init__(self, owns: Callable[[int], bool]) -> None:
        self.owns = owns
        self._others: set[Place] = set()

    def begin(self, every: Iterable[Place]) -> list[Place]:
        """Return the own partitions among all that there are."""
        every = list(every)
        self._others = {place for place in every if not self.owns(place[1])}
        return [place for place in every if self.owns(place[1])]

    def among(self, new: set[Place]) -> set[Place]:
        """Return the own partitions among some that were not there at the start, and warn of all of these once."""
        if unheard := new - self._others:
            logger.warning(
                "there are new partitions: %s. Each is read by the shard that owns its number. Users whose key belongs "
                "to another partition now begin anew in another shard: see docs/scale-out.md.",
                ", ".join(map(name_of, sorted(unheard))),
            )
            self._others |= unheard
        return {place for place in new if self.owns(place[1])}
