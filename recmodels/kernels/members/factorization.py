"""Factorisation over the user's recent items: it generalises to pairs that co-visitation has not seen.

The user's vector is the user's own factors plus the decayed sum of the recent items' history factors. A candidate's
column is the product of that vector with the candidate's out-factors, plus a bias:

    v(u) = own(u) + sum over p of decay^p * history(h_p)          column(j) = v(u) · out(j) + bias(j)

It learns as part of the blend, from the gradient of the softmax over the candidates. So it learns only what the other
members cannot express. Steps are AdaGrad with one sum of squares per row, so that no single event moves a row far.

Sources: asymmetric factor models, Paterek, "Improving regularized singular value decomposition for collaborative
filtering", KDD Cup 2007; SVD++, Koren, "Factorization meets the neighborhood", KDD 2008; AdaGrad, Duchi, Hazan and
Singer, JMLR 12, 2011.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple, cast

import numpy as np

from recmodels.kernels.compile import index, int64, kernel
from recmodels.kernels.lanes import LANES, load, multiply, multiply_add, spread, store, sum_of, total
from recmodels.kernels.layout import Argument, Column, Float32, Int32, Int64, Marks, Rows, Scratch
from recmodels.kernels.member import Member
from recmodels.kernels.prefetch import PREFETCH_DISTANCE, prefetch, prefetch_long
from recmodels.kernels.reductions import dot
from recmodels.kernels.shared import CANDIDATES, Candidates, Event, Shared
from recmodels.kernels.splitmix import GOLDEN_GAMMA, mix

BLOCK: Final = 4 * LANES
"""Number of factors in four registers."""
FIRST_SQUARES: Final = np.float32(0.01)
"""Initial sum of squared gradients of every row. It keeps the first steps small."""
LEAST_SHARE: Final = np.float32(0.0005)
"""Share from which a candidate's out-factors learn that it was not chosen."""
FIRST_BIAS_SQUARES: Final = np.float32(1.0)
SPREAD: Final = np.float32(0.1)
"""Bound on the initial out-factors, which are uniform between minus this and this."""
ITEM_MULTIPLIER: Final = np.uint64(0xD1B54A32D192ED03)
"""What an item's number is multiplied by for its first factors."""

mixed = cast(Callable[[Any], Any], kernel(mix))


class ItemFactors(NamedTuple):
    """A row for each item: its factors as a candidate (out) and as part of a history."""

    out: Annotated[Float32, Column("n_factors")]
    """[items, n_factors]"""
    bias: Annotated[Float32, Column(is_packed=True)]
    """[items]"""
    history: Annotated[Float32, Column("n_factors")]
    """[items, n_factors]"""
    out_squares: Annotated[Float32, Column(key="step_out")]
    """[items] AdaGrad's sum of squared gradients of `out`. The next two are those of `bias` and `history`."""
    bias_squares: Annotated[Float32, Column(key="step_bias")]
    history_squares: Annotated[Float32, Column(key="step_history")]
    dirty: Marks


class UserFactors(NamedTuple):
    """A row for each user."""

    own: Annotated[Float32, Column("n_factors")]
    """[users, n_factors]"""
    own_squares: Annotated[Float32, Column(key="step")]
    """[users] AdaGrad's sum of squared gradients."""
    dirty: Marks


class SentFactors(NamedTuple):
    """A row for each item: its factors as the other shards know them. Rows have no length in a model without shards."""

    out: Annotated[Float32, Column("sent_factors")]
    """[items, n_factors]"""
    history: Annotated[Float32, Column("sent_factors")]
    """[items, n_factors]"""
    numbers: Annotated[Float32, Column("sent_row_numbers")]
    """[items, 4] `bias`, `bias_squares`, `out_squares` and `history_squares`."""
    dirty: Marks


