"""Profile of one user in a model, to explain a list."""

from collections.abc import Iterator
from typing import NamedTuple

from recmodels.base import Recommender
from recmodels.fused.model import FusedModel


class HistoryEntry(NamedTuple):
    """An item in a user's history."""

    item: str
    amount: float
    """Sum of the rewards. NaN if the model does not add them up."""


class UserProfile(NamedTuple):
    """The profile of a user in a model."""

    user: str
    events: int
    """Number of learned interactions. 0 means a new user."""
    last_time: float | None
    """Time of the newest interaction in Unix seconds. None if the model does not keep it."""
    recent: list[str]
    """The last items that the members use, the newest first. The same item twice in a row is there once."""
    had: list[HistoryEntry]
    """The history, the newest first. A repeated item is at the place of its newest event."""


def user_profile(model: Recommender, user: str) -> UserProfile:
    """Return the profile of a user, without changing the model.

    Args:
        model: Any model. One that neither is nor wraps a `FusedModel` has only the user's items, and only if repeats
            are excluded.
        user: Id of the user. An unknown user has an empty profile.

    >>> from recmodels import Blend
    >>> model = Blend()
    >>> for minute, item in enumerate(["tea", "jam", "jam", "tea"]):
    ...     model.learn_one("ann", item, x={"timestamp": 60.0 * minute})
    >>> user_profile(model, "ann")
    UserProfile(user='ann', events=4, last_time=180.0, recent=['tea', 'jam', 'tea'],
      had=[HistoryEntry(item='tea', amount=2.0), HistoryEntry(item='jam', amount=2.0)])
    >>> user_profile(model, "eve").events
    0
    """
    if isinstance(model.unwrapped, FusedModel):
        return _of_fused(model.unwrapped, user)
    had = [HistoryEntry(item, float("nan")) for item in reversed(model.seen_by(user))]
    return UserProfile(user, len(had), None, [each.item for each in had], had)


def _of_fused(model: FusedModel, user: str) -> UserProfile:
    memory = model.memory
    row, users, names = memory.users.row(user), memory.state.shared.users, memory.items.names
    if row == 0:
        return UserProfile(user, 0, None, [], [])
    recent = [str(names[item]) for item in users.recent[row].tolist() if item]
    return UserProfile(user, int(users.events[row]), float(users.last_time[row]), recent, list(_history(model, row)))


def _history(model: FusedModel, row: int) -> Iterator[HistoryEntry]:
    memory, history = model.memory, model.memory.state.shared.history
    cell = int(memory.state.shared.users.newest[row])
    while cell:
        yield HistoryEntry(str(memory.items.names[history.item[cell]]), float(history.amount[cell]))
        cell = int(history.next[cell])
