"""What a run says when the engine itself fails."""

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource

from flows.engine import run_flow
from flows.errors import JobError

FULL_DISK = (
    "(src/run.rs:167:13) called `Result::unwrap()` on an `Err` value: SqliteFailure(Error { code: SystemIoFailure,"
    ' extended_code: 778 }, Some("disk I/O error"))'
)
"""What the engine raised on a disk that was full."""


@pytest.mark.parametrize(("text", "kind"), [(FULL_DISK, JobError), ("another fault", RuntimeError)])
def test_a_fault_of_the_engines_database_says_what_to_do(text: str, kind: type[Exception]) -> None:
    def fails(number: int) -> int:
        raise RuntimeError(text)

    flow = Dataflow("flow")
    op.output("out", op.map("fails", op.input("in", flow, TestingSource([1])), fails), TestingSink(list[int]()))
    with pytest.raises(kind, match="disk I/O error. Make room" if kind is JobError else text):
        run_flow(flow, None, 0.0)