class FactorizationState(NamedTuple):
    """The factors of items and users, and the vector of the present user."""

    items: Annotated[ItemFactors, Rows("items", key="item_factors")]
    users: Annotated[UserFactors, Rows("users", key="user_factors")]
    sent: Annotated[SentFactors, Rows("items", key="sent_factors")]
    origin: Annotated[Int64, Scratch("journal_items")]
    """[items] a number from the item's id, in place of its row, so that all shards draw the same first factors."""
    user_vector: Annotated[Float32, Scratch("n_factors")]
    """[n_factors] the user's vector, which `score` leaves for `learn`."""
    gradient: Annotated[Float32, Scratch("n_factors")]
    """[n_factors]"""
    moved: Annotated[Int32, Scratch(CANDIDATES)]
    """[CANDIDATES] the candidates that an event moves."""
    error: Annotated[Float32, Scratch(CANDIDATES)]
    """[CANDIDATES] gradient of the log-likelihood with respect to the score of each of them."""
    along: Annotated[Float32, Scratch(CANDIDATES)]
    """[CANDIDATES] step of the out-factors of each along the user's vector."""
    bias_step: Annotated[Float32, Scratch(CANDIDATES)]
    """[CANDIDATES] step of the bias of each."""
    rate: Annotated[float, Argument("factor_rate")]
    """Learning rate."""
    decay: Annotated[float, Argument("history_decay")]
    """Factor by which each older recent item counts less."""
    regularization: Annotated[float, Argument("l2")]
    column: Annotated[int, Argument("column")]


@kernel
def begin(factorization: FactorizationState, shared: Shared, item: int) -> None:
    """Draw the out-factors of a new item from the seed and the row, or the id in a model with shards (SplitMix64)."""
    factors, sent = factorization.items, factorization.sent
    factors.dirty[item] = 1
    number = np.uint64(item)
    if sent.out.shape[1] > 0:
        number = np.uint64(factorization.origin[item])
        sent.dirty[item] = 1
    word = np.uint64(shared.options.seed) * GOLDEN_GAMMA + number * ITEM_MULTIPLIER
    for k in range(factors.out.shape[1]):
        word += GOLDEN_GAMMA
        z = mixed(word)
        unit = np.float32(z >> np.uint64(40)) * np.float32(2.0**-24)
        factors.out[item, k] = SPREAD * (np.float32(2.0) * unit - np.float32(1.0))
        if sent.out.shape[1] > 0:
            sent.out[item, k] = factors.out[item, k]


@kernel
def score(factorization: FactorizationState, shared: Shared, user: int) -> None:
    """Compute the user's vector, and fill the column."""
    factors, own, candidates, recent = factorization.items, factorization.users, shared.candidates, shared.users.recent
    vector = factorization.user_vector
    n_factors = vector.shape[0]
    for k in range(n_factors):
        vector[k] = own.own[user, k]
    fade = np.float32(1.0)
    for p in range(recent.shape[1]):
        row = recent[user, p]
        if row == 0:
            break
        for k in range(n_factors):
            vector[k] += fade * factors.history[row, k]
        fade *= np.float32(factorization.decay)
    column, size = candidates.column[factorization.column], candidates.size[0]
    for s in range(size):
        item = index(candidates.item[s])
        if s + PREFETCH_DISTANCE < size:
            prefetch_long(factors.out, candidates.item[s + PREFETCH_DISTANCE])
            prefetch(factors.bias, candidates.item[s + PREFETCH_DISTANCE])
        column[s] = product(vector, factors.out[item]) + factors.bias[item]


@kernel
def product(vector: Float32, factors: Float32) -> np.float32:
    """Return the product of two vectors of the same length."""
    a = b = c = d = spread(np.float32(0.0))
    k, size = int64(0), vector.shape[0]
    while k + BLOCK <= size:
        a = multiply_add(load(vector, k), load(factors, k), a)
        b = multiply_add(load(vector, k + LANES), load(factors, k + LANES), b)
        c = multiply_add(load(vector, k + 2 * LANES), load(factors, k + 2 * LANES), c)
        d = multiply_add(load(vector, k + 3 * LANES), load(factors, k + 3 * LANES), d)
        k += BLOCK
    while k + LANES <= size:
        a = multiply_add(load(vector, k), load(factors, k), a)
        k += LANES
    whole = total(sum_of(sum_of(a, b), sum_of(c, d)))
    while k < size:
        whole += vector[k] * factors[k]
        k += 1
    return whole


