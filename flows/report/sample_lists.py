"""Some lists as people read them: with titles, and why each item is there."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flows.report.data import Listed, Measured

SHOWN_ITEMS = 10
"""Number of items of a list that are shown."""
LEAST_REASON = 0.005
"""A reason that counts less is written as nothing, and so is none."""
MAX_LISTS = 6
"""Number of lists that are shown, unless there are more models."""
MAX_REASONS = 3
"""Number of reasons of an item."""


class Line(NamedTuple):
    """An item of a list."""

    title: str
    why: Sequence[str]


class Shown(NamedTuple):
    """A user's list."""

    model: str
    user: str
    recent: Sequence[str]
    lines: Sequence[Line]


def lists(results: Sequence[Measured], titles: Mapping[str, str]) -> list[Shown]:
    """Return the sample lists of all models, those of one user side by side."""
    shown = [
        Shown(
            result.name,
            sample.user,
            [titles.get(item, item) for item in sample.recent],
            [Line(titles.get(listed.item, listed.item), why(listed)) for listed in sample.items[:SHOWN_ITEMS]],
        )
        for result in results
        for sample in result.samples
    ]
    users = list(dict.fromkeys(each.user for each in shown))[: max(1, MAX_LISTS // len(results))]
    return sorted((each for each in shown if each.user in users), key=lambda each: users.index(each.user))


def why(listed: Listed) -> list[str]:
    """Return the largest contributions to an item's score.

    >>> why(Listed("i9", 0.2, {"covisitation": 1.2, "popular": 0.5, "factors": -0.2}))
    ['covisitation +1.20', 'popular +0.50']
    """
    if listed.parts.keys() == {"model"}:  # one that does not say more
        return []
    parts = sorted(listed.parts.items(), key=lambda part: -part[1])[:MAX_REASONS]
    return [f"{name} {lift:+.2f}" for name, lift in parts if lift >= LEAST_REASON]
