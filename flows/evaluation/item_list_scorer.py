"""Scores lists of items: whether they held the item that a user took next.

Just before an event is learned, the related items of the user's item before, and the trending items, are those that
the topics hold. A hit is the event's item in the first k. Only events that the scorer of users' lists scores, too, and
of related items only those with another item than the one before, are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from typing_extensions import override

from flows.messages import Forget, Interaction, ItemList, Ranked
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful
from flows.steps.learn import Answer


@dataclass
class HitCount:
    """Events that were scored, and hits among them."""

    scored: int = 0
    hits: int = 0

    @property
    def rate(self) -> float:
        """Share of hits."""
        return self.hits / self.scored if self.scored else 0.0


class ItemListScorer(StatefulStep[Answer, Answer]):
    """Keeps the newest list of each key, and the last item of each user.

    Args:
        k: Length of a list that counts.

    Attributes:
        related: Of the items related to the user's item before.
        trending: Of the items that trend among all.
        lists: Number of keys that have a list.

    >>> from flows.messages import ItemListRequest
    >>> scorer = ItemListScorer()
    >>> events = [Interaction(user, item, 1.0) for user, item in (("ann", "tea"), ("bob", "tea"), ("bob", "cup"))]
    >>> answers = [Ranked(event, -1, [], []) for event in events]
    >>> listed = ItemList(ItemListRequest("related", "tea", 1.0), "tea", ["cup"], [1.0])
    >>> _ = scorer.process([answers[0], listed, *answers[1:]])
    >>> scorer.related, scorer.trending
    (HitCount(scored=1, hits=1), HitCount(scored=3, hits=0))
    """

    def __init__(self, k: int = 10) -> None:
        self.k = k
        self.related = HitCount()
        self.trending = HitCount()
        self._last: dict[str, str] = {}
        self._related: dict[str, Sequence[str]] = {}
        self._trending: dict[str, Sequence[str]] = {}
        self._users: set[str] = set()  # changed since the last dump, and likewise below
        self._keys: set[str] = set()

    @property
    def lists(self) -> dict[str, int]:
        """Number of keys that have a list, by kind."""
        return {"related": len(self._related), "trending": len(self._trending)}

    @override
    def process(self, batch: list[Answer]) -> list[Answer]:
        for answer in batch:
            if isinstance(answer, ItemList):
                self._hold(answer)
            elif isinstance(answer, Ranked):
                self._score(answer)
        return []

    def _score(self, ranked: Ranked) -> None:
        event = ranked.event
        if isinstance(event, Forget):
            self._last.pop(event.user, None)
            self._users.add(event.user)
            return
        if not isinstance(event, Interaction):
            return
        item = event.item
        before = self._last.get(event.user)
        if ranked.position is not None:
            self.trending.scored += 1
            self.trending.hits += item in self._trending.get("", ())
            if before is not None and before != item:
                self.related.scored += 1
                self.related.hits += item in self._related.get(before, ())
        self._last[event.user] = item
        self._users.add(event.user)

    def _hold(self, listed: ItemList) -> None:
        held = self._related if listed.request.kind == "related" else self._trending
        if listed.request.kind == "related":
            self._keys.add(listed.key)
        if listed.items:
            held[listed.key] = listed.items[: self.k]
        else:
            held.pop(listed.key, None)

    @override
    def dump(self) -> Snapshot:
        self._users, self._keys = set(self._last), set(self._related)
        return self.dump_changes()

    @override
    def dump_changes(self) -> Snapshot:
        state: dict[str, Any] = {
            "related": [self.related.scored, self.related.hits],
            "trending": [self.trending.scored, self.trending.hits],
            "last": {user: self._last.get(user) for user in self._users},
            "related lists": {key: self._related.get(key) for key in self._keys},
            "trending lists": self._trending,
        }
        self._users, self._keys = set(), set()
        return {"state": np.frombuffer(msgspec.json.encode(state), np.uint8)}

    @override
    def load(self, record: Snapshot) -> None:
        state = msgspec.json.decode(record["state"].tobytes())
        self.related, self.trending = HitCount(*state["related"]), HitCount(*state["trending"])
        self._trending = state["trending lists"]
        for held, changes in ((self._last, state["last"]), (self._related, state["related lists"])):
            for key, value in changes.items():
                if value is None:
                    held.pop(key, None)
                else:
                    held[key] = value


@operator
def score_items(step_id: str, up: KeyedStream[Answer], scorer: ItemListScorer, store: StoreFor) -> None:
    """Score every event against the lists of items that went out before it."""
    stateful("measures", up, lambda: scorer, store)
