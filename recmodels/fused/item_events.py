"""What a fused model learns of an item event: whether the item is shown, and its tags."""

import numpy as np

from recmodels.base import Context
from recmodels.fused.memory import Memory
from recmodels.fused.tags import tags_of
from recmodels.kernels import item_events, popularity
from recmodels.kernels.content import ITEM_TAGS
from recmodels.kernels.state import EVENTS

CROWDED = 0.25
"""Hidden items keep their place among the popular until they take so much of it."""


def learn_item(memory: Memory, item: str, features: Context | None, available: bool | None) -> None:
    """Learn an item event.

    Args:
        memory: Of the model.
        item: Its id.
        features: Tags and price; see `recmodels.fused.tags`. Those without any tag change nothing.
        available: Whether the item may be recommended; None: as it was.
    """
    state = memory.state
    tags = tags_of(features, ITEM_TAGS) if state.options.use_content else []
    row = memory.items.row(item)
    changes = available is not None and bool(state.items.hidden[row]) is available
    if not tags and not changes:
        return
    state.candidates.stamp[1] = 0
    if row == 0:
        row = memory.item_row(item)
    state.items.last_used[row] = state.counters[EVENTS] + 1
    state.items.dirty[row] = 1
    tag_rows = np.array([memory.tag_row(tag) for tag in tags], np.int32)
    memory.mark_used()
    if changes and not available:
        item_events.hide(state, row)
    if tags:
        item_events.announce(state, row, tag_rows)
    if changes and available:
        item_events.show(state, row)
    elif changes and state.items.hidden[state.popularity.top].mean(axis=1).max() > CROWDED:
        popularity.rebuild(state.popularity, state.items, len(memory.items.names))
