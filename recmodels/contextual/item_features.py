"""Tags and prices of items from item events, in a bounded table."""

import zlib
from collections.abc import Mapping
from math import isfinite, log1p
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.base import Context
from recmodels.storage.bounded_table import BoundedTable
from recmodels.storage.tables import dump_changes, dump_part

MOST_TAGS: Final = 8
"""Maximum number of tags of an item."""


class ItemFeatures:
    """Tags and prices of items.

    A tag is stored as a number of 31 bits, since tags are compared and never shown. Other features and invalid values
    are ignored.

    Args:
        max_items: Maximum number of items.

    >>> facts = ItemFeatures(max_items=10)
    >>> facts.learn("tea", {"tags": ["green", "hot"], "price": 4.0})
    >>> len(facts.tags("tea")), round(facts.price("tea"), 2), facts.tags("jam"), facts.price("jam")
    (2, 1.61, (), None)
    """

    def __init__(self, max_items: int) -> None:
        columns: dict[str, Any] = {"tags": (np.int32, (MOST_TAGS,)), "price": (np.float32, ()), "told": (np.int64, ())}
        self._table = BoundedTable("facts", max_items, age="told", **columns)
        self._told = np.zeros(1, np.int64)

    def __len__(self) -> int:
        return len(self._table)

    def learn(self, item: str, x: Context | None) -> None:
        """Set tags and price from an item event. Fields that it does not name stay unchanged."""
        tags, price = _tags_in(x or {}), _price_in(x or {})
        if tags is None and price is None:
            return
        row = self._table.row(item) or self._table.add(item)
        arrays = self._table.arrays
        self._told[0] += 1
        arrays["told"][row] = self._told[0]
        if tags is not None:
            arrays["tags"][row] = tags + [0] * (MOST_TAGS - len(tags))
        if price is not None:
            arrays["price"][row] = price
        self._table.dirty[row] = 1

    def tags(self, item: str) -> tuple[int, ...]:
        """Return an item's tags as numbers, in the order in which they were given."""
        row = self._table.row(item)
        return tuple(tag for tag in self._table.arrays["tags"][row].tolist() if tag) if row else ()

    def price(self, item: str) -> float | None:
        """Return log(1 + price), or None where none is known."""
        price = float(self._table.arrays["price"][self._table.row(item)])
        return price or None

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return all rows in use."""
        self._table.dirty[: self._table.used] = 1
        return self.dump_changes()

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that have changed since the last dump."""
        return dump_changes([self._table]) | {"facts.count": self._told.copy()}

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return about `size` bytes of the rows from `place` on, and the place behind them: 0 at the end."""
        part, place = dump_part([self._table], place, size)
        return part | {"facts.count": self._told.copy()}, place

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Load a dump of any kind, if the record contains it."""
        if "facts.count" in record:
            self._table.expect_fit(record)
            self._told[:] = record["facts.count"]
            self._table.load_rows(record)


def _tags_in(x: Context) -> list[int] | None:
    tags = x.get("tags")
    if isinstance(tags, str):
        tags = [tags]
    if not isinstance(tags, list | tuple | set | frozenset):
        return None
    words = [tag for tag in (sorted(tags, key=str) if isinstance(tags, set | frozenset) else tags) if tag is not None]
    numbers = (zlib.crc32(str(tag).encode("utf-8", "surrogatepass")) >> 1 or 1 for tag in words)
    return list(dict.fromkeys(numbers))[:MOST_TAGS]


def _price_in(x: Context) -> float | None:
    price = x.get("price")
    if isinstance(price, bool) or not isinstance(price, int | float | np.number):
        return None
    try:
        price = float(price)
    except OverflowError:
        return None
    return log1p(price) if isfinite(price) and price > 0.0 else None
