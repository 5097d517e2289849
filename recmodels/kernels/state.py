"""State of the fused models, and the list of the members."""

from collections.abc import Iterator
from itertools import accumulate
from typing import Annotated, Final, NamedTuple

from recmodels.kernels.layout import Float64, Stored
from recmodels.kernels.member import Member
from recmodels.kernels.members import (
    age,
    content,
    covisitation,
    factorization,
    history,
    popularity,
    predecessors,
    slow,
)
from recmodels.kernels.members.age import AgeState
from recmodels.kernels.members.content import ContentState
from recmodels.kernels.members.covisitation import CovisitationState
from recmodels.kernels.members.factorization import FactorizationState
from recmodels.kernels.members.history import HistoryState
from recmodels.kernels.members.popularity import PopularityState
from recmodels.kernels.members.predecessors import PredecessorsState
from recmodels.kernels.members.slow import SlowState
from recmodels.kernels.newton import Curvature
from recmodels.kernels.reranker import Reranker
from recmodels.kernels.shared import Shared


class Weights(NamedTuple):
    """Weights of the columns, by context."""

    weight: Annotated[Float64, Stored("contexts", "columns")]
    """[contexts, columns]"""
    squares: Annotated[Float64, Stored("contexts", "columns", key="step")]
    """[contexts, columns] AdaGrad's sum of squared gradients."""


class CalibrationState(NamedTuple):
    """Parameters of Platt scaling, by length of history."""

    platt: Annotated[Float64, Stored("lengths", 2, key="line", first=(1.0, 0.0))]
    """[lengths, 2] slope and offset of Platt scaling."""
    squares: Annotated[Float64, Stored("lengths", 2, key="line_step")]
    """[lengths, 2] AdaGrad's sum of squared gradients."""


LEARNED_TOGETHER: Final = (Weights, CalibrationState, Reranker)
"""What all shards learn together, apart from items: the differences of these arrays are summed."""


class State(NamedTuple):
    """The arrays of a model, for the kernels."""

    shared: Shared
    popularity: PopularityState
    covisitation: CovisitationState
    history: HistoryState
    factorization: FactorizationState
    content: ContentState
    predecessors: PredecessorsState
    age: AgeState
    slow: SlowState
    weights: Weights
    curvature: Curvature
    reranker: Reranker
    calibration: CalibrationState


MEMBERS: Final[tuple[Member, ...]] = (
    popularity.MEMBER,
    covisitation.MEMBER,
    history.MEMBER,
    factorization.MEMBER,
    content.MEMBER,
    predecessors.MEMBER,
    age.MEMBER,
)
"""The members in the order of their columns, which is that of the stored weights: a new one comes last."""

ALL_MEMBERS: Final = (*MEMBERS, slow.MEMBER)
"""The members, and the slow one, which a model has only if it is asked for. Without it there is no column for it."""
COLUMNS: Final = sum(len(member.columns) for member in MEMBERS)
"""Number of columns of `MEMBERS`. Those of the slow member and of `recmodels.fused.external_members` follow them."""


def columns_of(name: str) -> range:
    """Return the numbers of a member's columns.

    >>> columns_of("covisitation")
    range(5, 8)
    """
    return dict(_columns())[name]


def _columns() -> Iterator[tuple[str, range]]:
    ends = accumulate((len(member.columns) for member in ALL_MEMBERS), initial=0)
    for member, first in zip(ALL_MEMBERS, ends, strict=False):
        yield member.name, range(first, first + len(member.columns))
