"""Taking back an interaction: a return, a like that was undone, a row that was deleted.

What was counted is counted no more: popularity, pairs of co-visitation in both directions, tags, and the user's
history with what it excludes. It is exact for the interactions that the ledger has. An older one is taken from the
history and from the popularity that never decays. Weights, factors, the reranker and habits keep what they learned.
"""

import numpy as np

from recmodels.kernels import dispatch, history, ledger, user_context
from recmodels.kernels.compile import entry, int64, kernel
from recmodels.kernels.ledger import NOWHERE
from recmodels.kernels.shared import EVENTS, Undone
from recmodels.kernels.state import State
from recmodels.kernels.state_pointer import opened


@entry
def take_back(address: int, user: int, item: int, kind: int, reward: float) -> bool:
    """Take back the user's newest interaction with an item.

    Args:
        address: Of the state (`state_pointer`).
        user, item: Rows; neither is 0.
        kind: The type of that interaction; 0: any.
        reward: What is taken back, above 0, where the ledger does not know the interaction any more.

    Returns:
        Whether there was such an interaction.
    """
    state = opened(address)
    shared = state.shared
    shared.candidates.epoch[1] = 0
    place = ledger.find(shared.ledger, user, item, kind)
    if place == NOWHERE:
        kept = ledger.positive(shared.ledger, user)
        if kept == shared.users.events[user] or not history.holds(shared, user, item):
            return False
        undo(state, Undone(user, item, reward, int64(0), 0.0, place, bool(shared.items.standing[item] == 1)))
        return True
    taken, time = np.float64(shared.ledger.reward[user, place]), np.float64(shared.ledger.time[user, place])
    number = int64(shared.ledger.number[user, place])
    undo(state, Undone(user, item, taken, number, time, place, bool(taken > 0.0 and shared.items.standing[item] == 1)))
    return True


@kernel
def undo(state: State, undone: Undone) -> None:
    """Have the members take back an interaction, and then take it out of what they share."""
    shared, user, item = state.shared, undone.user, undone.item
    items, counters = shared.items, shared.counters
    if undone.reward > 0.0:
        dispatch.take_back(state, undone)
        if items.standing[item] > 0:
            items.standing[item] -= 1
        if undone.is_last and items.newness[item] == 0.0:
            items.first_seen[item] = 0  # as if it had never been
        user_context.take_back(shared, undone)
    if undone.place != NOWHERE:
        ledger.remove(shared.ledger, user, undone.place)
    history.take_back(shared, user, item, np.float32(undone.reward))
    shared.users.last_used[user] = counters[EVENTS]
    items.last_used[item] = counters[EVENTS]
    shared.users.dirty[user] = 1
    items.dirty[item] = 1
