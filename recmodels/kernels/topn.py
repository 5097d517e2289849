"""Selection of the best n candidates by score. Ties keep the first-seen order."""

from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.lanes import LANES, any_from, load, spread
from recmodels.kernels.layout import Float64, Int32
from recmodels.kernels.shared import Candidates, Items


@kernel
def is_better(items: Items, candidates: Candidates, a: int, b: int) -> bool:
    """Say whether the candidate in slot `a` comes before the one in slot `b`."""
    if candidates.score[a] != candidates.score[b]:
        return candidates.score[a] > candidates.score[b]
    return items.first_seen[candidates.item[a]] < items.first_seen[candidates.item[b]]


@kernel
def choose(items: Items, candidates: Candidates, places: Int32) -> int:
    """Choose the best candidates.

    Args:
        items: All items.
        candidates: The set, with its scores.
        places: [n] out: the slots of the best candidates, the best first.

    Returns:
        The number of slots written: n, or fewer if there are fewer candidates.
    """
    kept, most, size, score = int64(0), places.shape[0], candidates.size[0], candidates.score
    if most == 0:
        return kept
    s = int64(0)
    while s < size:
        stop = min(s + LANES, size)
        if kept == most and stop == s + LANES and not any_from(load(score, s), spread(score[places[most - 1]])):
            s = stop
        while s < stop:
            if kept < most or score[s] >= score[places[most - 1]]:
                kept = take(items, candidates, places, kept, s)
            s += 1
    return kept


@kernel
def take(items: Items, candidates: Candidates, places: Int32, kept: int, s: int) -> int:
    """Put the candidate in slot `s` among the best ones, if it is one of them, and return the number of these."""
    if kept == places.shape[0]:
        if not is_better(items, candidates, s, int64(places[kept - 1])):
            return kept
        kept -= 1
    k = kept
    while k > 0 and is_better(items, candidates, s, int64(places[k - 1])):
        places[k] = places[k - 1]
        k -= 1
    places[k] = s
    return kept + 1


@kernel
def write(candidates: Candidates, places: Int32, kept: int, items: Int32, scores: Float64) -> None:
    """Write items [n] and scores [n] of the first `kept` of the chosen candidates, whose slots are `places` [n]."""
    for k in range(kept):
        items[k] = candidates.item[places[k]]
        scores[k] = candidates.score[places[k]]


@kernel
def position(items: Items, candidates: Candidates, place: int, most: int) -> int:
    """Count the candidates that come before the one in slot `place`, up to `most`.

    Args:
        items: All items.
        candidates: The set, with its scores.
        place: Slot of the candidate.
        most: Number at which counting stops.
    """
    before, s, size, score = int64(0), int64(0), candidates.size[0], candidates.score
    bound = spread(score[place])
    while s < size and before < most:
        stop = min(s + LANES, size)
        if stop == s + LANES and not any_from(load(score, s), bound):
            s = stop
        while s < stop and before < most:
            if s != place and is_better(items, candidates, s, place):
                before += 1
            s += 1
    return before
