"""Item events: changes of an item's tags and availability.

An item becomes a candidate with its first interaction or its first tags. Once it has tags and is available, it counts
as new, and is proposed to all users.
"""

from recmodels.kernels import dispatch
from recmodels.kernels.compile import entry
from recmodels.kernels.layout import Int32
from recmodels.kernels.shared import ANNOUNCED, EVENTS
from recmodels.kernels.state_pointer import opened


@entry
def set_tags(address: int, item: int, tags: Int32) -> None:
    """Replace the tags of an item by `tags` [n], at least one."""
    state = opened(address)
    shared = state.shared
    shared.counters[ANNOUNCED] += 1
    if shared.items.first_seen[item] == 0:
        shared.items.first_seen[item] = shared.counters[EVENTS] + shared.counters[ANNOUNCED]
        shared.items.dirty[item] = 1
        shared.items.newness[item] = 1.0
        dispatch.begin(state, item)
    dispatch.describe(state, item, tags)


@entry
def show(address: int, item: int) -> None:
    """Make an item available."""
    state = opened(address)
    state.shared.items.hidden[item] = 0
    state.shared.items.dirty[item] = 1
    dispatch.show(state, item)


@entry
def hide(address: int, item: int) -> None:
    """Make an item unavailable."""
    state = opened(address)
    state.shared.items.hidden[item] = 1
    state.shared.items.dirty[item] = 1
    dispatch.hide(state, item)
