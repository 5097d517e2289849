"""Visits: puts a request before each visit of a replay, as a site does that asks for a list when a user arrives."""

from typing import Final

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream

from flows.messages import Forget, Interaction, Prepared, Request
from recmodels.kernels.user_context import SESSION_SECONDS

VISIT_GAP: Final = SESSION_SECONDS
"""Seconds without an event of the user after which the next event begins a visit."""


@operator
def visits(step_id: str, up: KeyedStream[Prepared]) -> KeyedStream[Prepared]:
    """Put a request before the first event of each visit."""
    requests = VisitRequests()

    def with_requests(batch: list[tuple[str, Prepared]]) -> list[tuple[str, Prepared]]:
        return [(key, each) for key, prepared in batch for each in requests.before(prepared)]

    return op.flat_map_batch("requests", up, with_requests)


class VisitRequests:
    """Remembers when each user was last there.

    Only a replay uses it: the memory grows with the number of users, and no recovery directory holds it.

    >>> visit = VisitRequests()
    >>> times = (0.0, 60.0, 1_861.0)
    >>> [len(visit.before(Prepared(Interaction("ann", "tea", time), None))) for time in times]
    [2, 1, 2]
    """

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._count = 0

    def before(self, prepared: Prepared) -> list[Prepared]:
        """Return the event, and before it a request if the event begins a visit."""
        event = prepared.event
        if isinstance(event, Forget):
            self._last.pop(event.user, None)
        if not isinstance(event, Interaction):
            return [prepared]
        last = self._last.get(event.user)
        self._last[event.user] = event.timestamp
        if last is not None and event.timestamp - last <= VISIT_GAP:
            return [prepared]
        self._count += 1
        request = Request(
            event.user, event.timestamp, f"visit-{self._count}", event.context, event.at, event.arrived, True
        )
        return [Prepared(request, None), prepared]
