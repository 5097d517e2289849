"""Recent items of a user, and the context of the next event."""

from typing import Final

import numpy as np

from recmodels.kernels import ledger
from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.ledger import NOWHERE
from recmodels.kernels.shared import Shared, Undone, Users

LENGTHS: Final = 6
"""Contexts by the number of the user's events: 0, 1, 2-4, 5-19, 20-79, 80 and more."""
GAPS: Final = 4
"""Contexts by the time since the user's last event: none yet, at once, the same session, later."""
AT_ONCE: Final = 1.0
"""Seconds within which two events count as simultaneous, such as two lines of one invoice."""
SESSION_SECONDS: Final = 1_800.0
"""Seconds without an event that end a session: half an hour, as web analytics count."""
SAME_SESSION: Final = LENGTHS + 2


@kernel
def length_context(users: Users, user: int) -> int:
    """Return the context of the user's number of events."""
    events = users.events[user]
    if events < 2:
        return events
    if events < 5:
        return 2
    if events < 20:
        return 3
    if events < 80:
        return 4
    return 5


@kernel
def gap_context(users: Users, user: int, time: float) -> int:
    """Return the context of the time that has passed since the user's last event.

    Args:
        users: All users.
        user: Row of the user.
        time: Unix seconds.
    """
    if users.events[user] == 0:
        return LENGTHS
    return context_of(time - users.last_time[user])


@kernel
def context_of(gap: float) -> int:
    """Return the context of a gap in seconds."""
    if gap <= AT_ONCE:
        return LENGTHS + 1
    if gap < SESSION_SECONDS:
        return SAME_SESSION
    return LENGTHS + 3


@kernel
def next_gap_context(users: Users, user: int) -> int:
    """Return the context of a list whose time of use is unknown. The last gap is the estimate."""
    if users.events[user] == 0:
        return LENGTHS
    return SAME_SESSION if users.gap[user] == LENGTHS else users.gap[user]


@kernel
def asked_gap_context(users: Users, user: int, time: float) -> int:
    """Return the context of a list for `time` (NaN: no particular time)."""
    return next_gap_context(users, user) if np.isnan(time) else gap_context(users, user, time)


@kernel
def learn(users: Users, user: int, item: int, time: float) -> None:
    """Put an item in front of the user's recent items. The same item twice in a row is there once."""
    users.dirty[user] = 1
    users.gap[user] = gap_context(users, user, time)
    users.last_time[user] = time if users.events[user] == 0 else max(users.last_time[user], time)
    users.events[user] += 1
    recent = users.recent[user]
    if recent[0] != item:
        for p in range(recent.shape[0] - 1, 0, -1):
            recent[p] = recent[p - 1]
        recent[0] = item


@kernel
def take_back(shared: Shared, undone: Undone) -> None:
    """Have the user's short memory be as it was without an interaction, which the ledger still has."""
    users, user = shared.users, undone.user
    recent = users.recent[user]
    users.dirty[user] = 1
    users.events[user] = max(users.events[user] - 1, 0)
    if undone.place != NOWHERE:
        ledger.recent_before(shared, user, int64(0), undone.place, shared.changes.after)
        for k in range(recent.shape[0]):
            recent[k] = shared.changes.after[k]
        set_times(shared, user, undone.place)
        return
    place = ledger.collect_length(shared.ledger, user, recent.shape[0])
    while place < recent.shape[0] and recent[place] != undone.item:
        place += 1
    for k in range(place, recent.shape[0]):
        recent[k] = recent[k + 1] if k + 1 < recent.shape[0] else 0


@kernel
def set_times(shared: Shared, user: int, skipped: int) -> None:
    """Set the time of the last interaction, and the gap before it, from the ledger without one place."""
    users, book = shared.users, shared.ledger
    newest, earlier = NOWHERE, -np.inf
    for place in range(book.item.shape[1]):
        if book.item[user, place] == 0:
            break
        if place == skipped or book.reward[user, place] <= 0.0:
            continue
        if newest == NOWHERE:
            newest = place
        else:
            earlier = max(earlier, book.time[user, place])
    if users.events[user] == 0:
        users.last_time[user] = 0.0
        users.gap[user] = 0
    elif newest != NOWHERE:
        time = book.time[user, newest]
        users.last_time[user] = max(time, earlier)
        if users.events[user] == 1:
            users.gap[user] = LENGTHS
        elif earlier > -np.inf:
            users.gap[user] = context_of(time - earlier)
