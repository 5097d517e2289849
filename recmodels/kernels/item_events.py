"""What item events change: tags, what is hidden and what is new; and how items and tags that are given up leave.

An item becomes a candidate with its first interaction or with its first tags, whatever comes first. It is new, and
proposed to everybody, from when it has tags and is shown.
"""

import numpy as np

from recmodels.kernels import factorization, popularity
from recmodels.kernels.compile import kernel
from recmodels.kernels.content import filled, holds
from recmodels.kernels.state import ANNOUNCED, EVENTS, TAGGED, Content, Int32, Int64, Items, State


@kernel
def announce(state: State, item: int, tags: Int32) -> None:
    """Learn the tags of an item, one at least. They take the place of those it had."""
    is_new = state.items.first_seen[item] == 0
    describe(state.content, state.items, state.counters, item, tags)
    if is_new:
        state.items.first_seen[item] = state.counters[EVENTS] + state.counters[ANNOUNCED]
        state.items.dirty[item] = 1
        state.items.newness[item] = 1.0
        moment = popularity.moment(state.popularity, state.counters[EVENTS], state.options.by_time)
        popularity.announce(state.popularity, item, moment)
        factorization.begin(state.item_factors, item, state.options.seed)
    if state.items.hidden[item] == 0:
        introduce(state.content, state.items, state.counters, item)


@kernel
def show(state: State, item: int) -> None:
    """Make an item available."""
    state.items.hidden[item] = 0
    state.items.dirty[item] = 1
    popularity.show(state.popularity, state.items, item)
    introduce(state.content, state.items, state.counters, item)


@kernel
def hide(state: State, item: int) -> None:
    """Make an item unavailable."""
    state.items.hidden[item] = 1
    state.items.dirty[item] = 1


@kernel
def describe(content: Content, items: Items, counters: Int64, item: int, tags: Int32) -> None:
    """Give an item its tags, instead of those it had."""
    counters[ANNOUNCED] += 1
    now = counters[EVENTS] + counters[ANNOUNCED]
    own = content.items.tag[item]
    content.items.dirty[item] = 1
    counters[TAGGED] += np.int64(tags.shape[0] > 0) - np.int64(own[0] > 0)
    for k in range(filled(own)):
        if not holds(tags, own[k]):
            content.tags.carriers[own[k]] -= 1
            leave(content, own[k], item)
    for k in range(tags.shape[0]):
        tag = tags[k]
        content.tags.dirty[tag] = 1
        content.tags.last_used[tag] = now
        if not holds(own, tag):
            content.tags.carriers[tag] += 1
            if content.tags.worth[tag] == 0.0:
                content.tags.worth[tag] = content.worth[0]
            if items.newness[item] > 0.0 and content.items.announced[item] > 0:
                put_first(content.tags.newest[tag], item)
    own[:] = 0
    for k in range(tags.shape[0]):
        own[k] = tags[k]


@kernel
def introduce(content: Content, items: Items, counters: Int64, item: int) -> None:
    """Put an item that was announced before anybody touched it in front of the new ones, once."""
    if items.newness[item] == 0.0 or content.items.announced[item] > 0:
        return
    content.items.announced[item] = counters[EVENTS] + 1
    content.items.dirty[item] = 1
    put_first(content.newest, item)
    for k in range(filled(content.items.tag[item])):
        tag = content.items.tag[item, k]
        content.tags.dirty[tag] = 1
        put_first(content.tags.newest[tag], item)


@kernel
def put_first(row: Int32, item: int) -> None:
    """Put an item in front of a row; a full row loses its last."""
    for k in range(row.shape[0] - 1, 0, -1):
        row[k] = row[k - 1]
    row[0] = item


@kernel
def leave(content: Content, tag: int, item: int) -> None:
    """Take an item out of the rows of a tag."""
    content.tags.dirty[tag] = 1
    newest, popular, level = content.tags.newest[tag], content.tags.popular[tag], content.tags.level[tag]
    kept = 0
    for k in range(filled(newest)):
        if newest[k] != item:
            newest[kept] = newest[k]
            kept += 1
    newest[kept:] = 0
    kept = 0
    for k in range(filled(popular)):
        if popular[k] != item:
            popular[kept], level[kept] = popular[k], level[k]
            kept += 1
    popular[kept:] = 0
    level[kept:] = 0.0


@kernel
def drop_items(content: Content, counters: Int64, gone: np.ndarray, used: int) -> None:
    """Take items out of the rows of all tags, of which `used` are in use. `gone` has a 1 for each of them."""
    drop_from(content.newest, gone)
    for tag in range(1, used):
        if drop_from(content.tags.newest[tag], gone):
            content.tags.dirty[tag] = 1
        popular, level = content.tags.popular[tag], content.tags.level[tag]
        kept = 0
        for k in range(filled(popular)):
            if gone[popular[k]] == 0:
                popular[kept], level[kept] = popular[k], level[k]
                kept += 1
        if kept < popular.shape[0] and popular[kept] > 0:
            popular[kept:] = 0
            level[kept:] = 0.0
            content.tags.dirty[tag] = 1
    for item in range(gone.shape[0]):
        if gone[item] == 0:
            continue
        tags = content.items.tag[item]
        counters[TAGGED] -= np.int64(tags[0] > 0)
        for k in range(filled(tags)):
            content.tags.carriers[tags[k]] -= 1
            content.tags.dirty[tags[k]] = 1


@kernel
def drop_tags(content: Content, counters: Int64, gone: np.ndarray, n_items: int, n_users: int) -> None:
    """Take tags from all items and out of all interests. `gone` has a 1 for each of them."""
    for item in range(1, n_items):
        tags = content.items.tag[item]
        if drop_from(tags, gone):
            content.items.dirty[item] = 1
            counters[TAGGED] -= np.int64(tags[0] == 0)
    for user in range(1, n_users):
        tags, weights = content.users.tag[user], content.users.weight[user]
        kept = 0
        for k in range(filled(tags)):
            if gone[tags[k]] == 0:
                tags[kept], weights[kept] = tags[k], weights[k]
                kept += 1
        if kept < tags.shape[0] and tags[kept] > 0:
            tags[kept:] = 0
            weights[kept:] = 0.0
            content.users.dirty[user] = 1


@kernel
def drop_from(row: Int32, gone: np.ndarray) -> bool:
    """Close the gaps that some leave in a row; say whether there were any."""
    kept = 0
    for k in range(filled(row)):
        if gone[row[k]] == 0:
            row[kept] = row[k]
            kept += 1
    if kept == row.shape[0] or row[kept] == 0:
        return False
    row[kept:] = 0
    return True
