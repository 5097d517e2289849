"""What a fused model remembers: one named tuple of arrays per table, and one of them all.

`U` users, `I` items, `L` recent items of a user, `R` entries of a co-visitation row, `H` half-lives, `K` factors,
`M` columns of the candidate set, those that are filled from outside included, `T` tags, `A` tags of an item, `B` tags
of a user, `N` new and `P` popular items of a tag, `W` new items of all.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Marks = NDArray[np.uint8]

# Where the counters stand in `State.counters`.
EVENTS: Final = 0
"""Events learned."""
CELLS: Final = 1
"""History cells given out so far, those on the free list included."""
FREE_CELL: Final = 2
"""The first cell of the free list, or 0."""
FREE_CELLS: Final = 3
"""How many cells the free list holds."""
ITEM_ROWS: Final = 4
"""Rows of items given out so far, the reserved one included."""
TAG_ROWS: Final = 5
"""Rows of tags given out so far, the reserved one included: 1 until an item has tags."""
ANNOUNCED: Final = 6
"""Item events with tags learned."""
TAGGED: Final = 7
"""Items that have tags."""
COUNTERS: Final = 8


class Users(NamedTuple):
    """A row for each user."""

    recent: Int32
    """[U, L] the user's last items, the newest first."""
    events: Int32
    """[U] interactions learned."""
    last_time: Float64
    """[U] Unix seconds of the newest interaction."""
    gap: Int32
    """[U] context of the time between the last two interactions."""
    last_used: Int64
    """[U] number of the last event, for eviction."""
    newest: Int32
    """[U] first cell of the user's history, or 0."""
    dirty: Marks


class Items(NamedTuple):
    """A row for each item."""

    first_seen: Int64
    """[I] when the item was first interacted with or announced, in interactions and announcements learned, from 1;
    0: not yet, and it is in no list."""
    last_used: Int64
    """[I] number of the last event, for eviction."""
    hidden: Marks
    """[I] 1: not available."""
    newness: Float32
    """[I] 1 / (1 + interactions) of an item that was announced before the first; 0 for any other."""
    dirty: Marks


class History(NamedTuple):
    """A cell for each pair of a user and an item; the cells of a user form a list, the newest first."""

    item: Int32
    """[C]"""
    next: Int32
    """[C] the user's next older cell, or 0."""
    amount: Float32
    """[C] sum of the rewards."""
    dirty: Marks


class Popularity(NamedTuple):
    """A row for each item, and for each half-life the most popular items."""

    level: Float64
    """[I, H] log2 of the decayed count, plus the time of decay: what does not change until the item is touched."""
    rank: Int32
    """[I, H] the item's place among the top items, from 1; 0: not among them."""
    dirty: Marks
    top: Int32
    """[H, T] the items of the highest level, in falling order."""
    size: Int32
    """[H] how many items `top` holds."""
    decay: Float64
    """[H] 1 / half-life, in events or seconds; 0: never decays."""
    clock: Float64
    """[1] Unix seconds of the newest interaction that speaks for an item, 0 at first."""


class Covisitation(NamedTuple):
    """A row for each item: which items followed it."""

    item: Int32
    """[I, R] the followers."""
    weight: Float32
    """[I, R] how often each followed, decayed by distance."""
    size: Int32
    """[I] how many entries the row holds."""
    total: Float32
    """[I] sum of all weights ever added, including those of entries that had to go."""
    dirty: Marks


class ItemFactors(NamedTuple):
    """A row for each item: its factors as a candidate (out) and as part of a history (in)."""

    out: Float32
    """[I, K]"""
    bias: Float32
    """[I]"""
    history: Float32
    """[I, K]"""
    step_out: Float32
    """[I] sum of squared gradients of `out`, as AdaGrad needs it; likewise the next two."""
    step_bias: Float32
    step_history: Float32
    dirty: Marks


class UserFactors(NamedTuple):
    """A row for each user."""

    own: Float32
    """[U, K]"""
    step: Float32
    """[U] sum of squared gradients, as AdaGrad needs it."""
    dirty: Marks


