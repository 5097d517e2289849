"""State that all members share: users, items, histories, the candidate set, and the event to learn."""

from typing import Annotated, Final, NamedTuple

from recmodels.kernels.layout import Argument, Column, Float32, Float64, Int32, Int64, Marks, Rows, Scratch, Stored

# Indices of `Shared.counters`.
EVENTS: Final = 0
"""Events learned."""
CELLS: Final = 1
"""Number of history cells in use, including those on the free list."""
FREE_CELL: Final = 2
"""The first cell of the free list, or 0."""
FREE_CELLS: Final = 3
"""Number of cells on the free list."""
ITEM_ROWS: Final = 4
"""Number of rows of items in use, including the reserved one."""
TAG_ROWS: Final = 5
"""Number of rows of tags in use, including the reserved one: 1 until an item has tags."""
ANNOUNCED: Final = 6
"""Number of item events with tags."""
TAGGED: Final = 7
"""Number of items with tags."""
COUNTERS: Final = 8

CANDIDATES: Final = 8192
"""Largest number of candidates of one list."""
CALIBRATED_ITEMS: Final = 10
"""Number of items, from the top of the list, that calibration learns from."""


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
    spare: Annotated[Int32, Column()]
    """[users] first of the cells that are reserved for the user's next items, or 0."""
    dirty: Marks


class Items(NamedTuple):
    """A row for each item."""

    first_seen: Annotated[Int64, Column(is_packed=True)]
    """[items] number of interactions and announcements up to the item's first one, from 1. 0: it has none yet, and is
    in no list."""
    last_used: Annotated[Int64, Column()]
    """[items] number of the last event, for eviction."""
    hidden: Annotated[Marks, Column(is_packed=True)]
    """[items] 1: not available."""
    newness: Annotated[Float32, Column()]
    """[items] 1 / (1 + interactions) of an item that was announced before the first; 0 for any other."""
    standing: Annotated[Int32, Column()]
    """[items] interactions learned and not taken back; 0 where state of version 0.1.0 had the item: not counted."""
    dirty: Marks


class HistoryCells(NamedTuple):
    """A cell for each pair of a user and an item. The cells of a user form a list, the newest first.

    The spare cells of a user and the free ones form lists, too.
    """

    item: Annotated[Int32, Column()]
    """[pairs]"""
    next: Annotated[Int32, Column()]
    """[pairs] the user's next older cell, or 0."""
    amount: Annotated[Float32, Column()]
    """[pairs] sum of the rewards."""
    dirty: Marks


class Ledger(NamedTuple):
    """A row for each user: the last interactions, the newest first, so that one of them can be taken back.

    Its rows have no length in a model that keeps no ledger.
    """

    item: Annotated[Int32, Column("ledger", holds="items", can_repeat=True)]
    """[users, ledger]"""
    kind: Annotated[Int32, Column("ledger", beside="item")]
    """[users, ledger] the type of event, as a number; 0: none was said."""
    reward: Annotated[Float32, Column("ledger", beside="item")]
    """[users, ledger] 0 or more."""
    number: Annotated[Int64, Column("ledger", beside="item")]
    """[users, ledger] number of the event, from 1."""
    time: Annotated[Float64, Column("ledger", beside="item")]
    """[users, ledger] Unix seconds."""
    dirty: Marks


class Changes(NamedTuple):
    """Scratch: how the rows of pairs change when an interaction is taken back."""

    before: Annotated[Int32, Scratch("recent")]
    """[recent] the recent items that an interaction found."""
    after: Annotated[Int32, Scratch("recent")]
    """[recent] those that it would have found without the one that is taken back."""
    gain: Annotated[Float32, Scratch("recent")]
    """[recent] what the interaction adds to the pair with each place."""
    item: Annotated[Int32, Scratch("recent", 2)]
    """[recent, 2] items whose pair with the interaction's item changes, as a flat list."""
    change: Annotated[Float32, Scratch("recent", 2)]
    """[recent, 2] by how much."""


