"""Content: scores items by their tags, so that an item can be recommended before its first interaction.

An item event gives an item its tags (see `recmodels.fused.tags`). From then on the item is a candidate. A user's
interest in tags is the decayed sum of the tags of the items that the user had. For a user with interest w(t) and an
item with tags T the columns are

    interest = sum over t in T of w(t) * rarity(t), divided by |w * rarity| * sqrt(|T|)
    lift     = mean over t in T of log2(interactions for each carrier of t / for each item with any tag), lately
    newness  = 1 / (1 + interactions) of an item that was announced before its first interaction
    and newness * interest

where rarity(t) = log2(1 + items with any tag / carriers(t)), since a tag that every item has carries no information.

It proposes the items announced last, and for the user's strongest tags the new and the recently popular items. While no
item has tags, it does nothing and its columns are inactive.
"""

from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple

import numpy as np

from recmodels.kernels import candidates as candidate_set
from recmodels.kernels.compile import kernel
from recmodels.kernels.layout import Argument, Column, Float32, Float64, Int32, Int64, Marks, Rows, Scratch, Stored
from recmodels.kernels.levels import less
from recmodels.kernels.member import Member
from recmodels.kernels.shared import ANNOUNCED, EVENTS, ITEM_ROWS, TAG_ROWS, TAGGED, Event, Shared, Undone

ITEM_TAGS: Final = 8
"""Most tags of an item."""
USER_TAGS: Final = 16
"""Most tags of a user's interest."""
NEWEST: Final = 64
"""Number of the items announced last that are proposed to everybody."""
TAG_NEWEST: Final = 16
"""Number of the items announced last with a tag that are proposed to a user who is interested in it."""
TAG_POPULAR: Final = 32
"""Number of the items popular lately with a tag that are proposed to a user who is interested in it."""
STRONGEST_TAGS: Final = 4
"""Number of a user's tags that propose items."""
INTEREST_DECAY: Final = np.float32(0.95)
"""Share of an interest that is left after another event of the user."""
SMALLEST_INTEREST: Final = np.float32(1e-6)
"""An interest below this is dropped."""
SMALLEST_LEFT: Final = np.float32(1e-4)
"""Share of an interaction that is rounding when it is taken back."""
POPULARITY_DECAY: Final = 1.0 / 3_000.0
"""Decay rate of popularity within a tag: 1 / half-life in events."""
LARGEST_LIFT: Final = 8.0


class Tags(NamedTuple):
    """A row for each tag."""

    carriers: Annotated[Int32, Column()]
    """[tags] items that have the tag."""
    log_rate: Annotated[Float64, Column(key="worth")]
    """[tags] log2 of the decayed count of interactions for each carrier, plus the time of decay."""
    last_used: Annotated[Int64, Column()]
    """[tags] number of the last event, announcements counted, for eviction."""
    newest: Annotated[Int32, Column(TAG_NEWEST, holds="items")]
    """[tags, TAG_NEWEST] the items announced last, the newest first."""
    popular: Annotated[Int32, Column(TAG_POPULAR, holds="items")]
    """[tags, TAG_POPULAR] items that were popular lately, in no order."""
    level: Annotated[Float64, Column(TAG_POPULAR, beside="popular")]
    """[tags, TAG_POPULAR] their level, as in `PopularityState`."""
    dirty: Marks


class ItemTags(NamedTuple):
    """A row for each item."""

    tag: Annotated[Int32, Column(ITEM_TAGS, holds="tags")]
    """[items, ITEM_TAGS] the item's tags."""
    announced: Annotated[Int64, Column()]
    """[items] number of the event before which the item was announced and shown, from 1. 0: never."""
    dirty: Marks


class Interests(NamedTuple):
    """A row for each user: the tags of the user's items."""

    tag: Annotated[Int32, Column(USER_TAGS, holds="tags")]
    """[users, USER_TAGS] the tags."""
    weight: Annotated[Float32, Column(USER_TAGS, beside="tag")]
    """[users, USER_TAGS] how often each, decayed by event."""
    dirty: Marks


class ContentState(NamedTuple):
    """Tags, the tags of items, and the interests of users."""

    tags: Annotated[Tags, Rows("tags", key="tags")]
    items: Annotated[ItemTags, Rows("items", key="item_tags", once="tags")]
    users: Annotated[Interests, Rows("users", key="interests", once="tags")]
    newest: Annotated[Int32, Stored(NEWEST, holds="items")]
    """[NEWEST] the items announced last, the newest first."""
    log_rate: Annotated[Float64, Stored(1, key="worth")]
    """[1] as `Tags.log_rate`, of all items that have tags."""
    user_weight: Annotated[Float32, Scratch("tags")]
    """[tags] the weight of each tag for the present user; zero except while columns are filled."""
    column: Annotated[int, Argument("column")]


