"""Show and top: what a stored model knows of a user, and which items are popular and rising, for people and as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import isnan
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recmodels.base import Recommender
from recmodels.known import know
from recmodels.trends import Popular, Rising, popular, rising

HAD: Final = 10
"""So many items of a history are printed; JSON has them all."""
PARTS: Final = 3
"""So many reasons of an item are printed; JSON has them all."""

Titles = Mapping[str, str]


def known_of(model: Recommender, user: str, n: int, titles: Titles) -> dict[str, Any]:
    """Gather what a model knows of a user and the user's list, as if the user came back soon.

    Args:
        model: Any model.
        user: Anybody.
        n: Items of the list.
        titles: By item; an item that is not there has none.

    >>> from recmodels import Popularity
    >>> model = Popularity(repeats="exclude")
    >>> for user, item in [("ann", "i1"), ("ann", "i2"), ("bob", "i1")]:
    ...     model.learn_one(user, item, x={"timestamp": 5.0})
    >>> found = known_of(model, "bob", 1, {"i2": "Tea"})
    >>> found["events"], found["last_time"], [item["title"] for item in found["list"]]
    (1, 5.0, ['Tea'])
    """
    known = know(model, user)
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


def trends_of(
    model: Recommender, n: int, titles: Titles, short: float | None = None, long: float | None = None
) -> dict[str, Any]:
    """Gather the popular and the rising items.

    Args:
        model: One that counts popularity.
        n: So many of each.
        titles: By item.
        short, long: Half-lives in events, see `recmodels.trends.rising`.

    Raises:
        TrendError: The model does not count popularity, or not at those half-lives.
    """
    return {
        "model": model.version,
        "popular": [_trend(each, titles) for each in popular(model, n, long)],
        "rising": [_trend(each, titles) for each in rising(model, n, short, long)],
    }


def print_known(found: Mapping[str, Any], console: Console) -> None:
    """Print what `known_of` gathered."""
    since = "" if found["last_time"] is None else f", the last at {_time(found['last_time'])}"
    said = f"{found['events']:,} events learned{since}" if found["events"] else "a stranger: nothing is known"
    _say(console, f"user {found['user']}: {said}")
    if found["had"]:
        _say(console, f"had, the newest first: {_named(found['had'], HAD)}")
    elif found["recent"]:
        _say(console, f"had lately: {_named(found['recent'], HAD)}")
    rows = ([_name(item), f"{item['score']:.4f}", _why(item["why"])] for item in found["list"])
    _table(console, f"the list now, by {found['model']}", ("item", "score", "why"), rows)


def print_trends(found: Mapping[str, Any], console: Console) -> None:
    """Print what `trends_of` gathered."""
    rows = ([_name(item), f"{item['events']:,.1f}", f"{item['share']:.2%}"] for item in found["popular"])
    _table(console, "popular", ("item", "events", "share"), rows)
    rows = (
        [_name(item), f"{item['share']:.2%}", f"{item['before']:.2%}", f"{item['share'] / item['before']:.1f} ×"]
        for item in found["rising"]
    )
    _table(console, "rising", ("item", "share now", "before", "as often"), rows)


def _item(item: str, titles: Titles) -> dict[str, Any]:
    return {"item": item, "title": titles[item]} if item in titles else {"item": item}


def _trend(each: Popular | Rising, titles: Titles) -> dict[str, Any]:
    return _item(each.item, titles) | {
        name: round(value, 6) for name, value in each._asdict().items() if name != "item"
    }


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("title", item["item"]))


def _named(items: Sequence[Mapping[str, Any]], most: int) -> str:
    named = " · ".join(_name(item) for item in items[:most])
    return named if len(items) <= most else f"{named} · … {len(items) - most:,} more"


def _why(parts: Mapping[str, float]) -> str:
    if parts.keys() == {"model"}:  # one that does not say more
        return ""
    largest = sorted(parts.items(), key=lambda part: -part[1])[:PARTS]
    return " · ".join(f"{name} {lift:+.2f}" for name, lift in largest if lift >= 0.005)


def _time(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):  # a log may count its time from anywhere
        return f"{seconds:g}"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _table(console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("#", justify="right")
    for name in columns:
        table.add_column(name, justify="left" if name in ("item", "why") else "right", overflow="fold")
    for place, row in enumerate(rows, start=1):
        table.add_row(str(place), *map(Text, row))  # as text: a title may look like markup
    if table.row_count:
        console.print(table)
    else:
        _say(console, f"{title}: none")
