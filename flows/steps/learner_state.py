"""State of the learner in parts, one behind the other: the model, the lists that are held, idle users, the challenger.

A snapshot of everything is written a part at a time. The place where the next part begins is kept in the state, so
the places here are fixed for good.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from flows.monitoring.counters import Counters
from flows.state.stateful import Snapshot
from flows.steps.model_errors import ModelError, errors_of
from recmodels.base import Recommender

PLACES: Final = 1 << 60
"""Number of places of a part, whatever its size."""
MODEL_PLACE: Final = 0
HELD_PLACE: Final = 4 * PLACES
IDLE_PLACE: Final = 5 * PLACES
CHALLENGER_PLACE: Final = 6 * PLACES
HOMES_PLACE: Final = 7 * PLACES
"""Where the account of users' partitions begins, which only a shard has."""


class Source(Protocol):
    """Something with state. The methods are those of `flows.state.stateful.StatefulStep`."""

    def dump(self) -> Snapshot:
        """Return the whole state."""

    def dump_changes(self) -> Snapshot:
        """Return the rows that changed since the last dump."""

    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        """Return about `size` bytes of the state from a place on, and the place behind them: 0 at the end."""


@dataclass(frozen=True)
class Part:
    """One part of the state."""

    place: int
    """Where it begins."""
    source: Source
    named: Callable[[Snapshot], Snapshot] = dict
    """Gives its arrays their names in the state."""


class Parts:
    """Parts as one state.

    Args:
        parts: The parts, in the order of their places. The first begins at 0.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def dump(self) -> Snapshot:
        """Return the whole state."""
        return {name: array for part in self._parts for name, array in part.named(part.source.dump()).items()}

    def dump_changes(self) -> Snapshot:
        """Return the rows that changed since the last dump."""
        return {name: array for part in self._parts for name, array in part.named(part.source.dump_changes()).items()}

    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        """Return about `size` bytes of one part, and the place behind them: 0 at the end of the last part.

        A place in a part that the job no longer has means the next one that it has.
        """
        for number, part in enumerate(self._parts):
            if place < part.place + PLACES:
                arrays, behind = part.source.dump_part(max(place - part.place, 0), size)
                is_last = number == len(self._parts) - 1
                following = 0 if is_last else self._parts[number + 1].place
                return part.named(arrays), part.place + behind if behind else following
        return {}, 0


class StoredModel:
    """The model as a part of the state.

    Args:
        model: The model.
        counters: Say how many events it has learned. Errors name that.

    Raises:
        ModelError: By every method, if the model cannot be stored.
    """

    def __init__(self, model: Recommender, counters: Counters) -> None:
        self._model = model
        self._counters = counters

    def dump(self) -> Snapshot:
        """Return the whole state."""
        with self._errors():
            return self._model.dump()

    def dump_changes(self) -> Snapshot:
        """Return the rows that changed since the last dump."""
        with self._errors():
            return self._model.dump_changes()

    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        """Return about `size` bytes of the state from a place on, and the place behind them: 0 at the end."""
        with self._errors():
            return self._model.dump_part(place, size)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with errors_of(self._model, self._counters.learned):
                yield
        except (pickle.PicklingError, TypeError, AttributeError) as error:  # what pickle raises at a lambda or a file
            raise ModelError(
                f"expected attributes of the model {self._model.version} that can be pickled, for the recovery "
                f"directory; {error}. Keep lambdas and open files out of it, or override dump and load."
            ) from error