@kernel
def is_inactive(shared: Shared) -> bool:
    """Say whether no item has had tags so far."""
    return shared.counters[TAG_ROWS] <= 1


@kernel
def propose(content: ContentState, shared: Shared, user: int) -> None:
    """Add the newest items, and new and popular ones of the user's strongest tags."""
    if is_inactive(shared):
        return
    candidates, items = shared.candidates, shared.items
    candidate_set.add(candidates, items, content.newest, filled(content.newest))
    tags, weights = content.users.tag[user], content.users.weight[user]
    count = filled(tags)
    bound, last = np.float32(np.inf), -1
    for _ in range(min(STRONGEST_TAGS, count)):
        # The strongest tag below the one before. Ties go to the first.
        best = -1
        for k in range(count):
            follows = weights[k] < bound or (weights[k] == bound and k > last)
            if follows and (best < 0 or weights[k] > weights[best]):
                best = k
        bound, last = weights[best], best
        newest, popular = content.tags.newest[tags[best]], content.tags.popular[tags[best]]
        candidate_set.add(candidates, items, newest, filled(newest))
        candidate_set.add(candidates, items, popular, filled(popular))


@kernel
def score(content: ContentState, shared: Shared, user: int) -> None:
    """Fill the columns, or mark them as inactive."""
    candidates, counters, first = shared.candidates, shared.counters, content.column
    inactive = is_inactive(shared)
    candidates.inactive[first : first + COLUMNS] = inactive
    if inactive:
        return
    user_weight, interests = content.user_weight, content.users
    count = filled(interests.tag[user])
    squares = np.float32(0.0)
    for k in range(count):
        tag = interests.tag[user, k]
        rarity = np.log2(1.0 + counters[TAGGED] / max(content.tags.carriers[tag], 1))
        user_weight[tag] = interests.weight[user, k] * np.float32(rarity)
        squares += user_weight[tag] * user_weight[tag]
    part = np.float32(1.0) / np.sqrt(squares) if squares > 0 else np.float32(0.0)
    interest, lift = candidates.column[first], candidates.column[first + 1]
    newness, interest_in_new = candidates.column[first + 2], candidates.column[first + 3]
    for s in range(candidates.size[0]):
        item = candidates.item[s]
        tags = content.items.tag[item]
        wanted, log_lift, size = np.float32(0.0), 0.0, 0
        while size < tags.shape[0] and tags[size] > 0:
            wanted += user_weight[tags[size]]
            log_lift += content.tags.log_rate[tags[size]] - content.log_rate[0]
            size += 1
        interest[s] = wanted * part / np.sqrt(np.float32(max(size, 1)))
        lift[s] = min(max(log_lift / max(size, 1), -LARGEST_LIFT), LARGEST_LIFT)
        newness[s] = shared.items.newness[item]
        interest_in_new[s] = newness[s] * interest[s]
    for k in range(count):
        user_weight[interests.tag[user, k]] = 0.0


@kernel
def learn(content: ContentState, shared: Shared, event: Event) -> None:
    """Add an item's tags to the user's interest, and the interaction to the popularity of the tags."""
    item = event.item
    size = filled(content.items.tag[item])
    if size > 0:
        decay_interests(content.users, event.user)
        gain = np.float32(event.reward) / np.sqrt(np.float32(size))
        for k in range(size):
            add_interest(content.users, event.user, content.items.tag[item, k], gain)
    count(content, shared, event, shared.users.recent[event.user])


@kernel
def count(content: ContentState, shared: Shared, event: Event, recent: Int32) -> None:
    """Add an interaction to the popularity of the item's tags. The item is less new."""
    newness, counters, item = shared.items.newness, shared.counters, event.item
    newness[item] /= np.float32(1.0) + newness[item]
    size = filled(content.items.tag[item])
    if size == 0:
        return
    added = np.log2(event.reward) + event.number * POPULARITY_DECAY
    content.log_rate[0] = sum_of_levels(content.log_rate[0], added - np.log2(counters[TAGGED]))
    tags = content.tags
    for k in range(size):
        tag = content.items.tag[item, k]
        tags.dirty[tag] = 1
        tags.last_used[tag] = event.number + counters[ANNOUNCED]
        tags.log_rate[tag] = sum_of_levels(tags.log_rate[tag], added - np.log2(tags.carriers[tag]))
        count_popular(tags, tag, item, added)


