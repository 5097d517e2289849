"""How much a list differs from the list that its user holds."""

from collections.abc import Collection, Sequence
from math import log2

from flows.steps.hashing import short_digest


def share_of_change(items: Sequence[str], held: Collection[int]) -> float:
    """Return the share of a list's weight that is new: 0 if the held list has all items, 1 if it has none.

    A place weighs 1 / log2(place + 1), as in NDCG. An order that changes counts nothing.

    Args:
        items: The list, the best item first.
        held: Digests (`flows.steps.hashing.short_digest`) of the items of the held list.

    >>> held = [short_digest(item) for item in ("tea", "jam")]
    >>> [round(share_of_change(items, held), 2) for items in (["jam", "tea"], ["tea", "pie"], ["pie", "oil"])]
    [0.0, 0.39, 1.0]
    """
    weights = [1.0 / log2(place + 2.0) for place in range(len(items))]
    new = sum(weight for weight, item in zip(weights, items, strict=True) if short_digest(item) not in held)
    return new / sum(weights) if weights else float(bool(held))


def gain_of(items: Sequence[str], scores: Sequence[float], held: Collection[int]) -> float:
    """Return the sum of the scores of the items that the held list lacks. Of probabilities it is the hits to expect.

    Args:
        items, scores: The list.
        held: Digests of the items of the held list.

    >>> gain_of(["tea", "pie"], [0.5, 0.25], [short_digest("tea")])
    0.25
    """
    return sum(score for item, score in zip(items, scores, strict=True) if short_digest(item) not in held)
