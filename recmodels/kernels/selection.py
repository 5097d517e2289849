"""Selection of a list from ranked candidates: rules remove, limit, raise and pin items, and diversity spreads them.

The list is filled from the first place on. At each place stands the pinned item, or else the candidate c with the
highest value among those that no rule keeps out:

    value(c) = (1 - d) * score(c) / highest score - d * max over the items p above it of similarity(p, c)

d is the diversity, from 0 to 1. With 0 the order is that of the scores. This is maximal marginal relevance. The
similarity of p and c is the larger of two numbers from 0 to 1:

- the cosine of their tags. The square of the weight of a tag that n items carry is 1 / log2(1 + n).
- the square root of the share of users who went on to c after p, by co-visitation.

Source: Carbonell and Goldstein, The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
Summaries, SIGIR 1998.
"""

from typing import Final, NamedTuple

import numpy as np

from recmodels.kernels.compile import entry, int64, kernel
from recmodels.kernels.layout import Float32, Float64, Int32, Int64, Marks

RULES: Final = 62
"""Largest number of rules: each has a bit of a number."""


class Traits(NamedTuple):
    """A row for each item: what rules and diversity need to know of it."""

    met: Int64
    """[rows] bit k: the item meets the condition of rule k."""
    group: Int32
    """[rows, slots] the groups of the item, such as its brand, of which rules limit the number. 0: none."""
    tag: Int32
    """[rows, tags of an item] the item's tags, 0 behind the last."""
    weight: Float32
    """[tags] the square of a tag's weight. That of tag 0 is 0."""


class Follows(NamedTuple):
    """Which items followed each item, in the model's own rows (`recmodels.kernels.members.covisitation`)."""

    item: Int32
    """[items, length]"""
    weight: Float32
    """[items, length]"""
    size: Int32
    """[items] number of entries of the row. All are 0 for a model without co-visitation."""
    total: Float32
    """[items] sum of all weights."""


class Desk(NamedTuple):
    """Scratch."""

    mark: Float32
    """[tags] weight of the tags of one item. All 0 between two calls."""
    taken: Int32
    """[groups] number of items of the list in each group. All 0 between two calls."""
    slot: Int32
    """[items] 1 + the slot of a candidate, by the model's row. All 0 between two calls."""
    value: Float64
    """[candidates]"""
    ceiling: Float64
    """[candidates] highest value of a candidate and of those behind it."""
    nearest: Float64
    """[candidates] similarity to the nearest item of the list."""
    inverse: Float64
    """[candidates] 1 divided by the length of a candidate's tags as a vector. 0 without tags."""
    out: Marks
    """[candidates] 1: not to be taken any more."""


class Wish(NamedTuple):
    """The rules that are in force for one list."""

    exclude: int
    """Bits of the rules whose items are left out."""
    require: int
    """Bits of the rules that each item must meet."""
    boost: int
    """Bits of the rules that raise or lower a score."""
    factor: Float64
    """[RULES] factor of each of these."""
    limit: Int32
    """[slots] largest number of items with the same group. 0: not limited."""
    rule: Int32
    """[slots] the rule of a slot."""
    diversity: float


@kernel
def note_slots(desk: Desk, own: Int32, rows: Int32, is_there: int) -> None:
    """Write the slots of the candidates by their rows in the model, or clear them."""
    for c in range(rows.shape[0]):
        if own[rows[c]] > 0:
            desk.slot[own[rows[c]]] = is_there * (c + 1)


@kernel
def note_lengths(traits: Traits, desk: Desk, rows: Int32) -> None:
    """Write the inverse length of each candidate's tags."""
    for c in range(rows.shape[0]):
        square = 0.0
        for t in range(traits.tag.shape[1]):
            tag = traits.tag[rows[c], t]
            if tag == 0:
                break
            square += traits.weight[tag]
        desk.inverse[c] = 1.0 / np.sqrt(square) if square > 0.0 else 0.0


@kernel
def note_tags(traits: Traits, desk: Desk, rows: Int32, p: int) -> None:
    """Raise `desk.nearest` of the candidates that have tags in common with candidate `p`."""
    tags = traits.tag[rows[p]]
    if tags[0] == 0:
        return
    for t in range(tags.shape[0]):
        desk.mark[tags[t]] = traits.weight[tags[t]]  # that of tag 0 is 0
    length = desk.inverse[p]
    for c in range(rows.shape[0]):
        common = 0.0
        for t in range(tags.shape[0]):
            tag = traits.tag[rows[c], t]
            if tag == 0:
                break
            common += desk.mark[tag]
        desk.nearest[c] = max(desk.nearest[c], common * length * desk.inverse[c])
    for t in range(tags.shape[0]):
        desk.mark[tags[t]] = 0.0