@kernel
def learn(factorization: FactorizationState, shared: Shared, event: Event) -> None:
    """Take one step on the softmax loss, if the event's item is a candidate.

    The candidate set must be that of the user, with its shares. The user vector is that of the last `score`.
    """
    if event.target < 0:
        return
    factors, own, candidates, recent = factorization.items, factorization.users, shared.candidates, shared.users.recent
    vector, gradient = factorization.user_vector, factorization.gradient
    n_factors = vector.shape[0]
    step, shrink = np.float32(factorization.rate), np.float32(factorization.rate * factorization.regularization)
    squares = dot(vector, vector, n_factors) / np.float32(n_factors)
    size = choose_moved(factorization, candidates, event.target)
    moved, errors = factorization.moved, factorization.error
    along, bias_step = factorization.along, factorization.bias_step
    for s in range(size):
        item = index(moved[s])
        if s + PREFETCH_DISTANCE < size:
            prefetch(factors.out_squares, moved[s + PREFETCH_DISTANCE])
            prefetch(factors.bias_squares, moved[s + PREFETCH_DISTANCE])
            prefetch(factors.dirty, moved[s + PREFETCH_DISTANCE])
        error = errors[s]
        factors.dirty[item] = 1
        factors.bias_squares[item] += error * error
        factors.out_squares[item] += error * error * squares
        bias_step[s] = factors.bias_squares[item]
        along[s] = factors.out_squares[item]
    for s in range(size):  # apart, so that roots and quotients are taken in SIMD lanes
        bias_step[s] = step * errors[s] / np.sqrt(bias_step[s] + FIRST_BIAS_SQUARES)
    for s in range(size):
        along[s] = step * errors[s] / np.sqrt(along[s] + FIRST_SQUARES)
    for s in range(size):
        factors.bias[index(moved[s])] += bias_step[s]
    move_all(factorization, size, shrink)
    user, squares = event.user, dot(gradient, gradient, n_factors) / np.float32(n_factors)
    own.dirty[user] = 1
    own.own_squares[user] += squares
    along = step / np.sqrt(own.own_squares[user] + FIRST_SQUARES)
    for k in range(n_factors):
        own.own[user, k] = (np.float32(1.0) - shrink) * own.own[user, k] + along * gradient[k]
    fade = np.float32(1.0)
    for p in range(recent.shape[1]):
        row = recent[user, p]
        if row == 0:
            break
        factors.dirty[row] = 1
        factors.history_squares[row] += fade * fade * squares
        along = step * fade / np.sqrt(factors.history_squares[row] + FIRST_SQUARES)
        for k in range(n_factors):
            factors.history[row, k] = (np.float32(1.0) - shrink * fade) * factors.history[row, k] + along * gradient[k]
        fade *= np.float32(factorization.decay)


@kernel
def choose_moved(factorization: FactorizationState, candidates: Candidates, target: int) -> int:
    """Write the candidates that an event moves, with their errors, and return their number.

    They are the event's item and those with a share of `LEAST_SHARE` or more. The others would hardly move.
    """
    moved, errors, size, place = factorization.moved, factorization.error, int64(0), int64(0)
    for s in range(candidates.size[0]):
        moved[size] = candidates.item[s]
        errors[size] = -candidates.share[s]
        place = size if s == target else place
        size += int64((candidates.share[s] >= LEAST_SHARE) | (s == target))
    errors[place] += np.float32(1.0)
    return size


