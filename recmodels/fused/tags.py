"""Tags of an item: words that items can share, derived from the features of an item event.

The features `tags`, `genres`, `category`, `brand`, `price` and the words of `title` count, in this order, as far as
there is room. The first three give the same kind of tag, since logs use these names for the same thing. A brand, a
price and a word of a title have kinds of their own. Other features, and values of other types, are ignored.
"""

import re
from collections.abc import Iterator, Mapping
from math import inf, log2
from typing import Any, Final

MAX_TAG_LENGTH: Final = 200
"""Number of characters of a tag. A longer one is cut."""
LARGEST_PRICE: Final = 1e15
"""Bound on prices. A higher price counts as this one."""
STEPS: Final = 2
"""Number of price buckets for each doubling."""
_SEPARATOR: Final = "|"
_WORD: Final = re.compile(r"\w{2,}")


def tags_of(features: Mapping[str, Any] | None, most: int) -> list[str]:
    """Return the tags of an item, without repeats.

    Args:
        features: Features of an item event. `tags`, `genres` and `category` are a text, with `|` between several, or a
            list of texts. `brand` and `title` are texts. `price` is a number of 0 or more.
        most: Largest number of tags.

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
    """Return the bucket of a price, two for each doubling; None if it is not a price.

    All prices have one currency, whichever it is: only ratios matter. 0 is a bucket of its own, below all others.

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