class Tags(NamedTuple):
    """A row for each tag."""

    carriers: Int32
    """[T] items that have the tag."""
    worth: Float64
    """[T] log2 of the decayed count of interactions for each carrier, plus the time of decay."""
    last_used: Int64
    """[T] number of the last event, announcements counted, for eviction."""
    newest: Int32
    """[T, N] the items announced last, the newest first."""
    popular: Int32
    """[T, P] items that were popular lately, in no order."""
    level: Float64
    """[T, P] their popularity, as that of `Popularity`."""
    dirty: Marks


class ItemTags(NamedTuple):
    """A row for each item."""

    tag: Int32
    """[I, A] the item's tags; they have no gap."""
    announced: Int64
    """[I] number of the event before which the item was announced and shown, from 1; 0: never."""
    dirty: Marks


class Interests(NamedTuple):
    """A row for each user: the tags of what the user has had."""

    tag: Int32
    """[U, B] tags; they have no gap."""
    weight: Float32
    """[U, B] how often each, decayed by event."""
    dirty: Marks


class Content(NamedTuple):
    """What is known of items before anybody has touched them, and of whom it concerns."""

    tags: Tags
    items: ItemTags
    users: Interests
    newest: Int32
    """[W] the items announced last, the newest first."""
    worth: Float64
    """[1] as `Tags.worth`, of all items that have tags."""
    wish: Float32
    """[T] scratch, zero but while columns are filled: what the user at hand thinks of each tag."""


class Weights(NamedTuple):
    """How much each column counts, by context."""

    weight: Float64
    """[contexts, M]"""
    step: Float64
    """[contexts, M] sum of squared gradients, as AdaGrad needs it."""


class Calibration(NamedTuple):
    """How shares of the softmax become probabilities, by length of history."""

    line: Float64
    """[lengths, 2] slope and offset."""
    step: Float64
    """[lengths, 2] sum of squared gradients, as AdaGrad needs it."""


class Candidates(NamedTuple):
    """Scratch: the candidate set of one user. Not part of what is remembered."""

    stamp: Int64
    """[3] number of the current set, the user it is valid for (0: for none), and for how many wanted candidates."""
    size: Int64
    """[3] how many candidates there are, how many there may be, and how many of them, from the first, are learned
    from."""
    item: Int32
    """[N] the candidates."""
    column: Float32
    """[M, N] what each member says of each candidate."""
    silent: Marks
    """[M] 1: the column says nothing at present, and is not to be read."""
    score: Float32
    """[N] the logits."""
    share: Float32
    """[N] their softmax."""
    place: Int64
    """[I] the set that an item was last in or barred from, times `PLACES`, plus its place there or `BARRED`."""
    sums: Float32
    """[N, 2] what co-visitation adds up for each candidate."""
    user_vector: Float32
    """[K] the user's factors and those of the recent items together."""
    gradient: Float32
    """[K]"""
    listed: Int32
    """[10] places of the list that is learned from."""


class Options(NamedTuple):
    """The arguments of the model, as numbers."""

    exclude_seen: bool
    use_popularity: bool
    use_covisitation: bool
    use_history: bool
    use_factors: bool
    use_content: bool
    learn_weights: bool
    by_time: bool
    """Half-lives of popularity are in seconds, not in events."""
    learning_rate: float
    """Of the weights."""
    learn_decay: float
    """Co-visitation: how much less each older item of the history learns of the new one."""
    history_decay: float
    """Factorisation: how much less each older item of the history counts."""
    factor_rate: float
    """Factorisation: the learning rate."""
    regularization: float
    max_history: int
    """Cells per user."""
    seed: int


class State(NamedTuple):
    """Everything a kernel works on."""

    counters: Int64
    users: Users
    items: Items
    history: History
    popularity: Popularity
    covisitation: Covisitation
    item_factors: ItemFactors
    user_factors: UserFactors
    content: Content
    weights: Weights
    calibration: Calibration
    candidates: Candidates
    options: Options
