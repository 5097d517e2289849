"""State that outlives the process: how a stateful step meets the engine and the store.

The engine would pickle a step's whole state at every snapshot. Instead, a step's state lives in files of its own (see
`flows.state.store`), and the engine keeps a pointer into them.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream, StatefulBatchLogic
from numpy.typing import NDArray
from typing_extensions import override

In = TypeVar("In")
Out = TypeVar("Out")
Snapshot: TypeAlias = Mapping[str, NDArray[Any]]
"""State, or a change of it, as named arrays."""
Pointer: TypeAlias = dict[str, int]
"""The end of a state in its store. The engine keeps only this."""

logger = logging.getLogger(__name__)

_are_failures_logged: ContextVar[bool] = ContextVar("_are_failures_logged", default=True)


@contextmanager
def failures_raised_only() -> Iterator[None]:
    """Leave it to the caller to show what a step raises. Otherwise the step logs it, too."""
    token = _are_failures_logged.set(False)
    try:
        yield
    finally:
        _are_failures_logged.reset(token)


class StatefulStep(ABC, Generic[In, Out]):
    """One stateful step: its state, and how it processes events."""

    @abstractmethod
    def process(self, batch: list[In]) -> list[Out]:
        """Process a batch in order, and return the values for the next step."""

    @abstractmethod
    def dump(self) -> Snapshot:
        """Return the whole state."""

    def dump_changes(self) -> Snapshot:
        """Return the rows that changed since the last dump, with absolute values."""
        return self.dump()

    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        """Return a part of the current state. All parts from 0 to the end, with the changes in between, are the whole
        state.

        Args:
            place: Start of the part: 0, or the place that the previous call returned.
            size: Approximate number of bytes.

        Returns:
            The part, and the place after it, 0 at the end. Write the part before the next event is processed. By
            default the part is the whole state.
        """
        return self.dump(), 0

    @abstractmethod
    def load(self, snapshot: Snapshot) -> None:
        """Load a dump of any kind. Later dumps override earlier ones."""


class StateStore(Protocol):
    """Keeps the state of one step of one shard."""

    def save(self, state: StatefulStep[Any, Any]) -> Pointer | None:
        """Make the state durable and return a pointer to its end. None means that nothing has changed yet."""

    def load(self, state: StatefulStep[Any, Any], pointer: Pointer | None) -> None:
        """Bring a fresh state to `pointer`. None means the beginning."""


StoreFor: TypeAlias = Callable[[str], StateStore | None]
"""Opens the store of a step by the step's name. It returns None when no state is stored."""


@operator
def stateful(
    step_id: str, up: KeyedStream[In], build: Callable[[], StatefulStep[In, Out]], store: StoreFor
) -> KeyedStream[Out]:
    """Run a stateful step. Its store is updated at every snapshot of the engine. There is one key, the shard.

    Args:
        step_id: Id of the step. It names stored state.
        up: Values by shard.
        build: Builds the step with an empty state.
        store: Opens the stored state of a step.
    """
    step = ".".join(step_id.split(".")[1:-1])  # flow.step.…, without this operator

    def logic(pointer: Pointer | None) -> _StatefulLogic[In, Out]:
        return _StatefulLogic(build(), store(step), pointer)

    return op.stateful_batch("state", up, logic)


class _StatefulLogic(StatefulBatchLogic[In, Out, Pointer | None]):
    def __init__(self, step: StatefulStep[In, Out], store: StateStore | None, pointer: Pointer | None) -> None:
        self._step = step
        self._store = store
        if store is not None:
            store.load(step, pointer)

    @override
    def on_batch(self, values: list[In]) -> tuple[Iterable[Out], bool]:
        try:
            return self._step.process(values), StatefulBatchLogic.RETAIN
        except Exception:
            if _are_failures_logged.get():  # with several processes the engine loses the text of an exception
                logger.exception("a step failed; the job stops here and can be resumed")
            raise

    @override
    def snapshot(self) -> Pointer | None:
        return None if self._store is None else self._store.save(self._step)
