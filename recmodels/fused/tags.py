"""Tags: what an item is, in words that any other item may share, read from the features of an item event.

What counts is `tags`, `genres`, `category`, `brand`, `price` and the words of `title`, in this order, as far as there
is room. The first three are one sort of tag, since logs name them as they like; a brand, a price and a word of a
title are sorts of their own. Whatever else the features hold, and whatever is of a type that nobody expected, is
passed over.
"""

import re
from collections.abc import Iterator, Mapping
from math import inf, log2
from typing import Any, Final

MAX_TAG_LENGTH: Final = 200
"""Characters of a tag; what comes after them is left out."""
LARGEST_PRICE: Final = 1e15
"""A higher price is this one."""
STEPS: Final = 2
"""Buckets of price for each doubling."""
_SEPARATOR: Final = "|"
_WORD: Final = re.compile(r"\w{2,}")


def tags_of(features: Mapping[str, Any] | None, most: int) -> list[str]:
    """Return the tags of an item, without repeats.

    Args:
        features: Of an item event. `tags`, `genres` and `category` are a text, `|` between several, or a list of
            texts; `brand` and `title` are a text; `price` is a number of 0 or more.
        most: How many tags there may be.

    >>> tags_of({"title": "Red tea", "tags": ["tea", "Loose"], "price": 12.5, "brand": "Acme", "stock": {"a": 1}}, 8)
    ['tea', 'loose', 'brand:acme', 'price:7', 'title:red', 'title:tea']
    >>> tags_of({"genres": "Comedy|Drama", "price": "dear", "category": [["nested"], None]}, 8)
    ['comedy', 'drama']
    """
    found: dict[str, None] = {}
    for tag in _all_tags(features or {}):
        if len(found) == most:
            break
        found[tag] = None
    return list(found)


def _all_tags(features: Mapping[str, Any]) -> Iterator[str]:
    for name in ("tags", "genres", "category"):
        yield from _texts(features.get(name))
    for brand in _texts(features.get("brand")):
        yield f"brand:{brand}"
    bucket = price_bucket(features.get("price"))
    if bucket is not None:
        yield f"price:{bucket}"
    title = features.get("title")
    if isinstance(title, str):
        for word in _WORD.findall(title[:MAX_TAG_LENGTH].casefold()):
            yield f"title:{word}"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        value = value.split(_SEPARATOR)
    if isinstance(value, list | tuple):
        for part in value:
            if isinstance(part, str) and (text := part.strip()[:MAX_TAG_LENGTH].casefold()):
                yield text


def price_bucket(price: object) -> int | None:
    """Return the bucket of a price, two for each doubling; None for what is no price.

    Prices are in any one currency: only their ratios tell. 0 is a bucket of its own, below all others.

    >>> [price_bucket(price) for price in (1.0, 1.4, 1.5, 2.0, 10.0, 1e9, 0.0)]
    [0, 0, 1, 2, 6, 59, -1000]
    >>> [price_bucket(price) for price in (-1.0, float("nan"), float("inf"), "12", True, None)]
    [None, None, None, None, None, None]
    """
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < inf:
        return None
    if price == 0:
        return -1000
    return int(STEPS * log2(min(price, LARGEST_PRICE)) // 1)