@kernel
def move_all(factorization: FactorizationState, size: int, shrink: np.float32) -> None:
    """Move the out-factors of candidates, and write the gradient of the user's vector.

    Args:
        factorization: The factors, with the candidates that move, their errors and steps.
        size: Number of these candidates.
        shrink: Regularisation: factors lose this part of themselves, times the error.
    """
    k, n_factors = int64(0), factorization.user_vector.shape[0]
    while k + BLOCK <= n_factors:
        move_block(factorization, size, shrink, k)
        k += BLOCK
    while k + LANES <= n_factors:
        move_lanes(factorization, size, shrink, k)
        k += LANES
    while k < n_factors:
        move_one(factorization, size, shrink, k)
        k += 1


@kernel
def move_block(factorization: FactorizationState, size: int, shrink: np.float32, k: int) -> None:
    """Move `BLOCK` out-factors, from `k` on, as `move_all` does. Their gradient stays in registers."""
    out, vector, gradient = factorization.items.out, factorization.user_vector, factorization.gradient
    errors, along, moved = factorization.error, factorization.along, factorization.moved
    v0, v1 = load(vector, k), load(vector, k + LANES)
    v2, v3 = load(vector, k + 2 * LANES), load(vector, k + 3 * LANES)
    g0 = g1 = g2 = g3 = spread(np.float32(0.0))
    for s in range(size):
        if s + PREFETCH_DISTANCE < size:
            prefetch_long(out, moved[s + PREFETCH_DISTANCE])
        row = out[index(moved[s])]
        error, step = spread(errors[s]), spread(along[s])
        keep = spread(np.float32(1.0) - shrink * abs(errors[s]))
        r0, r1 = load(row, k), load(row, k + LANES)
        r2, r3 = load(row, k + 2 * LANES), load(row, k + 3 * LANES)
        g0, g1 = multiply_add(error, r0, g0), multiply_add(error, r1, g1)
        g2, g3 = multiply_add(error, r2, g2), multiply_add(error, r3, g3)
        store(row, k, multiply_add(keep, r0, multiply(step, v0)))
        store(row, k + LANES, multiply_add(keep, r1, multiply(step, v1)))
        store(row, k + 2 * LANES, multiply_add(keep, r2, multiply(step, v2)))
        store(row, k + 3 * LANES, multiply_add(keep, r3, multiply(step, v3)))
    store(gradient, k, g0)
    store(gradient, k + LANES, g1)
    store(gradient, k + 2 * LANES, g2)
    store(gradient, k + 3 * LANES, g3)


@kernel
def move_lanes(factorization: FactorizationState, size: int, shrink: np.float32, k: int) -> None:
    """Move `LANES` out-factors, from `k` on, as `move_all` does."""
    out, part, gradient = factorization.items.out, load(factorization.user_vector, k), spread(np.float32(0.0))
    errors, along, moved = factorization.error, factorization.along, factorization.moved
    for s in range(size):
        row = out[index(moved[s])]
        keep, old = spread(np.float32(1.0) - shrink * abs(errors[s])), load(row, k)
        gradient = multiply_add(spread(errors[s]), old, gradient)
        store(row, k, multiply_add(keep, old, multiply(spread(along[s]), part)))
    store(factorization.gradient, k, gradient)


@kernel
def move_one(factorization: FactorizationState, size: int, shrink: np.float32, k: int) -> None:
    """Move the out-factor `k`, as `move_all` does."""
    out, part, gradient = factorization.items.out, factorization.user_vector[k], np.float32(0.0)
    errors, along, moved = factorization.error, factorization.along, factorization.moved
    for s in range(size):
        item = index(moved[s])
        gradient += errors[s] * out[item, k]
        out[item, k] = (np.float32(1.0) - shrink * abs(errors[s])) * out[item, k] + along[s] * part
    factorization.gradient[k] = gradient


MEMBER: Final = Member(
    name="factorization",
    state=FactorizationState,
    columns=("factors",),
    says="how near the item's vector is to the user's recent items, 64 numbers each",
    weights=(1.0,),
    needs_shares=True,
    begin=begin,
    score=score,
    learn=learn,
)
