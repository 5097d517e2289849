"""The loop over events: ask for the list, score it against the event, learn the event, make the new list.

A micro-batch is one call, and its events are taken strictly one after the other: where batches begin and end never
shows in a result. The columns of a user's candidates are kept while nothing but that user's own list has been asked
for, since an event is often followed by another of the same user; what is kept is what would be computed again.
"""

from typing import Final

from recmodels.kernels import candidates as candidate_set
from recmodels.kernels import content, covisitation, factorization, history, popularity, topn, users, weights
from recmodels.kernels.compile import kernel
from recmodels.kernels.state import ANNOUNCED, EVENTS, ITEM_ROWS, Float32, Float64, Int32, State

LEAST: Final = 64
"""Where members propose fewer candidates, the catalogue fills up to so many."""
NOT_ASKED: Final = -2
"""The event is not scored: it is not positive, or a repeat where repeats are excluded."""
NOT_THERE: Final = -1
"""The event's item was not in the list."""


@kernel
def fill(state: State, user: int, least: int) -> None:
    """Make the user's candidate set with all its columns, with `least` candidates if the catalogue has them."""
    candidates, options = state.candidates, state.options
    if candidates.stamp[1] == user and user > 0 and candidates.stamp[2] == least:
        return
    candidate_set.start(candidates)
    if options.exclude_seen:
        history.exclude(state.history, state.users, user, candidates)
    if options.use_covisitation:
        covisitation.propose(state.covisitation, state.users, state.items, user, candidates)
    if options.use_popularity:
        popularity.propose(state.popularity, state.items, candidates)
    if options.use_history and not options.exclude_seen:
        history.propose(state.history, state.users, state.items, user, candidates)
    if options.use_content:
        content.propose(state.content, state.items, state.counters, user, candidates)
    rows = state.counters[ITEM_ROWS]
    candidate_set.fill_up(candidates, state.items, rows, LEAST)
    # A longer list needs more candidates, but what is learned must not depend on what is asked.
    candidates.size[2] = candidates.size[0]
    if least > LEAST:
        candidate_set.fill_up(candidates, state.items, rows, least)
    score_columns(state, user)
    candidates.stamp[1] = user
    candidates.stamp[2] = least


@kernel
def score_columns(state: State, user: int) -> None:
    """Let every member fill its columns for the candidates that are there."""
    candidates, options = state.candidates, state.options
    if options.use_popularity:
        popularity.score(state.popularity, state.items, candidates)
    if options.use_covisitation:
        covisitation.score(state.covisitation, state.users, user, candidates)
    if options.use_history:
        history.score(state.history, state.users, user, candidates)
    if options.use_factors:
        factorization.score(
            state.item_factors, state.user_factors, state.users, user, options.history_decay, candidates
        )
    content.score(state.content, state.counters, user, candidates)


@kernel
def learn(state: State, user: int, item: int, reward: float, time: float, length: int, gap: int) -> None:
    """Learn one event: first the weights, then the members. `candidates` holds the user's set with its scores."""
    candidates, options = state.candidates, state.options
    now = state.counters[EVENTS] + 1
    if reward > 0.0:
        candidates.size[0] = candidates.size[2]
        target = candidate_set.place_of(candidates, item)
        if 0 <= target < candidates.size[0] and (options.learn_weights or options.use_factors):
            weights.share(candidates)
            if options.learn_weights:
                weights.learn(state.weights, length, gap, target, options.learning_rate, candidates)
            if options.use_factors:
                factorization.learn(
                    state.item_factors,
                    state.user_factors,
                    state.users,
                    user,
                    target,
                    options.factor_rate,
                    options.history_decay,
                    options.regularization,
                    candidates,
                )
        is_new = state.items.first_seen[item] == 0
        if is_new:
            state.items.first_seen[item] = now + state.counters[ANNOUNCED]
            if options.use_factors:
                factorization.begin(state.item_factors, item, options.seed)
        if options.use_covisitation:
            covisitation.learn(state.covisitation, state.users, user, item, reward, options.learn_decay)
        if options.use_popularity:
            popularity.learn(state.popularity, state.items, item, reward, now, is_new)
        if options.use_content:
            content.learn(state.content, state.counters, user, item, reward, now)
        users.learn(state.users, user, item, time)
    history.learn(state.history, state.counters, state.users, user, item, reward, options.max_history)
    state.counters[EVENTS] = now
    state.users.last_used[user] = now
    state.items.last_used[item] = now
    state.users.dirty[user] = 1
    state.items.dirty[item] = 1
    candidates.stamp[1] = 0


