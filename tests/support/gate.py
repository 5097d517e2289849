"""Runs `freshrank` in a process that waits at a given event until a test lets it go on.

    python -m tests.support.gate 1500 replay LOG --out lists.jsonl

is such a process in an interpreter of its own. `start_gated` starts it as a fork: see `tests.support.forks`.

A test that needs a job in the midst of its work waits for the job, and need not be quicker than it. The gate is before
the batch that holds the event is learned. There the process writes a line to its standard output and reads one from
its standard input. Its other threads go on: signals are handled, and Kafka's clients deliver.
"""

import os
import sys
from typing import Any

from flows import cli
from flows.steps.learn import Learner
from tests.support.forks import Process, start


def start_gated(event: int, *arguments: object, **variables: object) -> Process:
    """Start a command, and wait until it is at the event, counted from 1.

    `process.communicate()` or `let_go` opens the gate, and `process.kill()` ends the process at it.
    """
    env = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    process = start(*arguments, env=env, gate=event)
    assert process.stdout is not None
    assert process.stdout.readline() == f"at event {event}\n", process.communicate()[1]
    return process


def let_go(process: Process) -> None:
    """Let a process go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def kill(process: Process) -> None:
    """End a process at once, wherever it is."""
    process.kill()
    process.communicate()


def put_gate(event: int) -> None:
    """Make this process wait before it learns the event."""
    learn, learned = Learner.process, 0

    def process(learner: Learner, batch: list[Any]) -> list[Any]:
        nonlocal learned
        if learned < event <= learned + len(batch):
            os.write(1, f"at event {event}\n".encode())
            sys.stdin.readline()
        learned += len(batch)
        return learn(learner, batch)

    Learner.process = process  # type: ignore[method-assign]


if __name__ == "__main__":
    put_gate(int(sys.argv[1]))
    sys.argv[:2] = ["freshrank"]
    cli.main()
