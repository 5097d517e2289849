"""Runs a flow on the engine, with or without a recovery directory.

This is the only place that starts the engine. What the job needs of an engine:

- a *source* of several partitions, each with a position that can be stored and resumed
  (`flows.kafka.source`, `flows.files.record_source`);
- a *batch step* that keeps the order of its records, with a state by key (`flows.state.stateful`);
- a *snapshot*: at the end of an epoch, each step and source is asked once for its state, between its records and later
  ones;
- a *commit*: the source is polled again only when the snapshot of the last epoch is durable;
- a *sink* that is asked to flush before the snapshot counts (`flows.kafka.sink`, `flows.files.sinks`);
- a *stop*: a source that raises `StopIteration` ends the flow after one more snapshot.

`tests/job/test_kill_points.py` and `tests/job/test_shards.py` hold the engine to that.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main

from flows.errors import FreshrankError, JobError
from flows.state.recovery import Recovery
from flows.state.stateful import failures_raised_only

PANIC: Final = re.compile(
    rb"(?m)^\n?thread '[^'\n]*' panicked at .*\n"
    rb"(?:Box<dyn Any>\n|stack backtrace:\n| +\d+: .*\n| +at .*\n|note: .*\n|\n)*"
)
"""What Rust prints when a thread panics: a head, perhaps a backtrace, and a note on how to see more."""

DATABASE_FAULT: Final = re.compile(r'SqliteFailure\(.*Some\("([^"]*)"\)')
"""What the engine raises when its database, which is SQLite, fails: a disk that is full, or damaged."""


def run_flow(flow: Dataflow, recovery: Recovery | None, epoch_seconds: float) -> None:
    """Run a flow to its end in this thread. Nothing of a failure is printed here.

    Raises:
        Exception: What a step raised, as it was raised.
        JobError: The engine cannot use its database.
    """
    try:
        with failures_raised_only(), no_panic_text():
            run_main(
                flow,
                epoch_interval=timedelta(seconds=epoch_seconds),
                recovery_config=None if recovery is None else recovery.config,
            )
    except RuntimeError as error:
        cause = first_cause(error)
        if (found := DATABASE_FAULT.search(str(cause))) is not None:
            raise JobError(
                f"expected to read and write the engine's database in the recovery directory; it said: {found[1]}. Make"
                " room, or mend the disk, and start the job again."
            ) from None
        raise cause from None


def resume_only(flow: Dataflow, snapshots: Path) -> None:
    """Let the engine hand its snapshots to a flow that reads nothing. The directory stays as it is.

    Args:
        flow: The flow. Its sources end at once.
        snapshots: The engine's directory.

    Raises:
        OSError: The directory cannot be copied.
        RuntimeError: The engine cannot read it. The cause is that of the engine or of a step.
    """
    with tempfile.TemporaryDirectory() as scratch:  # the engine writes whenever it resumes
        engine = Path(scratch) / "engine"
        shutil.copytree(snapshots, engine)
        try:
            run_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(str(engine)))
        except RuntimeError as error:
            raise first_cause(error) from error


def first_cause(error: BaseException) -> BaseException:
    """Return the exception of a step from the engine's wrapping exception."""
    while error.__cause__ is not None and not isinstance(error, FreshrankError):
        error = error.__cause__
    return error


@contextmanager
def no_panic_text() -> Iterator[None]:
    """Keep the text of a panic of the engine off stderr. The error that caused it is raised all the same.

    The engine makes a `BytewaxRuntimeError` of what a step raised, and panics then. From that moment on, what the
    process writes to stderr is held back. At the end it is written without the panic's text.
    """
    made = BytewaxRuntimeError.__init__
    with tempfile.TemporaryFile() as held:
        stderr: list[int] = []

        def hold_back(error: BytewaxRuntimeError, *arguments: Any) -> None:
            made(error, *arguments)
            if not stderr:
                stderr.append(os.dup(2))
                os.dup2(held.fileno(), 2)

        BytewaxRuntimeError.__init__ = hold_back  # type: ignore[assignment,method-assign]
        try:
            yield
        finally:
            BytewaxRuntimeError.__init__ = made  # type: ignore[method-assign]
            if stderr:
                os.dup2(stderr[0], 2)
                os.close(stderr[0])
                held.seek(0)
                os.write(2, without_panics(held.read()))


def without_panics(text: bytes) -> bytes:
    """Leave out what Rust prints of panics.

    >>> without_panics(b"one\\nthread 'main' panicked at src/run.rs:1:2:\\nBox<dyn Any>\\nnote: see more\\ntwo\\n")
    b'one\\ntwo\\n'
    """
    return PANIC.sub(b"", text)