@kernel
def take_back(content: ContentState, shared: Shared, undone: Undone) -> None:
    """Take an interaction from the popularity of the item's tags and from the user's interest in them."""
    items, item = shared.items, undone.item
    count = filled(content.items.tag[item])
    if items.newness[item] > 0.0:
        items.newness[item] = np.float32(1.0) / max(np.rint(np.float32(1.0) / items.newness[item]) - 1.0, 1.0)
    elif undone.is_last and count > 0:
        items.newness[item] = 1.0  # as if it had been announced before anybody touched it
    if count == 0 or undone.place < 0:
        return
    lose_interest(content, shared, undone, count)
    tags = content.tags
    taken = np.log2(undone.reward) + undone.number * POPULARITY_DECAY
    content.log_rate[0] = less(content.log_rate[0], taken - np.log2(shared.counters[TAGGED]))
    for k in range(count):
        tag = content.items.tag[item, k]
        tags.dirty[tag] = 1
        tags.log_rate[tag] = less(tags.log_rate[tag], taken - np.log2(max(tags.carriers[tag], 1)))
        lose_popular(tags, tag, item, taken, undone.is_last)


@kernel
def lose_interest(content: ContentState, shared: Shared, undone: Undone, count: int) -> None:
    """Take an interaction with an item of `count` tags from the user's interests.

    Those from before it fade once less, and those after it stay. An interest without weight goes.
    """
    users, book, user = content.users, shared.ledger, undone.user
    tags, weights = users.tag[user], users.weight[user]
    users.dirty[user] = 1
    kept = 0
    for k in range(filled(tags)):
        later, fade = np.float32(0.0), np.float32(1.0)
        for place in range(undone.place):
            other = content.items.tag[book.item[user, place]]
            if book.reward[user, place] > 0.0 and other[0] > 0:
                if holds(other, tags[k]):
                    later += fade * book.reward[user, place] / np.sqrt(np.float32(filled(other)))
                fade *= INTEREST_DECAY
        own = np.float32(0.0)
        if holds(content.items.tag[undone.item], tags[k]):
            own = fade * np.float32(undone.reward) / np.sqrt(np.float32(count))
        weight = later + (weights[k] - later - own) / INTEREST_DECAY
        if weight >= max(SMALLEST_INTEREST, SMALLEST_LEFT * own):
            tags[kept], weights[kept] = tags[k], weight
            kept += 1
    tags[kept:] = 0
    weights[kept:] = 0.0


@kernel
def lose_popular(tags: Tags, tag: int, item: int, taken: float, leaves: bool) -> None:
    """Take an interaction with an item from the popular items of its tag."""
    popular, level = tags.popular[tag], tags.level[tag]
    kept = 0
    for k in range(filled(popular)):
        if popular[k] == item and leaves:
            continue
        own = less(level[k], taken) if popular[k] == item else level[k]
        popular[kept], level[kept] = popular[k], own
        kept += 1
    popular[kept:] = 0
    level[kept:] = 0.0


@kernel
def sum_of_levels(a: float, b: float) -> float:
    """Return log2(2^a + 2^b)."""
    higher, lower = max(a, b), min(a, b)
    return higher + np.log2(1.0 + 2.0 ** (lower - higher))


@kernel
def decay_interests(users: Interests, user: int) -> None:
    """Decay all interests of a user, and drop those below `SMALLEST_INTEREST`."""
    users.dirty[user] = 1
    tags, weights = users.tag[user], users.weight[user]
    kept = 0
    for k in range(filled(tags)):
        weight = weights[k] * INTEREST_DECAY
        if weight >= SMALLEST_INTEREST:
            tags[kept], weights[kept] = tags[k], weight
            kept += 1
    tags[kept:] = 0
    weights[kept:] = 0.0


@kernel
def add_interest(users: Interests, user: int, tag: int, gain: np.float32) -> None:
    """Add to a user's interest in a tag. A full row drops its weakest entry."""
    tags, weights = users.tag[user], users.weight[user]
    count = filled(tags)
    for k in range(count):
        if tags[k] == tag:
            weights[k] += gain
            return
    place = count if count < tags.shape[0] else np.argmin(weights)
    tags[place], weights[place] = tag, gain


@kernel
def count_popular(tags: Tags, tag: int, item: int, added: float) -> None:
    """Count an interaction with an item in the row of popular items of its tag."""
    popular, level = tags.popular[tag], tags.level[tag]
    count = filled(popular)
    for k in range(count):
        if popular[k] == item:
            level[k] = sum_of_levels(level[k], added)
            return
    place = count if count < popular.shape[0] else np.argmin(level)
    if place == count or added >= level[place]:
        popular[place], level[place] = item, added


