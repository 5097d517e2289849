"""Age: recency and age of an item, and their distance from the user's usual items.

    recency         = log2(1 + events since the item's last positive one, or since it was first seen) / 4
    age             = log2(2 + events since the item was first seen) / 4
    fits age        = -|age - mean age of the user's items|
    fits popularity = -|popularity - mean popularity of the user's items| / 4

The means decay with each event of the user. `popularity` is the column of the longest half-life. An item that was not a
candidate counts as the least popular one.
"""

from typing import Annotated, Final, NamedTuple

import numpy as np

from recmodels.kernels.compile import index, kernel
from recmodels.kernels.layout import Argument, Column, Float32, Int32, Int64, Marks, Rows
from recmodels.kernels.member import Member
from recmodels.kernels.members.popularity import HALF_LIVES
from recmodels.kernels.prefetch import PREFETCH_DISTANCE, prefetch
from recmodels.kernels.shared import ANNOUNCED, EVENTS, Event, Shared

SCALE: Final = np.float32(0.25)
HABIT_DECAY: Final = np.float32(0.95)
"""Share of a user's habit that is left after another event."""
POPULARITY_COLUMN: Final = HALF_LIVES - 1
"""The column of popularity at the longest half-life."""


class Habits(NamedTuple):
    """A row for each user: decayed sums over the user's items."""

    age: Annotated[Float32, Column()]
    """[users] of the column `age`."""
    popularity: Annotated[Float32, Column()]
    """[users] of the column of popularity."""
    weight: Annotated[Float32, Column()]
    """[users] of ones: the divisor of the sums."""
    dirty: Marks


class LastEvents(NamedTuple):
    """A row for each item. An impression or a return does not make an item recent."""

    last: Annotated[Int64, Column(is_packed=True)]
    """[items] number of the last positive event, or 0."""
    dirty: Marks


class AgeState(NamedTuple):
    """Habits of users and the last positive event of items. The first event of an item is shared by all members."""

    users: Annotated[Habits, Rows("users", key="habits")]
    items: Annotated[LastEvents, Rows("items", key="taken")]
    column: Annotated[int, Argument("column")]


@kernel
def log2(x: np.float32) -> np.float32:
    """Return log2 of a number of 1 or more, with an error below 0.0002. Unlike the library's it runs in SIMD lanes.

    The exponent is taken from the bits. A polynomial, exact at 1 and 2, gives the logarithm of the rest.
    """
    bits = np.float32(x).view(np.int32)
    exponent = np.float32((bits >> np.int32(23)) - np.int32(127))
    r = np.int32((bits & np.int32(0x7FFFFF)) | np.int32(0x3F800000)).view(np.float32) - np.float32(1.0)
    power = np.float32(-0.08212962)
    for coefficient in (0.32118673, -0.67778261, 1.43872551):
        power = power * r + np.float32(coefficient)
    return exponent + power * r


@kernel
def score(own: AgeState, shared: Shared, user: int) -> None:
    """Fill the columns."""
    candidates, items, first = shared.candidates, shared.items, own.column
    recency, age = candidates.column[first], candidates.column[first + 1]
    fits_age, fits_popularity = candidates.column[first + 2], candidates.column[first + 3]
    popular, size = candidates.column[POPULARITY_COLUMN], candidates.size[0]
    now = shared.counters[EVENTS] + 2
    begun = now + shared.counters[ANNOUNCED] + 1
    for s in range(size):
        item = index(candidates.item[s])
        if s + PREFETCH_DISTANCE < size:
            prefetch(own.items.last, candidates.item[s + PREFETCH_DISTANCE])
            prefetch(items.first_seen, candidates.item[s + PREFETCH_DISTANCE])
        age[s] = np.float32(begun - items.first_seen[item])
        last = own.items.last[item]
        recency[s] = np.float32(now - last) if last > 0 else age[s]
    for s in range(size):
        recency[s] = SCALE * log2(recency[s])
    for s in range(size):
        age[s] = SCALE * log2(age[s])
    weight = own.users.weight[user]
    if weight > 0:
        part = np.float32(1.0) / weight
        usual_age, usual_popularity = own.users.age[user] * part, own.users.popularity[user] * part
        for s in range(size):
            fits_age[s] = -abs(age[s] - usual_age)
        for s in range(size):
            fits_popularity[s] = -SCALE * abs(popular[s] - usual_popularity)
    else:
        fits_age[:size] = 0.0
        fits_popularity[:size] = 0.0


@kernel
def learn(own: AgeState, shared: Shared, event: Event) -> None:
    """Add the age and the popularity that the item had just before to the user's habit."""
    candidates, habits, user = shared.candidates, own.users, event.user
    popular = candidates.column[POPULARITY_COLUMN]
    age, popularity = np.float32(0.0), np.float32(0.0)
    if not event.is_new:
        since = event.number + 2 + shared.counters[ANNOUNCED] - shared.items.first_seen[event.item]
        age = SCALE * log2(np.float32(since))
    if event.target >= 0:
        popularity = popular[event.target]
    else:
        for s in range(candidates.size[0]):
            popularity = min(popularity, popular[s])
    habits.age[user] = HABIT_DECAY * habits.age[user] + age
    habits.popularity[user] = HABIT_DECAY * habits.popularity[user] + popularity
    habits.weight[user] = HABIT_DECAY * habits.weight[user] + np.float32(1.0)
    habits.dirty[user] = 1
    own.items.last[event.item] = event.number
    own.items.dirty[event.item] = 1


@kernel
def count(own: AgeState, shared: Shared, event: Event, recent: Int32) -> None:
    """Note that an item was taken in another shard."""
    own.items.last[event.item] = event.number
    own.items.dirty[event.item] = 1


MEMBER: Final = Member(
    name="age",
    state=AgeState,
    columns=("recency", "age", "fits the usual age", "fits the usual popularity"),
    says="log2 of the events since the item's last positive one and since its first; how near age and popularity are "
    "to the user's usual ones",
    score=score,
    learn=learn,
    count=count,
)
