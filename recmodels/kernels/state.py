"""What a fused model remembers: one named tuple of arrays per table, and one of them all.

`U` users, `I` items, `R` entries of a co-visitation row, `H` half-lives, `K` factors.
"""

from itertools import accumulate
from typing import Annotated, Final, NamedTuple

from recmodels.kernels.candidates import CONTENT, HALF_LIVES, OTHER_NAMES
from recmodels.kernels.layout import Argument, Column, Float32, Float64, Int32, Marks, Rows, Stored
from recmodels.kernels.member import Member
from recmodels.kernels.members import content
from recmodels.kernels.members.content import Content
from recmodels.kernels.shared import Shared

TOP: Final = 100
"""Items that each half-life of popularity proposes."""


class Popularity(NamedTuple):
    """A row for each item, and for each half-life the most popular items."""

    level: Annotated[Float64, Column(HALF_LIVES)]
    """[I, H] log2 of the decayed count, plus the time of decay: what does not change until the item is touched."""
    rank: Annotated[Int32, Column(HALF_LIVES)]
    """[I, H] the item's place among the top items, from 1; 0: not among them."""
    dirty: Marks
    top: Annotated[Int32, Stored(HALF_LIVES, TOP, holds="items")]
    """[H, TOP] the items of the highest level, in falling order."""
    size: Annotated[Int32, Stored(HALF_LIVES)]
    """[H] how many items `top` holds."""
    decay: Annotated[Float64, Argument("decay")]
    """[H] 1 / half-life, in events or seconds; 0: never decays."""
    clock: Annotated[Float64, Stored(1)]
    """[1] Unix seconds of the newest interaction that speaks for an item, 0 at first."""


class Covisitation(NamedTuple):
    """A row for each item: which items followed it."""

    item: Annotated[Int32, Column("row_length", holds="items")]
    """[I, R] the followers."""
    weight: Annotated[Float32, Column("row_length", beside="item")]
    """[I, R] how often each followed, decayed by distance."""
    size: Annotated[Int32, Column()]
    """[I] how many entries the row holds."""
    total: Annotated[Float32, Column()]
    """[I] sum of all weights ever added, including those of entries that had to go."""
    dirty: Marks


class ItemFactors(NamedTuple):
    """A row for each item: its factors as a candidate (out) and as part of a history (in)."""

    out: Annotated[Float32, Column("n_factors")]
    """[I, K]"""
    bias: Annotated[Float32, Column()]
    """[I]"""
    history: Annotated[Float32, Column("n_factors")]
    """[I, K]"""
    step_out: Annotated[Float32, Column()]
    """[I] sum of squared gradients of `out`, as AdaGrad needs it; likewise the next two."""
    step_bias: Annotated[Float32, Column()]
    step_history: Annotated[Float32, Column()]
    dirty: Marks


class UserFactors(NamedTuple):
    """A row for each user."""

    own: Annotated[Float32, Column("n_factors")]
    """[U, K]"""
    step: Annotated[Float32, Column()]
    """[U] sum of squared gradients, as AdaGrad needs it."""
    dirty: Marks


class Weights(NamedTuple):
    """How much each column counts, by context."""

    weight: Annotated[Float64, Stored("contexts", "columns")]
    """[contexts, M]"""
    step: Annotated[Float64, Stored("contexts", "columns")]
    """[contexts, M] sum of squared gradients, as AdaGrad needs it."""


class Calibration(NamedTuple):
    """How shares of the softmax become probabilities, by length of history."""

    line: Annotated[Float64, Stored("lengths", 2, first=(1.0, 0.0))]
    """[lengths, 2] slope and offset."""
    step: Annotated[Float64, Stored("lengths", 2, key="line_step")]
    """[lengths, 2] sum of squared gradients, as AdaGrad needs it."""


class State(NamedTuple):
    """Everything a kernel works on."""

    shared: Shared
    popularity: Annotated[Popularity, Rows("items", key="popularity")]
    covisitation: Annotated[Covisitation, Rows("items", key="covisitation")]
    item_factors: Annotated[ItemFactors, Rows("items", key="item_factors")]
    user_factors: Annotated[UserFactors, Rows("users", key="user_factors")]
    content: Content
    weights: Weights
    calibration: Calibration


MEMBERS: Final[tuple[Member, ...]] = (content.MEMBER,)
"""The members in the order of their columns, which is that of the stored weights: a new one comes last."""
COLUMN_NAMES: Final = (*OTHER_NAMES, *(name for member in MEMBERS for name in member.columns))
"""What a person reads."""
COLUMNS: Final = len(COLUMN_NAMES)
"""Columns that the kernels fill. Columns of `recmodels.fused.external_members` follow them."""


def first_columns() -> dict[str, int]:
    """Return the number of each member's first column."""
    ends = accumulate((len(member.columns) for member in MEMBERS), initial=CONTENT)
    return {member.name: first for member, first in zip(MEMBERS, ends, strict=False)}
