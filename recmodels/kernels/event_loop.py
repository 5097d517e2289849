"""Event loop: for each event, make the list, score it against the event, learn the event, and make the new list.

One call processes a micro-batch, strictly in order, so the borders of batches never change a result. The candidate set
and its columns are reused if the next event is of the same user, which is common. The reuse never changes a result.
"""

from typing import Final

import numpy as np

from recmodels.kernels import (
    calibration,
    dispatch,
    history,
    journal,
    ledger,
    newton,
    reranker,
    topn,
    user_context,
    weights,
)
from recmodels.kernels import candidates as candidate_set
from recmodels.kernels.compile import entry, int64, kernel
from recmodels.kernels.layout import Float64, Int32, Int64
from recmodels.kernels.members import popularity
from recmodels.kernels.shared import ANNOUNCED, EVENTS, ITEM_ROWS, Candidates, Event
from recmodels.kernels.state import State
from recmodels.kernels.state_pointer import opened
from recmodels.kernels.user_context import GAPS, LENGTHS

MIN_CANDIDATES: Final = 64
"""Least number of candidates. If the members propose fewer, items of the catalogue are added."""
NOT_ASKED: Final = -2
"""The event is not scored: it is not positive, or a repeat where repeats are excluded."""
NOT_THERE: Final = -1
"""The event's item was not in the list."""
LARGEST_LOSS: Final = 12.0
"""Loss if the event's item was not a candidate."""
SMALLEST_SHARE: Final = 1e-9
MILLION: Final = 1e6
"""Scores of lists are rounded to 1 / MILLION. More digits would only make the messages longer."""


@kernel
def fill_candidates(state: State, user: int, least: int) -> None:
    """Make the user's candidate set with all its columns.

    Args:
        state: The model's state.
        user: Row of the user.
        least: Least number of candidates, as far as the catalogue has them.
    """
    shared = state.shared
    candidates = shared.candidates
    if candidates.epoch[1] == user and user > 0 and candidates.epoch[2] == least:
        return
    candidate_set.start(candidates)
    if shared.options.exclude_seen:
        history.exclude(shared, user)
    dispatch.propose(state, user)
    rows = shared.counters[ITEM_ROWS]
    candidate_set.fill_up(candidates, shared.items, rows, int64(MIN_CANDIDATES))
    # A longer list needs more candidates, but learning must not depend on the length of the list.
    candidates.size[2] = candidates.size[0]
    if least > MIN_CANDIDATES:
        candidate_set.fill_up(candidates, shared.items, rows, least)
    dispatch.score(state, user)
    candidates.scored[0] = 0
    candidates.epoch[1] = user
    candidates.epoch[2] = least


@kernel
def score_candidates(state: State, length: int, gap: int) -> None:
    """Compute the scores of the candidate set from its columns, and rerank the best, unless they are computed.

    Args:
        state: The model's state, with the user's candidate set.
        length, gap: Contexts of the user (`user_context`).
    """
    candidates = state.shared.candidates
    contexts = 1 + length * (LENGTHS + GAPS) + gap
    if candidates.scored[0] == contexts:
        return
    weights.score(state.weights, length, gap, candidates)
    if state.shared.options.use_reranker:
        reranker.score(state.reranker, length, gap, candidates)
    candidates.scored[0] = contexts


@kernel
def learn(
    state: State, user: int, item: int, reward: float, time: float, kind: int, length: int, gap: int, asked: bool
) -> float:
    """Learn one event: first the weights, then the members.

    Args:
        state: The model's state. Its candidate set is that of the user, with scores.
        user, item: Rows.
        reward: The reward.
        time: Unix seconds.
        kind: Type of the event as a number, for the ledger. 0: none.
        length, gap: Contexts of the user (`user_context`).
        asked: Whether the event is scored.

    Returns:
        Loss of the weights: minus the logarithm of the share of the event's item. NaN if the event is not scored, or
        the model has no weights.
    """
    shared = state.shared
    candidates, options, counters, items = shared.candidates, shared.options, shared.counters, shared.items
    now = counters[EVENTS] + 1
    loss = np.nan
    if reward > 0.0:
        candidates.size[0] = candidates.size[2]
        target = candidate_set.slot_of(candidates, item)
        if target >= candidates.size[0]:
            target = -1
        if (options.learn_weights and asked) or (options.needs_shares and target >= 0):
            weights.share(candidates)
        if options.learn_weights and asked:
            loss = LARGEST_LOSS
            if target >= 0:
                loss = min(loss, -np.log(max(candidates.share[target], SMALLEST_SHARE)))
            kept = topn.choose(items, candidates, candidates.listed)
            calibration.learn(state.calibration, length, target, candidates.listed, kept, candidates)
        if target >= 0 and options.learn_weights:
            if options.use_reranker:
                newton.learn(
                    state.curvature,
                    state.weights.weight,
                    state.weights.squares,
                    length,
                    gap,
                    target,
                    options.learning_rate,
                    candidates,
                )
            else:
                weights.learn(state.weights, length, gap, target, options.learning_rate, candidates)
            if options.use_reranker:
                reranker.learn(state.reranker, length, gap, target, candidates)
        is_new = take_up(state, item, now)
        dispatch.learn(state, Event(user, item, reward, time, now, target, is_new))
        if options.keeps_journal:
            journal.note(shared, user, item, reward, popularity.counted_at(state.popularity, time))
            if target >= 0 and options.needs_shares:
                journal.note_moved(shared, user)
        user_context.learn(shared.users, user, item, time)
    history.learn(shared, user, item, reward)
    if reward >= 0.0:
        ledger.note(shared.ledger, user, item, kind, reward, now, time)
    counters[EVENTS] = now
    if options.keeps_journal:
        shared.journal.size[journal.OWN_EVENTS] += 1
    shared.users.last_used[user] = now
    items.last_used[item] = now
    shared.users.dirty[user] = 1
    items.dirty[item] = 1
    candidates.epoch[1] = 0
    return loss


