"""State that outlives the process: how a stateful step meets the engine and the store.

The engine would pickle a step's whole state at every snapshot. Instead, a step's state lives in files of its own (see
`flows.state.store`), and the engine keeps a pointer into them.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream, StatefulBatchLogic
from numpy.typing import NDArray
from typing_extensions import override

In = TypeVar("In")
Out = TypeVar("Out")
Record: TypeAlias = Mapping[str, NDArray[Any]]
"""State, or a change of it, as named arrays."""
Pointer: TypeAlias = dict[str, int]
"""Where in a store a state ends: all that the engine keeps of it."""

logger = logging.getLogger(__name__)


class StatefulStep(ABC, Generic[In, Out]):
    """The state of one step for one shard, and what it does with events."""

    @abstractmethod
    def process(self, batch: list[In]) -> list[Out]:
        """Take a batch, in order, and return what goes on to the next step."""

    @abstractmethod
    def dump(self) -> Record:
        """Return the whole state."""

    def dump_changes(self) -> Record:
        """Return what has changed since the last dump of either kind, with absolute values."""
        return self.dump()

    def dump_part(self, place: int, size: int) -> tuple[Record, int]:
        """Return a part of the state as it is now; all parts from 0 to the end, with the changes made meanwhile, are
        the whole state.

        Args:
            place: Where the part begins: 0, or what the call before returned.
            size: Bytes, about.

        Returns:
            The part, to be written before the next event is processed, and the place behind it; 0 at the end. Here
            everything at once.
        """
        return self.dump(), 0

    @abstractmethod
    def load(self, record: Record) -> None:
        """Take over what any of the dumps gave: of two that disagree, the later is right."""


class StateStore(Protocol):
    """Keeps the state of one step of one shard."""

    def save(self, state: StatefulStep[Any, Any]) -> Pointer | None:
        """Make the state durable and return where it ends; None: nothing has happened to it yet."""

    def load(self, state: StatefulStep[Any, Any], pointer: Pointer | None) -> None:
        """Bring a fresh state to where `pointer` says; None: to the beginning."""


StoreFor: TypeAlias = Callable[[str], StateStore | None]
"""Opens the store of a step by the step's name; None if nothing is to be kept."""


@operator
def keep(
    step_id: str, up: KeyedStream[In], build: Callable[[], StatefulStep[In, Out]], store: StoreFor
) -> KeyedStream[Out]:
    """Run a step whose state is in the store whenever the engine takes a snapshot. There is one key: one shard."""
    step = ".".join(step_id.split(".")[1:-1])  # flow.step.…, without this operator

    def logic(pointer: Pointer | None) -> _KeptLogic[In, Out]:
        return _KeptLogic(build(), store(step), pointer)

    return op.stateful_batch("state", up, logic)


class _KeptLogic(StatefulBatchLogic[In, Out, Pointer | None]):
    def __init__(self, kept: StatefulStep[In, Out], store: StateStore | None, pointer: Pointer | None) -> None:
        self._kept = kept
        self._store = store
        if store is not None:
            store.load(kept, pointer)

    @override
    def on_batch(self, values: list[In]) -> tuple[Iterable[Out], bool]:
        try:
            return self._kept.process(values), StatefulBatchLogic.RETAIN
        except Exception:
            # With several processes the engine loses the text of an exception.
            logger.exception("a step failed; the job stops here and can be resumed")
            raise

    @override
    def snapshot(self) -> Pointer | None:
        return None if self._store is None else self._store.save(self._kept)
