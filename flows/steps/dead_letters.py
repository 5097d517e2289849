"""Dead letters: sends rejected records to a sink of their own."""

from collections.abc import Callable
from typing import TypeVar

import bytewax.operators as op
from bytewax.dataflow import Stream, operator
from bytewax.outputs import Sink

from flows.messages import Rejected

X = TypeVar("X")


@operator
def dead_letters(
    step_id: str,
    up: Stream[Rejected],
    encode: Callable[[Rejected], X],
    sink: Sink[tuple[str, X]],
) -> None:
    """Convert every reject to the sink's form and send it. `decode` has counted it.

    Args:
        step_id: Id of the step.
        up: Rejected records.
        encode: Converts a reject to the sink's form.
        sink: Takes the converted rejects.
    """

    def encode_batch(batch: list[Rejected]) -> list[tuple[str, X]]:
        return [(rejected.source, encode(rejected)) for rejected in batch]

    op.output("sink", op.flat_map_batch("encode", up, encode_batch), sink)
