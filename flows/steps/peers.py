"""Peers: the source of what other shards tell."""

import threading
from collections.abc import Callable
from typing import Any, Final, cast

from bytewax.inputs import DynamicSource, StatelessSourcePartition
from typing_extensions import override

from flows.messages import Prepared
from flows.shards.link import ShardLink
from flows.shards.stored_link import PeerDelta

POLL_SECONDS: Final = 0.001
"""Least time between two looks at the topic of deltas."""


class News(tuple[PeerDelta, ...]):
    """What peers have told, as an event of the flow. Without any, it is time for a round."""

    __slots__ = ()


class PeerSource(DynamicSource[Prepared]):
    """Gives what peers tell, and wakes the learner when it is time for a round.

    Args:
        link: The link to the peers.
        has_ended: Says whether the events have come to their end. Then this source ends when it has read what the
            peers have told by then.
        stop: Ends the flow when it is set.
    """

    def __init__(self, link: ShardLink, has_ended: Callable[[], bool], stop: threading.Event | None = None) -> None:
        self.link = link
        self.has_ended = has_ended
        self.stop = stop or threading.Event()

    @override
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_Peers":
        return _Peers(self)


class _Peers(StatelessSourcePartition[Prepared]):
    def __init__(self, source: PeerSource) -> None:
        self._source = source
        self._link = source.link
        self._polled = 0.0

    @override
    def next_batch(self) -> list[Prepared]:
        link = self._link
        if link.has_ended and (self._source.stop.is_set() or (link.is_even() and not link.pending)):
            raise StopIteration
        if self._source.stop.is_set() or self._source.has_ended():
            link.has_ended = True
            return [as_event(News(link.poll() if link.is_begun else ()))]
        if not link.is_begun:
            return [as_event(News())]
        now = link.clock()
        if now - self._polled < POLL_SECONDS:
            return []
        self._polled = now
        told = link.poll()
        return [as_event(News(told))] if told or link.is_due else []


def as_event(news: News) -> Prepared:
    """Return news in the form in which events come to the learner."""
    return Prepared(cast("Any", news), None)
