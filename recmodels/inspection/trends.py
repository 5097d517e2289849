"""Trends: popular and rising items, by the counts of the popularity member.

The member has a decayed count for each of several half-lives. Let s be an item's share of a count with a short
half-life, and l its share of one with a long half-life. The item rises by s * log2(s / l) bits, its part of the
Kullback-Leibler divergence of the short from the long. The ratio s / l alone would favour items seen once, and the
difference alone items that are popular anyway.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels.base import Recommender
from recmodels.fused.model import FusedModel
from recmodels.kernels.shared import EVENTS
from recmodels.storage.id_table import RESERVED


class Popular(NamedTuple):
    """A popular item."""

    item: str
    events: float
    """Decayed count: an event counts half after each half-life."""
    share: float
    """Share of the counts of all items."""


class Rising(NamedTuple):
    """An item whose popularity rises."""

    item: str
    share: float
    """Share of the counts of all items, at the short half-life."""
    before: float
    """The same, at the long half-life."""
    bits: float
    """Strength of the evidence: share * log2(share / before)."""


class TrendError(ValueError):
    """A model has no such count. The message names models that have one."""


def popular(model: Recommender, n: int = 10, half_life: float | None = None) -> list[Popular]:
    """Return the most popular available items, the most popular first.

    Args:
        model: One with a popularity member.
        n: Number of items.
        half_life: A half-life of the model, in its unit (events or seconds). None: the longest.

    Raises:
        TrendError: The model does not count popularity, or not at that half-life.

    >>> from recmodels import Blend
    >>> model = Blend()
    >>> for item in ["tea", "tea", "tea", "jam"]:
    ...     model.learn_one("ann", item)
    >>> [(found.item, round(found.events, 2), round(found.share, 2)) for found in popular(model)]
    [('tea', 3.0, 0.75), ('jam', 1.0, 0.25)]
    """
    fused = _counting(model)
    counts = _counts(fused, max(_half_lives(fused)) if half_life is None else half_life)
    shares, names = _shares(counts), fused.memory.items.names
    return [Popular(str(names[row]), float(counts[row]), float(shares[row])) for row in _first(fused, counts, n)]


def rising(model: Recommender, n: int = 10, short: float | None = None, long: float | None = None) -> list[Rising]:
    """Return the available items that rise most, strongest first. Falling items are left out.

    Args:
        model: One with a popularity member.
        n: Maximum number of items.
        short: A half-life of the model, in events. None: the one nearest to 300.
        long: A longer half-life. None: the longest.

    Raises:
        TrendError: The model does not count popularity, or not at those half-lives.

    >>> from recmodels import Blend
    >>> model = Blend(half_lives=(1.0, 2.0, 3.0, 4.0, float("inf")))
    >>> for item in ["tea"] * 8 + ["jam"] * 8 + ["pie"]:
    ...     model.learn_one("ann", item)
    >>> [found.item for found in rising(model, short=2.0)]
    ['pie', 'jam']
    >>> [found.item for found in rising(model, short=4.0)]
    ['jam', 'pie']
    """
    fused = _counting(model)
    half_lives = _half_lives(fused)
    short = min(half_lives, key=lambda half_life: abs(half_life - 300.0)) if short is None else short
    long = max(half_lives) if long is None else long
    if not short < long:
        raise TrendError(
            f"expected a short half-life below the long one; got {short:g} and {long:g}. This model counts at "
            f"{_said(fused)}."
        )
    lately, before = (_shares(_counts(fused, half_life)) for half_life in (short, long))
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where(lately > before, lately * np.log2(lately / before), 0.0)
    names = fused.memory.items.names
    rows = [row for row in _first(fused, bits, n) if bits[row] > 0.0]
    return [Rising(str(names[row]), float(lately[row]), float(before[row]), float(bits[row])) for row in rows]


def _counting(model: Recommender) -> FusedModel:
    unwrapped = model.unwrapped
    if not isinstance(unwrapped, FusedModel):
        raise TrendError(
            f"expected a model that counts popularity; got {type(model).__name__}. Such are blend, popularity, "
            "covisitation, history, factorization, content and contextual."
        )
    return unwrapped


def _half_lives(model: FusedModel) -> list[float]:
    return sorted(set(model.half_lives))


def _said(model: FusedModel) -> str:
    unit = "seconds" if model.decay_by == "time" else "events"
    return f"{', '.join(f'{half_life:g}' for half_life in _half_lives(model))} {unit}"


def _counts(model: FusedModel, half_life: float) -> NDArray[np.float64]:
    """[I] decayed counts by row, 0 for rows without an interaction."""
    if half_life not in model.half_lives:
        raise TrendError(
            f"expected one of the model's half-lives, {_said(model)}; got {half_life:g}. Others "
            "are set by its argument half_lives."
        )
    memory, h = model.memory, model.half_lives.index(half_life)
    used, state = len(memory.items.names), memory.state
    now = float(state.popularity.clock[0] if model.decay_by == "time" else state.shared.counters[EVENTS])
    levels = state.popularity.items.level[:used, h] - now * state.popularity.decay[h]
    return np.where(state.shared.items.first_seen[:used] > 0, np.exp2(levels), 0.0)


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    total = counts.sum()
    return counts / total if total else counts


def _first(model: FusedModel, values: NDArray[np.float64], n: int) -> list[int]:
    """Rows of the highest values, ties by first-seen order, without hidden and unseen items."""
    items = model.memory.state.shared.items
    rows = np.arange(RESERVED, len(values))
    rows = rows[(items.first_seen[rows] > 0) & (items.hidden[rows] == 0)]
    order = np.lexsort((items.first_seen[rows], -values[rows]))
    return [int(row) for row in rows[order[: max(n, 0)]]]