@kernel
def is_repeat(state: State, user: int, item: int) -> bool:
    """Say whether the user has interacted with an item before."""
    cell = state.users.newest[user]
    while cell > 0:
        if state.history.item[cell] == item:
            return True
        cell = state.history.next[cell]
    return False


@kernel
def step(
    state: State,
    user_rows: Int32,
    item_rows: Int32,
    rewards: Float64,
    times: Float64,
    positions: Int32,
    lengths: Int32,
    list_items: Int32,
    list_scores: Float32,
    places: Int32,
) -> None:
    """Take a micro-batch of events.

    Args:
        state: What is read and changed.
        user_rows, item_rows, rewards, times: [B] the events.
        positions: [B] out: where the event's item stood in the user's list just before, or `NOT_THERE` or `NOT_ASKED`;
            with n = 0, where it stood among all candidates.
        lengths: [B] out: how many items the user's new list has.
        list_items, list_scores: [B, n] out: the new list. With n = 0 none is made.
        places: [n] scratch.
    """
    wanted = places.shape[0]
    least = max(wanted, LEAST)
    candidates = state.candidates
    for e in range(user_rows.shape[0]):
        user, item, reward, time = user_rows[e], item_rows[e], rewards[e], times[e]
        length, gap = users.length_context(state.users, user), users.gap_context(state.users, user, time)
        fill(state, user, least)
        weights.score(state.weights, length, gap, candidates)
        place = candidate_set.place_of(candidates, item)
        if place >= 0:
            place = topn.position(state.items, candidates, place)
        positions[e] = place if place >= 0 and (place < wanted or wanted == 0) else NOT_THERE
        if reward <= 0.0 or (state.options.exclude_seen and is_repeat(state, user, item)):
            positions[e] = NOT_ASKED
        learn(state, user, item, reward, time, length, gap)
        if wanted > 0:
            gap = users.next_gap_context(state.users, user)
            lengths[e] = make_list(state, user, gap, places, list_items[e], list_scores[e])


@kernel
def make_list(state: State, user: int, gap: int, places: Int32, list_items: Int32, list_scores: Float32) -> int:
    """Write the list of a user; return how many items it has."""
    candidates = state.candidates
    fill(state, user, max(places.shape[0], LEAST))
    length = users.length_context(state.users, user)
    weights.score(state.weights, length, gap, candidates)
    kept = topn.choose(state.items, candidates, places)
    topn.write(candidates, places, kept, list_items, list_scores)
    return kept


@kernel
def top(state: State, user: int, time: float, places: Int32, list_items: Int32, list_scores: Float32) -> int:
    """Make a user's list at `time` (NaN: whenever) without learning anything; return how many items it has."""
    state.candidates.stamp[1] = 0
    gap = users.asked_gap_context(state.users, user, time)
    kept = make_list(state, user, gap, places, list_items, list_scores)
    state.candidates.stamp[1] = 0
    return kept


@kernel
def score_items(state: State, user: int, time: float, item_rows: Int32, scores: Float32) -> None:
    """Score the given items for a user at `time` (NaN: whenever), whether they would be candidates or not."""
    candidates = state.candidates
    candidates.stamp[1] = 0
    candidate_set.admit(candidates, item_rows)
    if state.options.use_covisitation:
        covisitation.propose(state.covisitation, state.users, state.items, user, candidates)
    if state.options.use_history:
        history.propose(state.history, state.users, state.items, user, candidates)
    score_columns(state, user)
    length = users.length_context(state.users, user)
    gap = users.asked_gap_context(state.users, user, time)
    weights.score(state.weights, length, gap, candidates)
    for k in range(item_rows.shape[0]):
        scores[k] = candidates.score[candidate_set.place_of(candidates, item_rows[k])]