@kernel
def note_followers(follows: Follows, desk: Desk, row: int) -> None:
    """Raise `desk.nearest` of the candidates that users went on to after the item in this row of the model."""
    if row > 0 and follows.total[row] > 0.0:
        for k in range(follows.size[row]):
            c = int64(desk.slot[follows.item[row, k]]) - 1
            if c >= 0:
                share = float(follows.weight[row, k]) / float(follows.total[row])
                desk.nearest[c] = max(desk.nearest[c], np.sqrt(min(share, 1.0)))


@kernel
def first_bit(bits: int) -> int:
    """Return the place of the lowest bit that is set."""
    place = int64(0)
    while not bits & 1:
        bits >>= 1
        place += 1
    return place


@kernel
def broken_rule(wish: Wish, met: int) -> int:
    """Return the first rule that keeps an item out, by its bits, or -1."""
    broken = (met & wish.exclude) | (~met & wish.require)
    return -1 if broken == 0 else first_bit(broken)


@kernel
def full_slot(traits: Traits, wish: Wish, desk: Desk, row: int) -> int:
    """Return the first slot of an item whose group has its number of items already, or -1."""
    for s in range(wish.limit.shape[0]):
        group = traits.group[row, s]
        if wish.limit[s] > 0 and group > 0 and desk.taken[group] >= wish.limit[s]:
            return s
    return -1


@kernel
def take(
    traits: Traits, follows: Follows, wish: Wish, desk: Desk, own: Int32, rows: Int32, c: int, is_last: bool
) -> None:
    """Take a candidate into the list. After the last one, nothing is compared any more."""
    desk.out[c] = 1
    for s in range(wish.limit.shape[0]):
        desk.taken[traits.group[rows[c], s]] += 1
    if wish.diversity > 0.0 and not is_last:
        note_followers(follows, desk, int64(own[rows[c]]))
        note_tags(traits, desk, rows, c)


@kernel
def note_ceilings(desk: Desk, size: int) -> None:
    """Write the highest value of each candidate and those behind it."""
    highest = -np.inf
    for c in range(size - 1, -1, -1):
        highest = max(highest, desk.value[c])
        desk.ceiling[c] = highest


@kernel
def next_best(traits: Traits, wish: Wish, desk: Desk, rows: Int32) -> int:
    """Return the candidate with the highest value that no rule keeps out, or -1."""
    best, best_value = int64(-1), -np.inf
    for c in range(rows.shape[0]):
        if desk.ceiling[c] <= best_value:  # similarity only lowers a value
            break
        if desk.out[c]:
            continue
        value = desk.value[c] - wish.diversity * desk.nearest[c]
        if value > best_value and full_slot(traits, wish, desk, int64(rows[c])) < 0:
            best, best_value = int64(c), value
    return best


