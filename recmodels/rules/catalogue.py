"""What rules know of items: their features, and for each item which rules it meets, its groups and its tags."""

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.fused.tags import tags_of
from recmodels.kernels.members.content import ITEM_TAGS
from recmodels.kernels.selection import Traits
from recmodels.rules.packing import as_array
from recmodels.rules.rule import Rule
from recmodels.storage.records import Records

GROUPS: Final = 8
"""Number of values of one feature that count for a rule, such as the genres of a film."""
MOST_ROWS: Final = 1 << 18
"""Number of items whose rows are kept. They can be made anew at any time."""
MOST_TAGS: Final = 1 << 20
"""Number of tags from which those are dropped that no item has any more."""
MOST_FIELDS: Final = 64
"""Number of features that are kept of one item."""
MOST_CHARACTERS: Final = 200
"""Number of characters that are kept of a text."""
OF_SEVERAL: Final = ("tags", "genres", "category")
"""Features in which a text with | names several values, as in `recmodels.fused.tags`."""


class Catalogue:
    """Features of items, and the rows of the items that were candidates.

    Args:
        rules: The rules. Rule k has bit k.
        most: Number of items whose features are kept.

    Attributes:
        features: Features by item.
        traits: The rows as kernels take them.
        changes: Number of times that the rows were made anew or grew. While it stays, an item keeps its row.

    >>> cheap = Rule(name="cheap", action="require", where=lambda item: item.get("price", 9.0) < 4.0)
    >>> catalogue = Catalogue([cheap], most=100)
    >>> catalogue.learn("tea", {"price": 3})
    >>> [int(catalogue.traits.met[catalogue.row(item)]) for item in ("tea", "jam")]
    [1, 0]
    """

    def __init__(self, rules: Sequence[Rule], most: int) -> None:
        self.features = Records("rules.features", most)
        self.names: Counter[str] = Counter()
        """Number of item events by feature."""
        self._conditions = [(1 << k, rule.where) for k, rule in enumerate(rules) if rule.where is not None]
        self._per = [rule.per for rule in rules if rule.action == "at_most"]
        self.changes = 0
        self._rows: dict[str, int] = {}
        self._tags: dict[str, int] = {}
        self._groups: dict[tuple[int, Any], int] = {}
        self._carriers: list[int] = [0]
        self._weights: NDArray[np.float32] = np.zeros(1_024, np.float32)
        self._make_arrays(1_024)
        self._is_counted = True
        self._most_tags = MOST_TAGS

    @property
    def slots(self) -> int:
        """Number of slots for groups in each row."""
        return GROUPS * len(self._per)

    @property
    def group_count(self) -> int:
        """Number of groups, with the reserved one."""
        return len(self._groups) + 1

    def learn(self, item: str, features: Mapping[str, Any] | None) -> None:
        """Learn features of an item. Others that it had stay, and None takes one away."""
        if not features:
            return
        self._count()
        old = self.features.get(item) or {}
        new = {str(name): _kept(str(name), value) for name, value in features.items()}
        merged = {name: value for name, value in {**old, **new}.items() if value is not None}
        merged = dict(list(merged.items())[:MOST_FIELDS])
        if len(self.names) < 1_000:
            self.names.update(name for name, value in new.items() if value is not None)
        if merged == old:
            return
        full = len(self.features) >= self.features.most and item not in self.features
        dropped = self.features.oldest if full else ""
        if full:
            self._carry(self.features[dropped], -1)
        self._carry(old, -1)
        self._carry(merged, 1)
        self.features[item] = merged
        if len(self._carriers) > self._most_tags:
            self._is_counted = False
            self._drop_rows()
        for changed in (item, dropped):
            if changed in self._rows:
                self._fill(self._rows[changed], changed)

    def row(self, item: str) -> int:
        """Return the row of an item. It is made if there is none."""
        row = self._rows.get(item)
        if row is None:
            self._count()
            if len(self._rows) >= MOST_ROWS:
                self._drop_rows()
                self._groups.clear()
                self._make_arrays(1_024)
            row = len(self._rows) + 1
            if row >= len(self._met):
                self._grow()
            self._rows[item] = row
            self._fill(row, item)
        return row

    def rows(self, items: Sequence[str]) -> NDArray[np.int32]:
        """Return the rows of items, shape (items,)."""
        try:
            if len(items) > 1:
                return as_array(itemgetter(*items)(self._rows), "i")  # half the time of a comprehension
            return np.array([self._rows[item] for item in items], np.int32)
        except KeyError:
            if len(self._rows) + len(items) > MOST_ROWS:
                self._drop_rows()
                self._groups.clear()
                self._make_arrays(1_024)
            return np.array([self.row(item) for item in items], np.int32)

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Take over a dump of any kind of the features. All else is made anew when it is needed."""
        if self.features.name in record:
            self.features.load(record)
            self._drop_rows()
            self._is_counted = False

    def _count(self) -> None:
        """Count the carriers of each tag after a load."""
        if not self._is_counted:
            self._is_counted = True
            self._tags.clear()
            self._carriers = [0]
            for item in self.features:
                self._carry(self.features[item], 1)
                self.names.update(list(self.features[item]))
            self._most_tags = max(MOST_TAGS, 2 * len(self._carriers))

    def _carry(self, features: Mapping[str, Any], step: int) -> None:
        for tag in kinds_of(features):
            number = self._tags.setdefault(tag, len(self._carriers))
            if number == len(self._carriers):
                self._carriers.append(0)
                if number >= len(self._weights):
                    self._weights = np.concatenate([self._weights, np.zeros(len(self._weights), np.float32)])
                    self.traits = Traits(self._met, self._group, self._tag, self._weights)
            self._carriers[number] += step
            self._weights[number] = 1.0 / np.log2(1.0 + max(self._carriers[number], 1))

    def _fill(self, row: int, item: str) -> None:
        features = self.features.get(item) or {}
        known = {**features, "item": item}
        self._met[row] = sum(bit for bit, condition in self._conditions if condition(known))
        self._tag[row] = 0
        tags = [self._tags[tag] for tag in kinds_of(features)]
        self._tag[row, : len(tags)] = tags
        self._group[row] = 0
        for k, name in enumerate(self._per):
            value = known.get(name)
            values = [] if value is None else list(dict.fromkeys(value if isinstance(value, list) else [value]))
            for place, each in enumerate(values[:GROUPS]):
                self._group[row, k * GROUPS + place] = self._groups.setdefault((k, each), len(self._groups) + 1)

    def _drop_rows(self) -> None:
        self._rows.clear()
        self.changes += 1

    def _make_arrays(self, rows: int) -> None:
        self.changes += 1
        self._met: NDArray[np.int64] = np.zeros(rows, np.int64)
        self._group: NDArray[np.int32] = np.zeros((rows, self.slots), np.int32)
        self._tag: NDArray[np.int32] = np.zeros((rows, ITEM_TAGS), np.int32)
        self.traits = Traits(self._met, self._group, self._tag, self._weights)

    def _grow(self) -> None:
        met, group, tag = self._met, self._group, self._tag
        self._make_arrays(2 * len(met))
        self._met[: len(met)], self._group[: len(met)], self._tag[: len(met)] = met, group, tag


def kinds_of(features: Mapping[str, Any]) -> list[str]:
    """Return the tags by which an item is compared: its kinds and brand, or else its price and the words of its title.

    >>> kinds_of({"title": "Red tea", "genres": "Drama|Crime"}), kinds_of({"title": "Red tea"})
    (['drama', 'crime'], ['title:red', 'title:tea'])
    """
    of_kind = {name: value for name, value in features.items() if name in (*OF_SEVERAL, "brand")}
    return tags_of(of_kind, ITEM_TAGS) or tags_of(features, ITEM_TAGS)


def _kept(name: str, value: Any) -> Any:
    """Return what is kept of a feature: a number, a truth, a text, or a list of these. None: nothing."""
    if isinstance(value, str) and name in OF_SEVERAL and "|" in value:
        value = value.split("|")
    if isinstance(value, list | tuple):
        parts = [part.strip()[:MOST_CHARACTERS] if isinstance(part, str) else part for part in value[:MOST_FIELDS]]
        return [part for part in parts if isinstance(part, str | int | float)]
    if isinstance(value, str):
        return value.strip()[:MOST_CHARACTERS]
    return value if isinstance(value, int | float) else None
