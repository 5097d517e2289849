"""Factorisation of what the user has just done: it generalises where co-visitation only remembers.

The user's vector is their own factors plus the decayed sum of the recent items' history factors; a candidate's column
is its product with the candidate's out-factors, plus a bias:

    v(u) = own(u) + sum over p of decay^p * history(h_p)          column(j) = v(u) · out(j) + bias(j)

It learns as part of the blend: the softmax over the candidates says which share each of them has, and every candidate
is moved by the difference between that share and the truth. So it learns only what the other members cannot say.
Steps are AdaGrad with one sum of squares per row, so that no single event moves a row far.

Sources: asymmetric factor models, Paterek, "Improving regularized singular value decomposition for collaborative
filtering", KDD Cup 2007; SVD++, Koren, "Factorization meets the neighborhood", KDD 2008; AdaGrad, Duchi, Hazan and
Singer, JMLR 12, 2011.
"""

from typing import Final

import numpy as np

from recmodels.kernels.candidates import FACTORS
from recmodels.kernels.compile import kernel
from recmodels.kernels.prefetch import AHEAD, prefetch
from recmodels.kernels.reductions import dot, dot_row
from recmodels.kernels.shared import Candidates, Users
from recmodels.kernels.state import ItemFactors, UserFactors

FIRST_STEP: Final = np.float32(0.01)
"""Squared gradient that every row starts with: keeps the first steps small."""
FIRST_BIAS_STEP: Final = np.float32(1.0)
SPREAD: Final = np.float32(0.1)
"""New out-factors lie between minus this and this."""


@kernel
def begin(factors: ItemFactors, item: int, seed: int) -> None:
    """Draw the out-factors of a new item, from the seed and the row alone (splitmix64)."""
    factors.dirty[item] = 1
    word = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(item) * np.uint64(0xD1B54A32D192ED03)
    for k in range(factors.out.shape[1]):
        word += np.uint64(0x9E3779B97F4A7C15)
        z = word
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        unit = np.float32(z >> np.uint64(40)) * np.float32(2.0**-24)
        factors.out[item, k] = SPREAD * (np.float32(2.0) * unit - np.float32(1.0))


@kernel
def score(
    factors: ItemFactors, own: UserFactors, users: Users, user: int, decay: float, candidates: Candidates
) -> None:
    """Put together the user's vector and fill the column."""
    vector = candidates.user_vector
    n_factors = vector.shape[0]
    for k in range(n_factors):
        vector[k] = own.own[user, k]
    fade = np.float32(1.0)
    for p in range(users.recent.shape[1]):
        row = users.recent[user, p]
        if row == 0:
            break
        for k in range(n_factors):
            vector[k] += fade * factors.history[row, k]
        fade *= np.float32(decay)
    column, size = candidates.column[FACTORS], candidates.size[0]
    for s in range(size):
        item = candidates.item[s]
        if s + AHEAD < size:
            prefetch(factors.out, candidates.item[s + AHEAD])
            prefetch(factors.bias, candidates.item[s + AHEAD])
        column[s] = dot_row(vector, factors.out, item) + factors.bias[item]


@kernel
def learn(
    factors: ItemFactors,
    own: UserFactors,
    users: Users,
    user: int,
    target: int,
    rate: float,
    decay: float,
    regularization: float,
    candidates: Candidates,
) -> None:
    """Take one step on the softmax loss.

    `candidates` holds the set of `user` with its shares and user vector as `score` left them; `target` is the place
    in it of the item that the user chose.
    """
    vector, gradient = candidates.user_vector, candidates.gradient
    n_factors = vector.shape[0]
    step, shrink = np.float32(rate), np.float32(rate * regularization)
    gradient[:] = 0.0
    squares = dot(vector, vector, n_factors) / np.float32(n_factors)
    size = candidates.size[0]
    for s in range(size):
        item = candidates.item[s]
        if s + AHEAD < size:
            prefetch(factors.step_out, candidates.item[s + AHEAD])
            prefetch(factors.step_bias, candidates.item[s + AHEAD])
            prefetch(factors.dirty, candidates.item[s + AHEAD])
        error = -candidates.share[s]
        if s == target:
            error += np.float32(1.0)
        factors.dirty[item] = 1
        factors.step_bias[item] += error * error
        factors.bias[item] += step * error / np.sqrt(factors.step_bias[item] + FIRST_BIAS_STEP)
        factors.step_out[item] += error * error * squares
        along = step * error / np.sqrt(factors.step_out[item] + FIRST_STEP)
        keep = np.float32(1.0) - shrink * abs(error)
        for k in range(n_factors):
            out = factors.out[item, k]
            gradient[k] += error * out
            factors.out[item, k] = keep * out + along * vector[k]
    squares = dot(gradient, gradient, n_factors) / np.float32(n_factors)
    own.dirty[user] = 1
    own.step[user] += squares
    along = step / np.sqrt(own.step[user] + FIRST_STEP)
    for k in range(n_factors):
        own.own[user, k] = (np.float32(1.0) - shrink) * own.own[user, k] + along * gradient[k]
    fade = np.float32(1.0)
    for p in range(users.recent.shape[1]):
        row = users.recent[user, p]
        if row == 0:
            break
        factors.dirty[row] = 1
        factors.step_history[row] += fade * fade * squares
        along = step * fade / np.sqrt(factors.step_history[row] + FIRST_STEP)
        for k in range(n_factors):
            factors.history[row, k] = (np.float32(1.0) - shrink * fade) * factors.history[row, k] + along * gradient[k]
        fade *= np.float32(decay)
