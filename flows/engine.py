"""Runs a flow on the engine, with or without a recovery directory."""

from datetime import timedelta

from bytewax.dataflow import Dataflow
from bytewax.testing import run_main

from flows.state.recovery import Recovery


def run_flow(flow: Dataflow, recovery: Recovery | None, epoch_seconds: float) -> None:
    """Run a flow to its end in this thread.

    Raises:
        Exception: What a step raised, as it was raised.
    """
    try:
        run_main(
            flow,
            epoch_interval=timedelta(seconds=epoch_seconds),
            recovery_config=None if recovery is None else recovery.config,
        )
    except RuntimeError as error:
        raise first_cause(error) from error


def first_cause(error: BaseException) -> BaseException:
    """Return the exception of a step from the engine's wrapping exception."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
