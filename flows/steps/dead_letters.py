"""Dead letters: the step that sends rejects to a sink of their own."""

from collections.abc import Callable
from typing import TypeVar

import bytewax.operators as op
from bytewax.dataflow import Stream, operator
from bytewax.outputs import Sink

from flows.messages import Rejected
from flows.monitoring.counters import Counters

X = TypeVar("X")


@operator
def dead_letters(
    step_id: str,
    up: Stream[Rejected],
    counters: Counters,
    encode: Callable[[Rejected], X],
    sink: Sink[tuple[str, X]],
) -> None:
    """Count every reject by its reason and hand it to the sink in the sink's form."""

    def encode_batch(batch: list[Rejected]) -> list[tuple[str, X]]:
        counters.rejected.update(str(rejected.reason) for rejected in batch)
        return [(rejected.source, encode(rejected)) for rejected in batch]

    op.output("sink", op.flat_map_batch("encode", up, encode_batch), sink)
