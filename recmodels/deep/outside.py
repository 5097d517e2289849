"""The transformer as a member of the blend: its vectors for a micro-batch, worked out before the kernel runs.

A member of the blend says something of every candidate, in a column. The transformer says user vector · item vector.
Items' vectors change with each training only; a user's changes with each of the user's events. Which events those are
is known when a micro-batch arrives, and the vectors do not depend on what the other members learn meanwhile: so all of
them are made ahead, and the kernel multiplies.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels.base import Example
from recmodels.deep.sasrec import SASRec


class Ahead(NamedTuple):
    """The vectors of the users of the first examples of a micro-batch: up to the next training, or all."""

    before: NDArray[np.float32]
    """[B, D] For the list just before each example: of the history without it."""
    after: NDArray[np.float32]
    """[B, D] For the list just after it: of the history with it."""


class Outside:
    """A transformer that goes along with a blend.

    Args:
        model: It learns what the blend learns, through `note`.

    >>> model = SASRec(retrain_every=4, width=8, length=4, batch_size=4, least_steps=1)
    >>> outside = Outside(model)
    >>> batch = [Example("ann", "tea"), Example("ann", "jam"), Example("bob", "tea"), Example("eve", "tea")]
    >>> ahead = outside.note(batch + [Example("bob", "jam")])
    >>> ahead.before.shape, outside.train_if_due(), outside.items(["jam", None, "new"]).shape
    ((4, 9), True, (3, 9))
    >>> bool(outside.note([Example("bob", "jam")]).after.any()), outside.train_if_due()
    (True, False)
    """

    def __init__(self, model: SASRec) -> None:
        self.model = model

    def note(self, examples: Sequence[Example]) -> Ahead:
        """Take examples into the histories, as many as there are before the weights are due, and return the vectors.

        The caller runs its kernel on as many examples as there are vectors, calls `train_if_due`, and comes back with
        the rest: so a training shows from the event on that follows on the one that made it due, however a stream is
        cut into calls.
        """
        before, after = [], []
        for user, item, y, _, _ in examples:
            before.append(self.model.user_vector(user))
            self.model.note_one(user, item, y)
            after.append(self.model.user_vector(user))
            if self.model.is_due:
                break
        return Ahead(self._stacked(before), self._stacked(after))

    def train_if_due(self) -> bool:
        """Train the weights if it is time; if it says that it did, all items have new vectors."""
        return self.model.train_if_due()

    def items(self, names: Sequence[str | None]) -> NDArray[np.float32]:
        """Return [I, D] the vectors of items; 0 for None and for what came after the last training."""
        return self.model.item_vectors(names)

    def user(self, name: str) -> NDArray[np.float32]:
        """Return [D] the vector of a user as the history is now."""
        return self.model.user_vector(name)

    def _stacked(self, vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.array(vectors, np.float32).reshape(len(vectors), self.model.width + 1)
