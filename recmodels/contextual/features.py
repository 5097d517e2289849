"""Features of a user, an item and a context, for River's estimators: numbers as floats, words as keys with a 1.

- `offered`: the logarithm of the item's share in the softmax of the candidates' scores,
- `interest`: the cosine between its tags and those of the user's recent items,
- `price`, and `price_gap`: its distance from the mean price of the user's recent items, both as logarithms,
- words: the item, each of its tags, and each of these combined with the time of day and with the context.

Unknown values are left out. A missing number counts as its mean. The hour or the device alone is not a feature, since
it is the same for all candidates of a list.
"""

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import Any, Final

from recmodels.contextual.item_features import ItemFeatures
from recmodels.fused.candidate_generator import CandidateGenerator

INTEREST_DECAY: Final = 0.8
"""Factor by which tags of each older recent item count less."""
HOURS: Final = 3
"""Hours of the day, in UTC, that share one word."""
LEAST_SHARE: Final = -20.0
"""Lower bound on the logarithm of a share."""


def features_of(
    offers: CandidateGenerator,
    facts: ItemFeatures,
    user: str,
    some: Sequence[tuple[str, float]],
    offered: Sequence[tuple[str, float]],
    time: float,
    context: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return the features of some items for a user.

    Args:
        offers: Candidate generator, with the user's recent items.
        facts: Tags and prices.
        user: Id of the user.
        some: The items with their scores.
        offered: All candidates with their scores.
        time: Unix seconds.
        context: Further fields of the event.

    >>> offers, facts = CandidateGenerator(), ItemFeatures(10)
    >>> facts.learn("tea", {"price": 1.0})
    >>> offers.learn_one("ann", "tea")
    >>> [row] = features_of(offers, facts, "ann", [("tea", 0.5)], [("tea", 0.5)], 0.0, {"device": "phone"})
    >>> {name: round(value, 2) for name, value in row.items()}
    {'offered': -0.0, 'price': 0.69, 'price_gap': 0.0, 'i tea': 1, 'i tea h0': 1, 'i tea device=phone': 1}
    """
    highest = max((score for _, score in offered), default=0.0)
    total = highest + log(sum((exp(score - highest) for _, score in offered), 1e-12))
    interest, usual_price = interest_of(offers, facts, user)
    known = [f"h{int(time % 86_400 // 3_600) // HOURS}"]
    known += [_utf8(f"{name}={value}") for name, value in context.items()]
    rows = []
    for item, score in some:
        tags, price = facts.tags(item), facts.price(item)
        row: dict[str, Any] = {"offered": max(score - total, LEAST_SHARE)}
        if tags and interest:
            row["interest"] = sum(interest.get(tag, 0.0) for tag in tags) / len(tags) ** 0.5
        if price is not None:
            row["price"] = price
            if usual_price is not None:
                row["price_gap"] = abs(price - usual_price)
        words = [f"t {tag}" for tag in tags]
        if offers.knows(item):  # else its word could only collide with those of others
            words.append(_utf8(f"i {item}"))
        for word in words:
            row[word] = 1
            for also in known:
                row[f"{word} {also}"] = 1
        rows.append(row)
    return rows


def interest_of(offers: CandidateGenerator, facts: ItemFeatures, user: str) -> tuple[dict[int, float], float | None]:
    """Return the tags of a user's recent items, as a vector of length 1, and the mean of their prices' logarithms.

    They are computed from the recent items on each call, so that no more state of a user is needed.
    """
    memory = offers.memory
    recent = memory.state.shared.users.recent[memory.users.row(user)].tolist()
    interest: dict[int, float] = {}
    prices = []
    for place, row in enumerate(row for row in recent if row):
        name = memory.items.names[row] or ""
        for tag in facts.tags(name):
            interest[tag] = interest.get(tag, 0.0) + INTEREST_DECAY**place
        if (price := facts.price(name)) is not None:
            prices.append(price)
    length = sum(weight * weight for weight in interest.values()) ** 0.5
    usual_price = sum(prices) / len(prices) if prices else None
    return {tag: weight / length for tag, weight in interest.items()}, usual_price


def _utf8(word: str) -> str:
    return word if word.isascii() else word.encode("utf-8", "backslashreplace").decode()
