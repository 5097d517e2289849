"""Item events of a fused model: availability and tags."""

from collections.abc import Sequence

import numpy as np

from recmodels.fused.memory import Memory
from recmodels.kernels import item_events
from recmodels.kernels.shared import EVENTS


def set_item(memory: Memory, item: str, tags: Sequence[str], available: bool | None) -> None:
    """Learn an item event.

    Args:
        memory: Memory of the model.
        item: Id of the item.
        tags: Tags (see `recmodels.fused.tags`), without repeats. Empty: unchanged.
        available: Whether the item may be recommended. None: unchanged.
    """
    state = memory.state
    row = memory.items.row(item)
    is_hidden = bool(state.shared.items.hidden[row]) or item in memory.unavailable.ids.rows
    changes = available is not None and is_hidden is available
    if not tags and not changes:
        return
    state.shared.candidates.epoch[1] = 0
    if row == 0 and available and not tags:
        memory.unavailable.forget([memory.unavailable.row(item)])
        return
    if row == 0:
        row = memory.item_row(item)
    state.shared.items.last_used[row] = state.shared.counters[EVENTS] + 1
    state.shared.items.dirty[row] = 1
    tag_rows = np.array([memory.tag_row(tag) for tag in tags], np.int32)
    memory.mark_used()
    if changes and not available:
        item_events.hide(memory.handle.address, row)
    if tags:
        item_events.set_tags(memory.handle.address, row, tag_rows)
    if changes and available:
        item_events.show(memory.handle.address, row)
