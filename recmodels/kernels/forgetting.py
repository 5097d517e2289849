"""Removal of users, items and tags: their rows are taken out of all other rows."""

from recmodels.kernels import dispatch, history
from recmodels.kernels.compile import entry
from recmodels.kernels.layout import Int32, Marks
from recmodels.kernels.state_pointer import opened


@entry
def forget_user(address: int, user: int) -> None:
    """Free the history of a user."""
    state = opened(address)
    state.shared.candidates.epoch[1] = 0
    history.forget(state.shared, user)


@entry
def drop_items(address: int, gone: Marks, n_users: int) -> None:
    """Remove items from the histories and from the members.

    Args:
        address: Address of the state (`state_pointer`).
        gone: [items] 1 for each removed item, over the rows of items in use.
        n_users: Number of rows of users in use, including the reserved one.
    """
    state = opened(address)
    state.shared.candidates.epoch[1] = 0
    history.drop(state.shared, gone, n_users)
    dispatch.drop_items(state, gone)


@entry
def drop_tags(address: int, gone: Marks) -> None:
    """Remove tags from the members. `gone` [tags] has a 1 for each of them."""
    state = opened(address)
    state.shared.candidates.epoch[1] = 0
    dispatch.drop_tags(state, gone)


@entry
def close_gaps(held: Int32, gone: Marks, beside: Marks, counts: Int32, dirty: Marks) -> None:
    """Remove entries from the rows of an array, and close the gaps.

    Args:
        held: [rows, n] rows of items or tags, 0 behind the last.
        gone: [items or tags] 1 for each that is removed.
        beside: [rows, n * size] bytes that belong to each entry, or [rows, 0].
        counts: [rows] number of entries of each row, or [0].
        dirty: [rows] set to 1 for each changed row.
    """
    width = held.shape[1]
    size = beside.shape[1] // width
    for row in range(held.shape[0]):
        kept, place = 0, 0
        while place < width and held[row, place] > 0:
            if gone[held[row, place]] == 0:
                if kept < place:
                    held[row, kept] = held[row, place]
                    for k in range(size):
                        beside[row, kept * size + k] = beside[row, place * size + k]
                kept += 1
            place += 1
        if kept < place:
            held[row, kept:] = 0
            beside[row, kept * size :] = 0
            dirty[row] = 1
            if counts.shape[0] > 0:
                counts[row] = kept
