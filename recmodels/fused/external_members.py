"""Models of any other kind as members of a blend: each fills one column of the candidate set, by `predict_many`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recmodels.base import Context, Recommender
from recmodels.fused.memory import Memory
from recmodels.storage.place import joined, split

MAX_DISTANCE: Final = 4.0
"""Bound on the distance of a score from the mean, in standard deviations."""
LARGEST_SCORE: Final = 1e30

Scale: TypeAlias = tuple[float, float]
"""Mean and standard deviation."""


class ExternalMembers:
    """The members of a blend that do not run in its kernels.

    A blend does not know the scale of a member's scores. So they are standardised to mean 0 and standard deviation 1
    within each candidate set. A constant score, or one that is not a number, becomes 0.

    Args:
        models: The members.
    """

    def __init__(self, models: Sequence[Recommender]) -> None:
        self.models = tuple(models)

    def __len__(self) -> int:
        return len(self.models)

    def names(self) -> list[str]:
        """Return a name for each member."""
        return [model.version.rpartition("/")[0] for model in self.models]

    def fill(self, memory: Memory, user: str, x: Context | None, scales: Sequence[Scale] | None = None) -> list[Scale]:
        """Fill the columns of a user's candidate set.

        Args:
            memory: The blend's memory, with the candidate set.
            user: Id of the user.
            x: Context of the list.
            scales: Results of `fill` for the candidate set, if other items are scored now. None: compute them.

        Returns:
            Mean and standard deviation of each member's scores.
        """
        candidates, known = memory.state.shared.candidates, memory.items.names
        size = int(candidates.size[0])
        items = [known[row] or "" for row in candidates.item[:size].tolist()]
        first = len(candidates.column) - len(self.models)  # the last columns are theirs
        used = []
        for place, model in enumerate(self.models):
            said = np.asarray(model.predict_many(user, items, x), np.float64)
            used.append(scales[place] if scales else scale_of(said))
            candidates.column[first + place, :size] = scaled(said, used[-1])
        return used

    def learn(self, user: str, item: str, y: float, x: Context) -> None:
        """Have every member learn one interaction."""
        for model in self.models:
            model.learn_one(user, item, y, x)

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the state of all members."""
        return self._named([model.dump() for model in self.models])

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that changed since the last dump."""
        return self._named([model.dump_changes() for model in self.models])

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return a part of the state, as `Recommender.dump_part` does. The members come one after the other."""
        which, inner = split(place, len(self.models))
        part, inner = self.models[which].dump_part(inner, size)
        named = {f"outside.{which}.{name}": array for name, array in part.items()}
        if inner == 0:
            which = (which + 1) % len(self.models)  # 0 behind the last: the end
        return named, joined(which, inner, len(self.models))

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind, as far as it has state of a member."""
        for which, model in enumerate(self.models):
            prefix = f"outside.{which}."
            part = {name.removeprefix(prefix): array for name, array in record.items() if name.startswith(prefix)}
            if part:
                model.load(part)

    @staticmethod
    def _named(records: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        return {f"outside.{k}.{name}": array for k, record in enumerate(records) for name, array in record.items()}


def scale_of(values: NDArray[np.float64]) -> Scale:
    """Return mean and standard deviation of the finite values. The deviation is 0 if all are equal.

    >>> scale_of(np.array([1.0, 3.0, np.nan])), scale_of(np.array([2.0, 2.0]))
    ((2.0, 1.0), (2.0, 0.0))
    """
    numbers = np.clip(values[np.isfinite(values)], -LARGEST_SCORE, LARGEST_SCORE)
    if not len(numbers):
        return 0.0, 0.0
    mean, spread = float(numbers.mean()), float(numbers.std())
    return mean, spread if spread > 1e-9 * abs(mean) else 0.0


def scaled(values: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    """Standardise values to mean 0 and standard deviation 1. Values that are not finite become 0.

    >>> scaled(np.array([1.0, 3.0, np.nan]), (2.0, 1.0)).tolist(), scaled(np.array([5.0]), (2.0, 0.0)).tolist()
    ([-1.0, 1.0, 0.0], [0.0])
    """
    mean, spread = scale
    if not spread:
        return np.zeros(len(values))
    bounded = np.clip(np.where(np.isfinite(values), values, mean), -LARGEST_SCORE, LARGEST_SCORE)
    return np.clip((bounded - mean) / spread, -MAX_DISTANCE, MAX_DISTANCE)
