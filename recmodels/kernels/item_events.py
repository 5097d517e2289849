"""What item events change: tags, availability and newness.

An item becomes a candidate with its first interaction or with its first tags. It is new, and proposed to everybody,
from when it has tags and is available.
"""

from recmodels.kernels import dispatch
from recmodels.kernels.compile import entry
from recmodels.kernels.layout import Int32
from recmodels.kernels.shared import ANNOUNCED, EVENTS
from recmodels.kernels.state_pointer import opened


@entry
def set_tags(address: int, item: int, tags: Int32) -> None:
    """Learn the tags of an item, one at least. They take the place of those it had."""
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