@entry
def select(
    met: Int64,
    group: Int32,
    tag: Int32,
    tag_weight: Float32,
    follower: Int32,
    follower_weight: Float32,
    follower_size: Int32,
    follower_total: Float32,
    bits: Int64,
    factor: Float64,
    limit: Int32,
    limit_rule: Int32,
    diversity: float,
    mark: Float32,
    taken: Int32,
    slot: Int32,
    values: Float64,
    out: Marks,
    own: Int32,
    rows: Int32,
    scores: Float64,
    pinned: Int32,
    chosen: Int32,
    removed: Int64,
) -> int:
    """Select a list. Arrays come one by one: Python would take ten times as long to hand over named tuples of them.

    Args:
        met, group, tag, tag_weight: As in `Traits`.
        follower, follower_weight, follower_size, follower_total: As in `Follows`.
        bits: [3] `exclude`, `require` and `boost` of `Wish`.
        factor, limit, limit_rule, diversity: As in `Wish`.
        mark, taken, slot, out: As in `Desk`.
        values: [4, candidates] `value`, `ceiling`, `nearest` and `inverse` of `Desk`.
        own: [rows] the row in `Follows` of each row of `Traits`. 0: not looked up yet, -1: none.
        rows: [candidates] rows of the candidates in `Traits`. The best comes first.
        scores: [candidates] their scores.
        pinned: [n] slot of the candidate that is pinned at each place, or -1.
        chosen: [2, n] out: slots of the list's items, and the number of candidates with a higher score that diversity
            passed over for each.
        removed: [RULES] in and out: number of items of the first n that each rule left out.

    Returns:
        Number of items of the list: n, or fewer if the rules leave fewer. -1, and nothing is done, if diversity needs
        a row of `own` that was not looked up.
    """
    traits = Traits(met, group, tag, tag_weight)
    follows = Follows(follower, follower_weight, follower_size, follower_total)
    wish = Wish(bits[0], bits[1], bits[2], factor, limit, limit_rule, diversity)
    desk = Desk(mark, taken, slot, values[0], values[1], values[2], values[3], out)
    if diversity > 0.0:
        for c in range(rows.shape[0]):
            if own[rows[c]] == 0:
                return -1
    places, passed = chosen[0], chosen[1]
    size, n = rows.shape[0], places.shape[0]
    highest, lowest = -np.inf, 0.0
    for c in range(size):
        met = traits.met[rows[c]]
        desk.nearest[c] = 0.0
        value = scores[c]
        boosts = int64(met) & wish.boost
        while boosts:
            k = first_bit(boosts)
            value = value * wish.factor[k] if value >= 0.0 else value / wish.factor[k]
            boosts &= boosts - 1
        desk.value[c] = value
        rule = broken_rule(wish, int64(met))
        desk.out[c] = 1 if rule >= 0 else 0
        if rule < 0:
            highest, lowest = max(highest, value), min(lowest, value)
        elif c < n:
            removed[rule] += 1
    if diversity > 0.0:
        note_slots(desk, own, rows, int64(1))
        note_lengths(traits, desk, rows)
        for c in range(size):
            relevance = (desk.value[c] - lowest) / (highest - lowest) if highest > lowest else 1.0
            desk.value[c] = (1.0 - diversity) * relevance
    note_ceilings(desk, int64(size))
    for k in range(n):
        if pinned[k] >= 0:
            take(traits, follows, wish, desk, own, rows, int64(pinned[k]), False)
    kept, next_pin = 0, 0
    for k in range(n):
        while next_pin < n and pinned[next_pin] < 0:
            next_pin += 1
        best = int64(-1)
        if next_pin > k:
            best = next_best(traits, wish, desk, rows)
        passed[k] = 0
        if best >= 0:
            if wish.diversity > 0.0:
                for c in range(size):
                    if desk.ceiling[c] <= desk.value[best]:
                        break
                    if not desk.out[c] and desk.value[c] > desk.value[best]:
                        passed[k] += full_slot(traits, wish, desk, int64(rows[c])) < 0
            take(traits, follows, wish, desk, own, rows, best, k + 1 == n)
        elif next_pin < n:  # its place is here, or nothing is left to come before it
            best = int64(pinned[next_pin])
            next_pin += 1
        else:
            break
        places[k] = best
        kept += 1
    for c in range(min(n, size)):
        if not desk.out[c]:
            full = full_slot(traits, wish, desk, int64(rows[c]))
            if full >= 0:
                removed[wish.rule[full]] += 1
    for k in range(kept):
        for s in range(wish.limit.shape[0]):
            desk.taken[traits.group[rows[places[k]], s]] = 0
    if diversity > 0.0:
        note_slots(desk, own, rows, int64(0))
    return kept


@entry
def mean_similarity(
    met: Int64,
    group: Int32,
    tag: Int32,
    tag_weight: Float32,
    follower: Int32,
    follower_weight: Float32,
    follower_size: Int32,
    follower_total: Float32,
    mark: Float32,
    taken: Int32,
    slot: Int32,
    values: Float64,
    out: Marks,
    own: Int32,
    rows: Int32,
) -> float:
    """Return the mean similarity of the pairs of a list, from 0 to 1, and 0 for a list of fewer than two items.

    The arguments are those of `select`. `rows`, shape (n,), are those of the list's items, and looked up in `own`.
    """
    traits = Traits(met, group, tag, tag_weight)
    follows = Follows(follower, follower_weight, follower_size, follower_total)
    desk = Desk(mark, taken, slot, values[0], values[1], values[2], values[3], out)
    n, total = rows.shape[0], 0.0
    note_slots(desk, own, rows, int64(1))
    note_lengths(traits, desk, rows)
    for p in range(n):
        for c in range(n):
            desk.nearest[c] = 0.0
            desk.out[c] = c == p
        note_followers(follows, desk, int64(own[rows[p]]))
        note_tags(traits, desk, rows, int64(p))
        for c in range(n):
            if c != p:
                total += desk.nearest[c]
    note_slots(desk, own, rows, int64(0))
    return total / (n * (n - 1)) if n > 1 else 0.0