@kernel
def describe(content: ContentState, shared: Shared, item: int, tags: Int32) -> None:
    """Replace the tags of an item by `tags` [n]."""
    items, counters, of_tags = shared.items, shared.counters, content.tags
    own = content.items.tag[item]
    content.items.dirty[item] = 1
    counters[TAGGED] += np.int64(tags.shape[0] > 0) - np.int64(own[0] > 0)
    for k in range(filled(own)):
        if not holds(tags, own[k]):
            of_tags.carriers[own[k]] -= 1
            remove(of_tags, own[k], item)
    for k in range(tags.shape[0]):
        tag = tags[k]
        of_tags.dirty[tag] = 1
        of_tags.last_used[tag] = counters[EVENTS] + counters[ANNOUNCED]
        if not holds(own, tag):
            of_tags.carriers[tag] += 1
            if of_tags.log_rate[tag] == 0.0:
                of_tags.log_rate[tag] = content.log_rate[0]
            if items.newness[item] > 0.0 and content.items.announced[item] > 0:
                push_front(of_tags.newest[tag], item)
    own[:] = 0
    for k in range(tags.shape[0]):
        own[k] = tags[k]
    if items.hidden[item] == 0:
        show(content, shared, item)


@kernel
def show(content: ContentState, shared: Shared, item: int) -> None:
    """Put an item that was announced before its first interaction in front of the newest items, once."""
    if shared.items.newness[item] == 0.0 or content.items.announced[item] > 0:
        return
    content.items.announced[item] = shared.counters[EVENTS] + 1
    content.items.dirty[item] = 1
    push_front(content.newest, item)
    for k in range(filled(content.items.tag[item])):
        tag = content.items.tag[item, k]
        content.tags.dirty[tag] = 1
        push_front(content.tags.newest[tag], item)


@kernel
def push_front(row: Int32, item: int) -> None:
    """Put an item in front of a row. A full row drops its last entry."""
    for k in range(row.shape[0] - 1, 0, -1):
        row[k] = row[k - 1]
    row[0] = item


@kernel
def remove(tags: Tags, tag: int, item: int) -> None:
    """Remove an item from the rows of a tag."""
    tags.dirty[tag] = 1
    newest, popular, level = tags.newest[tag], tags.popular[tag], tags.level[tag]
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
def drop_items(content: ContentState, shared: Shared, gone: Marks) -> None:
    """Remove items [items] from the counts of carriers."""
    for item in range(gone.shape[0]):
        if gone[item] > 0:
            own = content.items.tag[item]
            shared.counters[TAGGED] -= np.int64(own[0] > 0)
            for k in range(filled(own)):
                content.tags.carriers[own[k]] -= 1
                content.tags.dirty[own[k]] = 1


@kernel
def drop_tags(content: ContentState, shared: Shared, gone: Marks) -> None:
    """Uncount the items whose tags are all `gone` [tags]."""
    for item in range(1, shared.counters[ITEM_ROWS]):
        own, left = content.items.tag[item], 0
        for k in range(filled(own)):
            left += gone[own[k]] == 0
        shared.counters[TAGGED] -= np.int64(own[0] > 0 and left == 0)


@kernel
def filled(row: Int32) -> int:
    """Return the number of entries of a row, which has no gap."""
    count = 0
    while count < row.shape[0] and row[count] > 0:
        count += 1
    return count


@kernel
def holds(row: Int32, wanted: int) -> bool:
    """Say whether a row contains `wanted`."""
    found = False
    for k in range(row.shape[0]):
        found |= row[k] == wanted
    return found


def check(content: ContentState, shared: Shared, live: Mapping[str, set[int]]) -> None:
    """Raise AssertionError unless items and rows of tags agree, and all interests are above 0."""
    carried = {item: set(content.items.tag[item].tolist()) - {0} for item in live["items"]}
    assert shared.counters[TAGGED] == sum(map(bool, carried.values()))
    for tag in live["tags"]:
        carriers = {item for item, tags in carried.items() if tag in tags}
        assert content.tags.carriers[tag] == len(carriers)
        assert set(content.tags.newest[tag].tolist()) - {0} <= carriers
        assert set(content.tags.popular[tag].tolist()) - {0} <= carriers
    for user in live["users"]:
        assert (content.users.weight[user][content.users.tag[user] > 0] > 0.0).all()
    assert not content.user_weight.any()


MEMBER: Final = Member(
    name="content",
    state=ContentState,
    columns=("tags of interest", "tags that are popular", "new", "new and of interest"),
    says="fit of the item's tags, popularity of such items, newness: [content.md](content.md)",
    offers="new items, and items with the user's tags",
    propose=propose,
    score=score,
    learn=learn,
    count=count,
    take_back=take_back,
    describe=describe,
    show=show,
    drop_items=drop_items,
    drop_tags=drop_tags,
    check=check,
)
COLUMNS: Final = len(MEMBER.columns)
