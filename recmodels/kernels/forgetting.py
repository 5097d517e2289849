"""How rows that are given up leave every other row."""

from recmodels.kernels import dispatch, history
from recmodels.kernels.compile import entry
from recmodels.kernels.layout import Marks
from recmodels.kernels.state_pointer import opened


@entry
def forget_user(address: int, user: int) -> None:
    """Free the history of a user."""
    state = opened(address)
    state.shared.candidates.stamp[1] = 0
    history.forget(state.shared, user)


@entry
def drop_items(address: int, gone: Marks, n_users: int, n_tags: int) -> None:
    """Take items out of every row that holds them.

    Args:
        address: Of the state (`state_pointer`).
        gone: [I] 1 for each of these items, over the rows of items given out.
        n_users, n_tags: The number of rows of users and of tags given out, the reserved one included.
    """
    state = opened(address)
    state.shared.candidates.stamp[1] = 0
    history.drop(state.shared, gone, n_users)
    dispatch.drop_items(state, gone, n_tags)


@entry
def drop_tags(address: int, gone: Marks, n_items: int, n_users: int) -> None:
    """Take tags from all items and users; as of `drop_items`."""
    state = opened(address)
    state.shared.candidates.stamp[1] = 0
    dispatch.drop_tags(state, gone, n_items, n_users)
