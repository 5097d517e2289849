"""Descriptions of a stored model for output: a user's profile, and trends."""

from collections.abc import Mapping
from math import isnan
from typing import Any, Final

from flows.errors import UsageError
from recmodels.base import Recommender
from recmodels.inspection.trends import Popular, Rising, TrendError, popular, rising
from recmodels.inspection.user_profile import user_profile

RECENT_ITEMS: Final = 10
"""Number of history items that are printed. JSON has all."""

MAX_REASONS: Final = 3
"""Number of reasons that are printed for an item. JSON has all."""

Titles = Mapping[str, str]


def describe_user(model: Recommender, user: str, n: int, titles: Titles) -> dict[str, Any]:
    """Describe a user's profile in a model, and the user's list as of now.

    Args:
        model: Any model.
        user: Anybody.
        n: Items of the list.
        titles: Titles by item id. Items may be missing.

    >>> from recmodels import Popularity
    >>> model = Popularity(repeats="exclude")
    >>> for user, item in [("ann", "i1"), ("ann", "i2"), ("bob", "i1")]:
    ...     model.learn_one(user, item, x={"timestamp": 5.0})
    >>> found = describe_user(model, "bob", 1, {"i2": "Tea"})
    >>> found["events"], found["last_time"], [item["title"] for item in found["list"]]
    (1, 5.0, ['Tea'])
    """
    known = user_profile(model, user)
    return {
        "user": user,
        "model": model.version,
        "events": known.events,
        "last_time": known.last_time,
        "recent": [_item(item, titles) for item in known.recent],
        "had": [_item(had.item, titles) | ({} if isnan(had.amount) else {"amount": had.amount}) for had in known.had],
        "list": [
            _item(why.item, titles) | {"score": why.score, "why": dict(why.parts)} for why in model.explain(user, n)
        ],
    }


def describe_trends(
    model: Recommender, n: int, titles: Titles, short: float | None = None, long: float | None = None
) -> dict[str, Any]:
    """Gather the popular and the rising items.

    Args:
        model: One that counts popularity.
        n: Number of items of each kind.
        titles: By item.
        short, long: Half-lives in events, see `recmodels.inspection.trends.rising`.

    Raises:
        UsageError: The model does not count popularity, or not at those half-lives.
    """
    try:
        return {
            "model": model.version,
            "popular": [_trend(each, titles) for each in popular(model, n, long)],
            "rising": [_trend(each, titles) for each in rising(model, n, short, long)],
        }
    except TrendError as error:
        raise UsageError(str(error)) from None


def _item(item: str, titles: Titles) -> dict[str, Any]:
    return {"item": item, "title": titles[item]} if item in titles else {"item": item}


def _trend(each: Popular | Rising, titles: Titles) -> dict[str, Any]:
    return _item(each.item, titles) | {
        name: round(value, 6) for name, value in each._asdict().items() if name != "item"
    }
