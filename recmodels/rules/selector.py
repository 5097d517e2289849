"""Selection of a list from the candidates of a model, under the rules in force."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recmodels.base import Context, Recommender
from recmodels.fused.model import FusedModel
from recmodels.kernels.selection import RULES, mean_similarity, select
from recmodels.rules.catalogue import GROUPS, Catalogue
from recmodels.rules.force import Force
from recmodels.rules.judge import note_short
from recmodels.rules.packing import as_array
from recmodels.rules.rule import Rule
from recmodels.rules.scratch import Scratch
from recmodels.rules.tally import Tally
from recmodels.storage.id_table import IdTable
from recmodels.storage.records import Records

Wish: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int32], NDArray[np.int32], float]
"""The rules in force, as `select` takes them: bits, factor, limit, limit_rule and diversity."""
Follows: TypeAlias = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]
"""Which items followed each item, as `select` takes them."""
Chosen: TypeAlias = tuple[str, float, int, int]
"""An item of a list: its id, its score, its slot among the candidates, and the number of items that it has passed."""
NOTHING = bytes(8 * RULES)
MOST_WISHES = 1_024
"""Number of combinations of rules that are kept ready."""


class Selector:
    """Selects lists.

    Args:
        model: The model whose candidates come in.
        rules: The rules.
        diversity: Weight of the difference from the items above in the list.
        hidden: Hidden items by user.
        tally: Counts what the rules leave out.
    """

    def __init__(
        self, model: Recommender, rules: Sequence[Rule], diversity: float, hidden: Records, tally: Tally
    ) -> None:
        self.model = model
        self.rules = tuple(rules)
        self.diversity = diversity
        self.hidden = hidden
        self.tally = tally
        self.force = Force(self.rules)
        self.catalogue = Catalogue(self.rules, model.max_items)
        self._pins = [(k, rule) for k, rule in enumerate(self.rules) if rule.action == "pin"]
        self._can_remove = any(rule.action in ("exclude", "require", "at_most") for rule in self.rules)
        self._wishes: dict[int, Wish] = {}
        self._follows: Follows | None = None
        self._ids: IdTable | None = None
        self._own: NDArray[np.int32] = np.zeros(0, np.int32)
        """Rows in the model's own tables by rows of the catalogue. 0: not looked up yet, -1: none."""
        self._own_at = (-1, -1)
        """Changes of the ids and of the catalogue's rows up to which they are true."""
        self._scratch = Scratch()
        self._removed: NDArray[np.int64] = np.zeros(RULES, np.int64)
        """Number of items that each rule has left out of lists since the tally was told."""
        self._uncounted: NDArray[np.int64] = np.zeros(RULES, np.int64)
        self._no_pins: NDArray[np.int32] = np.zeros(0, np.int32)
        self._places: NDArray[np.int32] = np.zeros((2, 0), np.int32)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle needs: the tables of the model are found anew."""
        return {**self.__dict__, "_follows": None, "_ids": None}

    def forget_tables(self) -> None:
        """Find the tables of the model anew."""
        self._follows = None

    def select(
        self,
        user: str,
        items: Sequence[str],
        scores: Sequence[float],
        n: int,
        x: Context | None,
        is_counted: bool = True,
    ) -> list[Chosen]:
        """Select a list from candidates.

        Args:
            user: Id of the user.
            items, scores: The candidates, the best first.
            n: Length of the list.
            x: Context.
            is_counted: Whether the items that rules leave out are counted.
        """
        in_force = self.force.bits(user, x)
        if user in self.hidden:
            hidden = self.hidden[user]
            if is_counted:
                self.tally.removed["hide"] += sum(item in hidden for item in items[:n])
            kept = [place for place, item in enumerate(items) if item not in hidden]
            items, scores = [items[place] for place in kept], [scores[place] for place in kept]
        if n != len(self._no_pins):
            self._no_pins, self._places = np.full(n, -1, np.int32), np.zeros((2, n), np.int32)
        pinned, places = self._no_pins, self._places
        if self._pins:
            pinned, items, scores = pinned.copy(), list(items), list(scores)
            self._pin(pinned, user, items, scores, x, in_force)
        if not items:
            return []
        if not (in_force or self.diversity):
            return [(item, score, slot, 0) for slot, (item, score) in enumerate(zip(items[:n], scores, strict=False))]
        rows = self.catalogue.rows(items)
        arguments: list[Any] = [
            *self.catalogue.traits,
            *self._followers(),
            *self._wish(in_force),
            *self._fitting(len(items)),
            self._own_rows(),
            rows,
            as_array(scores, "d"),
            pinned,
            places,
            self._removed if is_counted else self._uncounted,
        ]
        kept_count = select(*arguments)
        if kept_count < 0:
            self._look_up(items, rows)
            kept_count = select(*arguments)
            self._forget_missing(rows)
        slots, passed = places.tolist()
        return [(items[slot], scores[slot], slot, over) for slot, over in zip(slots[:kept_count], passed, strict=False)]

    def similarity(self, items: Sequence[str]) -> float:
        """Return the mean similarity of two items of a list, from 0 to 1, as `recmodels.kernels.selection` says."""
        rows = self.catalogue.rows(items)
        own = self._own_rows()
        self._look_up(items, rows)
        arguments: list[Any] = [*self.catalogue.traits, *self._followers(), *self._fitting(len(rows)), own, rows]
        similarity = float(mean_similarity(*arguments))
        self._forget_missing(rows)
        return similarity

    def breaks(self, item: str, in_force: int) -> bool:
        """Say whether one of the rules in force keeps an item out."""
        exclude, require, _ = self._wish(in_force)[0].tolist()
        if not (exclude or require):
            return False
        met = self.met(item)
        return bool(met & exclude or ~met & require)

    def met(self, item: str) -> int:
        """Return the bits of the rules whose condition an item meets."""
        row = self.catalogue.row(item)
        return int(self.catalogue.traits[0][row])

    def note_short(self, user: str, length: int) -> None:
        """Count a list that rules have made too short (`recmodels.rules.judge`)."""
        self.count_removed()
        note_short(self.tally, user, length)

    def count_removed(self) -> None:
        """Add what rules have left out since the last call to the tally. It takes as long as a fifth of a list."""
        if self._can_remove and self._removed.tobytes() != NOTHING:  # five times as fast as any()
            for k in np.flatnonzero(self._removed).tolist():
                self.tally.removed[self.rules[k].name] += int(self._removed[k])
            self._removed[:] = 0

    def _pin(
        self,
        pinned: NDArray[np.int32],
        user: str,
        items: list[str],
        scores: list[float],
        x: Context | None,
        in_force: int,
    ) -> None:
        """Write the slot of the candidate that is pinned at each place, and add the pinned ones to the candidates."""
        for k, rule in self._pins:
            place = rule.place - 1
            if not in_force >> k & 1 or place >= len(pinned) or pinned[place] >= 0:
                continue
            if not self._may_pin(user, rule.item, in_force):
                continue
            if rule.item not in items:
                items.append(rule.item)
                scores.append(float(self.model.predict_one(user, rule.item, x)))
            slot = items.index(rule.item)
            if slot not in pinned:
                pinned[place] = slot

    def _may_pin(self, user: str, item: str, in_force: int) -> bool:
        if not (self.model.knows(item) or item in self.catalogue.features):
            return False
        if not self.model.may_list(user, item) or self.breaks(item, in_force):
            return False
        if item in (self.hidden.get(user) or ()):
            return False
        return self.model.repeats == "allow" or not self.model.has_seen(user, item)

    def _wish(self, in_force: int) -> Wish:
        wish = self._wishes.get(in_force)
        if wish is None:
            if len(self._wishes) >= MOST_WISHES:
                self._wishes.clear()
            wish = self._wishes[in_force] = self._make_wish(in_force)
        return wish

    def _make_wish(self, in_force: int) -> Wish:
        bits = {"exclude": 0, "require": 0, "boost": 0, "pin": 0, "at_most": 0}
        factor = np.ones(RULES)
        limit: list[int] = []
        limit_rule: list[int] = []
        for k, rule in enumerate(self.rules):
            is_on = in_force >> k & 1
            bits[rule.action] |= is_on << k
            if rule.action == "boost":
                factor[k] = rule.by
            if rule.action == "at_most":
                limit += [rule.number * is_on] * GROUPS
                limit_rule += [k] * GROUPS
        return (
            np.array([bits["exclude"], bits["require"], bits["boost"]]),
            factor,
            np.array(limit, np.int32),
            np.array(limit_rule, np.int32),
            float(self.diversity),
        )

    def _followers(self) -> Follows:
        if self._follows is None:
            model = self.model.unwrapped
            if isinstance(model, FusedModel) and "covisitation" in model.members:
                table = model.memory.state.covisitation.items
                self._follows = (table.item, table.weight, table.size, table.total)
                self._ids, self._own_at = model.memory.items, (-1, -1)
            else:
                none = np.zeros(1, np.float32)
                self._follows = (np.zeros((1, 1), np.int32), none[None], np.zeros(1, np.int32), none)
        return self._follows

    def _own_rows(self) -> NDArray[np.int32]:
        """Return the rows in the model's own tables by rows of the catalogue, as far as they were looked up."""
        now = (self._ids.changes if self._ids else 0, self.catalogue.changes)
        if now != self._own_at:
            of_none = 0 if self._ids else -1
            self._own, self._own_at = np.full(len(self.catalogue.traits.met), of_none, np.int32), now
        return self._own

    def _look_up(self, items: Sequence[str], rows: NDArray[np.int32]) -> None:
        """Look up the rows of items in the model's own tables."""
        row_of = self._ids.rows if self._ids else {}
        self._own[rows] = [row_of.get(item, -1) for item in items]

    def _forget_missing(self, rows: NDArray[np.int32]) -> None:
        """Have items without a row, such as a pinned one, looked up again: the model may learn them at any time."""
        if self._ids:
            self._own[rows] = np.maximum(self._own[rows], 0)

    def _fitting(self, candidates: int) -> tuple[NDArray[Any], ...]:
        """Return scratch that is large enough."""
        catalogue = self.catalogue
        rows = len(self._followers()[2])
        return self._scratch.fitting(len(catalogue.traits[3]), catalogue.group_count, rows, candidates)


def pairs(chosen: Sequence[Chosen]) -> list[tuple[str, float]]:
    """Return the items of a list with their scores.

    >>> pairs([("tea", 0.5, 3, 2)])
    [('tea', 0.5)]
    """
    return list(map(itemgetter(0, 1), chosen))