class Journal(NamedTuple):
    """What other shards have to learn of the events since the last delta. Nothing has a length unless it is kept.

    See `recmodels.fused.sharing`.
    """

    size: Annotated[Int64, Scratch(3)]
    """[3] number of interactions, of all events, and of moved items."""
    item: Annotated[Int32, Scratch("journal")]
    """[journal] the item of each interaction."""
    number: Annotated[Int32, Scratch("journal")]
    """[journal] its number among all events since the last delta, from 1."""
    reward: Annotated[Float64, Scratch("journal")]
    """[journal] its reward, above 0."""
    time: Annotated[Float64, Scratch("journal")]
    """[journal] the time at which it is counted, in Unix seconds."""
    recent: Annotated[Int32, Scratch("journal", "recent")]
    """[journal, recent] the recent items that it found."""
    moved: Annotated[Int32, Scratch("journal_items")]
    """[items] the items whose factors have moved, in order."""
    is_moved: Annotated[Marks, Scratch("journal_items")]
    """[items] 1: the item is among them."""
    sent: Annotated[Float64, Stored("sent_numbers", key="sent", first=float("nan"))]
    """[sent_numbers] what the other shards know of the weights. NaN before the first event."""
    share: Annotated[Float64, Scratch("sent_numbers")]
    """[sent_numbers] share of each change of the weights that all shards take over."""
    least: Annotated[Float64, Scratch("sent_numbers")]
    """[sent_numbers] lowest value of each weight."""
    most: Annotated[Float64, Scratch("sent_numbers")]
    """[sent_numbers] highest value of each weight."""
    heard: Annotated[Int32, Scratch("heard", "recent")]
    """[2, recent] the recent items of an interaction in another shard, and those of the next one."""


class Candidates(NamedTuple):
    """Scratch: the candidate set of one user. It is not saved."""

    epoch: Annotated[Int64, Scratch(3)]
    """[3] number of the current set, the user it is valid for (0: for none), and for how many wanted candidates."""
    size: Annotated[Int64, Scratch(3)]
    """[3] the number of candidates, its bound, and the number of them, from the first, that are learned from."""
    item: Annotated[Int32, Scratch(CANDIDATES)]
    """[CANDIDATES] the candidates."""
    column: Annotated[Float32, Scratch("columns", CANDIDATES)]
    """[columns, CANDIDATES] the columns of the members."""
    inactive: Annotated[Marks, Scratch("columns")]
    """[columns] 1: the column is not filled, and must not be read."""
    score: Annotated[Float32, Scratch(CANDIDATES)]
    """[CANDIDATES] the logits."""
    share: Annotated[Float32, Scratch(CANDIDATES)]
    """[CANDIDATES] their softmax."""
    slot: Annotated[Int64, Scratch("items")]
    """[items] the last set that had or excluded the item, times `PLACES`, plus its slot there or `EXCLUDED`."""
    scored: Annotated[Int64, Scratch(1)]
    """[1] the contexts of `score`, as one number from 1. 0: it must be computed."""
    listed: Annotated[Int32, Scratch(CALIBRATED_ITEMS)]
    """[CALIBRATED_ITEMS] slots of the list that calibration learns from."""


class Options(NamedTuple):
    """The arguments of the model that belong to no single member, as numbers."""

    exclude_seen: Annotated[bool, Argument("exclude_seen")]
    learn_weights: Annotated[bool, Argument("learn_weights")]
    use_reranker: Annotated[bool, Argument("use_reranker")]
    needs_shares: Annotated[bool, Argument("needs_shares")]
    """Whether a member learns from the softmax of the candidates' scores."""
    learning_rate: Annotated[float, Argument("learning_rate")]
    """Learning rate of the weights."""
    keeps_journal: Annotated[bool, Argument("keeps_journal")]
    """Whether what other shards have to learn is noted."""
    max_history: Annotated[int, Argument("max_history")]
    """Largest number of history cells of a user."""
    seed: Annotated[int, Argument("seed")]


class Shared(NamedTuple):
    """What every member can read."""

    counters: Annotated[Int64, Stored(COUNTERS)]
    """[COUNTERS]"""
    users: Annotated[Users, Rows("users", key="users")]
    items: Annotated[Items, Rows("items", key="items")]
    history: Annotated[HistoryCells, Rows("pairs", key="history")]
    ledger: Annotated[Ledger, Rows("users", key="ledger")]
    changes: Changes
    journal: Journal
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
    """Number of the interaction, from 1."""
    target: int
    """The item's slot in the user's candidate set, or -1."""
    is_new: bool
    """Whether the item has no earlier interaction and was not announced."""


class Undone(NamedTuple):
    """An interaction that is taken back, while the shared state still has it."""

    user: int
    item: int
    reward: float
    """Above 0."""
    number: int
    """Of the event, from 1; 0 where nobody knows any more."""
    time: float
    """Unix seconds; 0 where nobody knows any more."""
    place: int
    """Where the ledger of the user has it; -1 where it is older than all that the ledger has."""
    is_last: bool
    """No other interaction with the item stands."""
