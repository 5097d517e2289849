"""Journal: what other shards have to learn of the events since the last delta (`recmodels.fused.sharing`)."""

from typing import Final

from recmodels.kernels.compile import kernel
from recmodels.kernels.shared import Shared

INTERACTIONS: Final = 0
"""Index of `Journal.size`: interactions with a positive reward."""
OWN_EVENTS: Final = 1
"""Index of `Journal.size`: all events of this shard."""
MOVED: Final = 2
"""Index of `Journal.size`: items whose factors have moved."""


@kernel
def note(shared: Shared, user: int, item: int, reward: float, time: float) -> None:
    """Note an interaction with the recent items that it finds. The caller has made sure that there is room."""
    journal, recent = shared.journal, shared.users.recent[user]
    place = journal.size[INTERACTIONS]
    journal.item[place] = item
    journal.number[place] = journal.size[OWN_EVENTS] + 1
    journal.reward[place] = reward
    journal.time[place] = time
    for p in range(recent.shape[0]):
        journal.recent[place, p] = recent[p]
    journal.size[INTERACTIONS] = place + 1


@kernel
def note_moved(shared: Shared, user: int) -> None:
    """Note the items whose factors an interaction moves: the candidates and the user's recent items."""
    candidates, recent = shared.candidates, shared.users.recent[user]
    for s in range(candidates.size[0]):
        move(shared, candidates.item[s])
    for p in range(recent.shape[0]):
        if recent[p] == 0:
            break
        move(shared, recent[p])


@kernel
def move(shared: Shared, item: int) -> None:
    """Note an item whose factors have moved."""
    journal = shared.journal
    if journal.is_moved[item] == 0:
        journal.is_moved[item] = 1
        place = journal.size[MOVED]
        journal.moved[place] = item
        journal.size[MOVED] = place + 1