@kernel
def take_up(state: State, item: int, now: int) -> bool:
    """Count an item's interaction number `now` among those that stand, and say whether it is the item's first."""
    shared = state.shared
    items = shared.items
    is_new = items.first_seen[item] == 0
    if is_new:
        items.first_seen[item] = now + shared.counters[ANNOUNCED]
        dispatch.begin(state, item)
    if is_new or items.newness[item] == 1.0:
        items.standing[item] = 1
    elif items.standing[item] > 0:
        items.standing[item] += 1
    return is_new


@entry
def has_had(address: int, user: int, item: int) -> bool:
    """Say whether an item is in a user's history."""
    return history.holds(opened(address).shared, user, item)


@kernel
def score_and_learn(
    state: State, user: int, item: int, reward: float, time: float, kind: int, wanted: int
) -> tuple[int, float]:
    """Score an event against the user's candidate set, and learn it. Call `fill_candidates` first.

    Returns:
        Position of the event's item, as in `process_batch`, and the loss, as in `learn`.
    """
    candidates = state.shared.candidates
    length, gap = (
        user_context.length_context(state.shared.users, user),
        user_context.gap_context(state.shared.users, user, time),
    )
    score_candidates(state, length, gap)
    position = candidate_set.slot_of(candidates, item)
    if position >= 0:
        most = wanted if wanted > 0 else candidates.size[0]
        position = topn.position(state.shared.items, candidates, position, most)
        if position == most:
            position = NOT_THERE
    # The set has excluded the whole history. So only an excluded item can be a repeat.
    may_be_repeat = state.shared.options.exclude_seen and candidate_set.is_excluded(candidates, item)
    asked = reward > 0.0 and not (may_be_repeat and history.holds(state.shared, user, item))
    loss = learn(state, user, item, reward, time, kind, length, gap, asked)
    return position if asked else NOT_ASKED, loss


@entry
def process_batch(
    address: int,
    user_rows: Int64,
    item_rows: Int64,
    rewards: Float64,
    times: Float64,
    kinds: Int64,
    positions: Int32,
    losses: Float64,
    lengths: Int32,
    list_items: Int32,
    list_scores: Float64,
    places: Int32,
) -> None:
    """Process a micro-batch of events in order.

    Args:
        address: Address of the state (`state_pointer`).
        user_rows, item_rows, rewards, times: [B] the events. Rows have 64 bits, as Python's numbers do. With another
            type numba would compile every function that takes them once more.
        kinds: [B] types of the events as numbers, for the ledger. 0: none.
        positions: [B] out: position of the event's item in the user's list made just before, or `NOT_THERE` or
            `NOT_ASKED`. With n = 0, its position among all candidates.
        losses: [B] out: results of `learn`.
        lengths: [B] out: number of items of the user's new list.
        list_items, list_scores: [B, n] out: the new list, and its scores with six decimal places. With n = 0 there is
            no list.
        places: [n] scratch.
    """
    state = opened(address)
    wanted = places.shape[0]
    least = max(wanted, MIN_CANDIDATES)
    for e in range(user_rows.shape[0]):
        user, item, reward, time, kind = user_rows[e], item_rows[e], rewards[e], times[e], kinds[e]
        fill_candidates(state, user, least)
        positions[e], losses[e] = score_and_learn(state, user, item, reward, time, kind, wanted)
        if wanted > 0:
            fill_candidates(state, user, least)
            lengths[e] = write_list(state, user, np.nan, places, list_items[e], list_scores[e])
            for k in range(lengths[e]):
                list_scores[e, k] = np.rint(list_scores[e, k] * MILLION) / MILLION


@kernel
def write_list(state: State, user: int, time: float, places: Int32, list_items: Int32, list_scores: Float64) -> int:
    """Write the user's list from the candidate set, and return its number of items. Call `fill_candidates` first.

    Args:
        state: The model's state, with the user's candidate set.
        user: Row of the user.
        time: Unix seconds, or NaN for no particular time.
        places: [n] out: slots of the list's items.
        list_items, list_scores: [n] out: the list.
    """
    candidates = state.shared.candidates
    length, gap = (
        user_context.length_context(state.shared.users, user),
        user_context.asked_gap_context(state.shared.users, user, time),
    )
    score_candidates(state, length, gap)
    kept = topn.choose(state.shared.items, candidates, places)
    if state.shared.options.learn_weights:
        log_total = share_out(candidates)
        for k in range(kept):
            share = np.exp(candidates.score[places[k]] - log_total)
            list_items[k] = candidates.item[places[k]]
            list_scores[k] = np.float32(calibration.probability(state.calibration, length, share))
    else:
        topn.write(candidates, places, kept, list_items, list_scores)
    return kept


@kernel
def share_out(candidates: Candidates) -> np.float32:
    """Write the softmax over the candidates that are learned from, and return the logarithm of its denominator."""
    size = candidates.size[0]
    candidates.size[0] = candidates.size[2]
    log_total = weights.share(candidates)
    candidates.size[0] = size
    return log_total
