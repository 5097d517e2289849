"""What all members share: users, items, histories, the candidate set of the user at hand, and the event to learn."""

from typing import Annotated, Final, NamedTuple

from recmodels.kernels.layout import Argument, Column, Float32, Float64, Int32, Int64, Marks, Rows, Scratch, Stored

# Where the counters stand in `Shared.counters`.
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

CANDIDATES: Final = 8192
"""Most candidates of one list."""
CALIBRATED_ITEMS: Final = 10
"""Items, from the top of the list, that calibration learns from."""


class Users(NamedTuple):
    """A row for each user."""

    recent: Annotated[Int32, Column("recent", holds="items", can_repeat=True)]
    """[users, recent] the user's last items, the newest first."""
    events: Annotated[Int32, Column()]
    """[users] interactions learned."""
    last_time: Annotated[Float64, Column()]
    """[users] Unix seconds of the newest interaction."""
    gap: Annotated[Int32, Column()]
    """[users] context of the time between the last two interactions."""
    last_used: Annotated[Int64, Column()]
    """[users] number of the last event, for eviction."""
    newest: Annotated[Int32, Column()]
    """[users] first cell of the user's history, or 0."""
    dirty: Marks


class Items(NamedTuple):
    """A row for each item."""

    first_seen: Annotated[Int64, Column()]
    """[items] when the item was first interacted with or announced, in interactions and announcements learned, from 1;
    0: not yet, and it is in no list."""
    last_used: Annotated[Int64, Column()]
    """[items] number of the last event, for eviction."""
    hidden: Annotated[Marks, Column()]
    """[items] 1: not available."""
    newness: Annotated[Float32, Column()]
    """[items] 1 / (1 + interactions) of an item that was announced before the first; 0 for any other."""
    dirty: Marks


class History(NamedTuple):
    """A cell for each pair of a user and an item; the cells of a user form a list, the newest first."""

    item: Annotated[Int32, Column()]
    """[pairs]"""
    next: Annotated[Int32, Column()]
    """[pairs] the user's next older cell, or 0."""
    amount: Annotated[Float32, Column()]
    """[pairs] sum of the rewards."""
    dirty: Marks


class Candidates(NamedTuple):
    """Scratch: the candidate set of one user. Not part of what is remembered."""

    epoch: Annotated[Int64, Scratch(3)]
    """[3] number of the current set, the user it is valid for (0: for none), and for how many wanted candidates."""
    size: Annotated[Int64, Scratch(3)]
    """[3] how many candidates there are, how many there may be, and how many of them, from the first, are learned
    from."""
    item: Annotated[Int32, Scratch(CANDIDATES)]
    """[CANDIDATES] the candidates."""
    column: Annotated[Float32, Scratch("columns", CANDIDATES)]
    """[columns, CANDIDATES] what each member says of each candidate."""
    inactive: Annotated[Marks, Scratch("columns")]
    """[columns] 1: the column says nothing at present, and is not to be read."""
    score: Annotated[Float32, Scratch(CANDIDATES)]
    """[CANDIDATES] the logits."""
    share: Annotated[Float32, Scratch(CANDIDATES)]
    """[CANDIDATES] their softmax."""
    slot: Annotated[Int64, Scratch("items")]
    """[items] the set that an item was last in or barred from, times `PLACES`, plus its slot there or `EXCLUDED`."""
    scored: Annotated[Int64, Scratch(1)]
    """[1] the contexts that `score` is for, as one number from 1; 0: it is to be computed."""
    listed: Annotated[Int32, Scratch(CALIBRATED_ITEMS)]
    """[CALIBRATED_ITEMS] places of the list that is learned from."""


class Options(NamedTuple):
    """The arguments of the model that are no single member's, as numbers."""

    exclude_seen: Annotated[bool, Argument("exclude_seen")]
    learn_weights: Annotated[bool, Argument("learn_weights")]
    use_reranker: Annotated[bool, Argument("use_reranker")]
    needs_shares: Annotated[bool, Argument("needs_shares")]
    """A member learns from the softmax of the candidates' scores."""
    learning_rate: Annotated[float, Argument("learning_rate")]
    """Of the weights."""
    max_history: Annotated[int, Argument("max_history")]
    """Cells per user."""
    seed: Annotated[int, Argument("seed")]


class Shared(NamedTuple):
    """What every member can read."""

    counters: Annotated[Int64, Stored(COUNTERS)]
    """[COUNTERS]"""
    users: Annotated[Users, Rows("users", key="users")]
    items: Annotated[Items, Rows("items", key="items")]
    history: Annotated[History, Rows("pairs", key="history")]
    candidates: Candidates
    is_used: Annotated[Marks, Argument("is_used")]
    """[members] 1: the model has the member."""
    options: Options


class Event(NamedTuple):
    """An interaction with a positive reward, as members learn it."""

    user: int
    item: int
    reward: float
    time: float
    """Unix seconds."""
    number: int
    """Of interactions, from 1."""
    target: int
    """The item's place in the user's candidate set, or -1."""
    is_new: bool
    """Nobody has interacted with the item before, and it was not announced."""
