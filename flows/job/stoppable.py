"""A source that ends when it is told to."""

import threading
from datetime import datetime
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from flows.messages import Raw


class Stoppable(FixedPartitionedSource[Raw, Any]):
    """A source around another one, with the same records and positions, that ends when an event is set.

    Args:
        source: The source.
        stop: Ends the flow when it is set.
    """

    def __init__(self, source: FixedPartitionedSource[Raw, Any], stop: threading.Event) -> None:
        self.source = source
        self.stop = stop

    @override
    def list_parts(self) -> list[str]:
        return self.source.list_parts()

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> "_Part":
        return _Part(self.source.build_part(step_id, for_part, resume_state), self.stop)


class _Part(StatefulSourcePartition[Raw, Any]):
    def __init__(self, part: StatefulSourcePartition[Raw, Any], stop: threading.Event) -> None:
        self._part = part
        self._stop = stop

    @override
    def next_batch(self) -> list[Raw]:
        if self._stop.is_set():
            raise StopIteration
        return list(self._part.next_batch())

    @override
    def next_awake(self) -> datetime | None:
        return self._part.next_awake()

    @override
    def snapshot(self) -> Any:
        return self._part.snapshot()

    @override
    def close(self) -> None:
        self._part.close()
