"""Inference: a user's list, or the scores of given items, without learning."""

import numpy as np

from recmodels.kernels import calibration, dispatch, reranker, user_context, weights
from recmodels.kernels import candidates as candidate_set
from recmodels.kernels.compile import entry, int64, kernel
from recmodels.kernels.event_loop import MIN_CANDIDATES, fill_candidates, score_candidates, share_out, write_list
from recmodels.kernels.layout import Float32, Float64, Int32
from recmodels.kernels.state import State
from recmodels.kernels.state_pointer import opened


@entry
def top(address: int, user: int, time: float, places: Int32, list_items: Int32, list_scores: Float64) -> int:
    """Make a user's list, without learning, and return its number of items.

    Args:
        address: Address of the state (`state_pointer`).
        user: Row of the user.
        time: Unix seconds, or NaN for no particular time.
        places: [n] out: slots of the list's items. They stay valid in the candidate set.
        list_items, list_scores: [n] out: the list.
    """
    state = opened(address)
    state.shared.candidates.epoch[1] = 0
    fill_candidates(state, user, max(places.shape[0], MIN_CANDIDATES))
    kept = write_list(state, user, time, places, list_items, list_scores)
    state.shared.candidates.epoch[1] = 0
    return kept


@entry
def score_items(address: int, user: int, time: float, item_rows: Int32, scores: Float32) -> None:
    """Score the given items for a user, whether they would be candidates or not.

    Args:
        address: Address of the state (`state_pointer`).
        user: Row of the user.
        time: Unix seconds, or NaN for no particular time.
        item_rows: [n] rows of the items.
        scores: [n] out: the scores.
    """
    state = opened(address)
    state.shared.candidates.epoch[1] = 0
    log_total = np.float32(0.0)
    if state.shared.options.learn_weights:
        fill_candidates(state, user, int64(MIN_CANDIDATES))
        log_total = log_denominator(state, user, time)
    admit(state, user, item_rows)
    score_admitted(state, user, time, log_total, item_rows, scores)


@entry
def contexts(address: int, user: int, time: float) -> tuple[int, int]:
    """Return a user's contexts at `time` (NaN: no particular time), as rows of the weights."""
    users = opened(address).shared.users
    return user_context.length_context(users, user), user_context.asked_gap_context(users, user, time)


@kernel
def log_denominator(state: State, user: int, time: float) -> np.float32:
    """Return the logarithm of the softmax's denominator over a user's candidate set.

    Call `fill_candidates` first.
    """
    length, gap = (
        user_context.length_context(state.shared.users, user),
        user_context.asked_gap_context(state.shared.users, user, time),
    )
    score_candidates(state, length, gap)
    return share_out(state.shared.candidates)


@kernel
def admit(state: State, user: int, item_rows: Int32) -> None:
    """Make a candidate set of exactly these items, with all columns."""
    candidates = state.shared.candidates
    candidates.epoch[1] = 0
    candidate_set.admit(candidates, item_rows)
    dispatch.propose(state, user)
    dispatch.score(state, user)


@kernel
def score_admitted(
    state: State, user: int, time: float, log_total: np.float32, item_rows: Int32, scores: Float32
) -> None:
    """Write the scores of the items that `admit` let in.

    `log_total` is the result of `log_denominator`, which has found the top, too.

    Args:
        state: The model's state.
        user: Row of the user.
        time: Unix seconds, or NaN for no particular time.
        log_total: Logarithm of the softmax's denominator.
        item_rows: [n] rows of the items.
        scores: [n] out: the scores.
    """
    candidates = state.shared.candidates
    length, gap = (
        user_context.length_context(state.shared.users, user),
        user_context.asked_gap_context(state.shared.users, user, time),
    )
    weights.score(state.weights, length, gap, candidates)
    if state.shared.options.use_reranker:
        reranker.score_others(state.reranker, length, gap, candidates)
    for k in range(item_rows.shape[0]):
        score = candidates.score[candidate_set.slot_of(candidates, int64(item_rows[k]))]
        if state.shared.options.learn_weights:
            score = calibration.probability(state.calibration, length, np.exp(score - log_total))
        scores[k] = score
