"""Announcement: the lists that are sent at once when a past has been learned silently."""

import threading
import time
from itertools import islice
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from flows.job.past_plan import PastUsers
from flows.messages import FALLBACK_USER, Refresh

BATCH: Final = 64
"""Number of lists that are made at once."""


class AnnouncementSource(FixedPartitionedSource[Refresh, int]):
    """Asks for the fallback list and for a list of each user. The state is the number of the next one.

    Args:
        active: The users.
        has_fallback: Whether there is a fallback list.
        stop: Ends the flow when it is set.

    Attributes:
        asked: Number of lists so far.
    """

    def __init__(self, active: PastUsers, has_fallback: bool, stop: threading.Event) -> None:
        self.active = active
        self.users = [*([FALLBACK_USER] if has_fallback else []), *active.users]
        self.stop = stop
        self.asked = 0

    @override
    def list_parts(self) -> list[str]:
        return ["users"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "_Users":
        self.asked = resume_state or 0
        return _Users(self)


class _Users(StatefulSourcePartition[Refresh, int]):
    def __init__(self, source: AnnouncementSource) -> None:
        self._source = source

    @override
    def next_batch(self) -> list[Refresh]:
        source, active = self._source, self._source.active
        users = list(islice(source.users, source.asked, source.asked + BATCH))
        if not users or source.stop.is_set():
            raise StopIteration
        source.asked += len(users)
        now = time.perf_counter()
        return [Refresh(user, active.newest, active.last, now) for user in users]

    @override
    def snapshot(self) -> int:
        return self._source.asked
