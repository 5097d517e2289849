"""Training examples of the perceptron: events with the inputs just before them, and sampled negatives."""

import numpy as np
from numpy.typing import NDArray

from recmodels.deep.histories import Entries, parts
from recmodels.deep.online_inputs import SPANS
from recmodels.deep.perceptron import Batch, Query

UNKNOWN_USERS = 0.2
UNKNOWN_ITEMS = 0.05
"""Share of ids that are masked while training, so that the network learns to score new users and items."""


class Examples:
    """Events of histories as examples.

    Args:
        entries: Histories.
        recent: Number H of items before an event that are its history.
    """

    def __init__(self, entries: Entries, recent: int) -> None:
        self.entries = entries
        begins, self._activity = parts(entries.user)
        liked = entries.reward > 0.0
        self._likes = entries.item[liked]
        self._before: NDArray[np.int64] = (
            np.cumsum(liked) - liked
        )  # of all histories: where the next liked one stands in `_likes`
        self._own: NDArray[np.int64] = self._before - np.repeat(
            self._before[begins], np.diff(begins, append=len(liked))
        )
        self._back = np.arange(1, recent + 1)
        self._numbers = int(entries.number.max(initial=0)) + 1
        self._taken = np.sort(self._key(self._likes, entries.number[liked]))

    def at(self, events: NDArray[np.int64], item: NDArray[np.int32]) -> Query:
        """Return the inputs of candidates just before events.

        Args:
            events: [B] Places in `entries`.
            item: [B, C] The candidates.
        """
        own, before = self._own[events, None], self._before[events, None]
        history = np.where(own >= self._back, self._likes[np.maximum(before - self._back, 0)], 0)
        number = self.entries.number[events, None]
        end = np.searchsorted(self._taken, self._key(item, number))
        begins = [np.searchsorted(self._taken, self._key(item, np.maximum(number - span, 0))) for span in SPANS]
        return Query(
            self.entries.user[events],
            history.astype(np.int32),
            np.log1p(self._activity[events, None], dtype=np.float32),
            item,
            np.log1p(np.stack([end - begin for begin in begins], axis=-1), dtype=np.float32),
        )

    def batch(
        self, events: NDArray[np.int64], catalogue: NDArray[np.int64], negatives: int, draw: np.random.Generator
    ) -> Batch:
        """Return events, each beside items drawn from the catalogue."""
        own = self.entries.item[events, None]
        item = np.concatenate([own, draw.choice(catalogue, (len(events), negatives)).astype(np.int32)], axis=1)
        label = (item == own) & (self.entries.reward[events, None] > 0.0)
        query = self.at(events, item)
        query = query._replace(
            user=np.where(draw.random(len(events)) < UNKNOWN_USERS, 0, query.user).astype(np.int32),
            item=np.where(draw.random(item.shape) < UNKNOWN_ITEMS, 0, item).astype(np.int32),
        )
        return Batch(query, label.astype(np.float32))

    def _key(self, item: NDArray[np.int32], number: NDArray[np.int64]) -> NDArray[np.int64]:
        return item.astype(np.int64) * self._numbers + number
