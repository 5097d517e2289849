"""Checks of determinism: a model learns the same in every process, with any seed of hashes."""

import atexit
import hashlib
import os
import pickle
import subprocess
import sys
from functools import cache
from typing import IO

from recmodels.base import Recommender
from recmodels.checks.events import Factory, context_of, some_events, steps_of, users_of

HASH_SEEDS = ("1", "2")
"""Values of PYTHONHASHSEED: they change the order in which a set is iterated over."""


def check_lists_are_the_same_in_every_process(make: Factory) -> None:
    """Two equal models give the same lists in two processes with different PYTHONHASHSEED.

    It fails for a model that draws without a seed, and for one that depends on the order of a set. The other processes
    import the model's class, so the class must stand in a module.
    """
    for repeats in ("allow", "exclude"):
        answers = []
        for seed in HASH_SEEDS:  # a model of its own for each: an unseeded one starts from another state
            _send(_process(seed), pickle.dumps(make(repeats=repeats)))
        for seed in HASH_SEEDS:
            answers.append(_receive(_process(seed)))
        assert answers[0] == answers[1], f"two processes differ: {answers[0]} and {answers[1]}"


def lists_of(model: Recommender) -> str:
    """Return a digest of every list that a model gives while it learns, and of the lists of all users at the end."""
    events = some_events(150)
    found = [(step.position, list(step.items), list(step.scores)) for step in steps_of(model, events)]
    last = [model.top(user, 10, context_of(events[-1])) for user in users_of(events)]
    return hashlib.blake2b(repr((found, last)).encode(), digest_size=8).hexdigest()


def answer() -> None:
    """Take pickled models from standard input, one after the other, and write the digest of the lists of each."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a model's own output is not a reply
    while frame := sys.stdin.buffer.read(8):
        record = sys.stdin.buffer.read(int.from_bytes(frame))
        try:
            said = lists_of(pickle.loads(record))
        except Exception as error:
            # Its number makes two failures differ. A class that the process cannot import belongs into a module.
            said = f"{type(error).__name__} in process {os.getpid()}: {error}"
        replies.write(said.replace("\n", " ").encode() + b"\n")
        replies.flush()


@cache
def _process(hash_seed: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", "from recmodels.checks.determinism import answer; answer()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path),
        },
    )
    atexit.register(_end, process)
    return process


def _send(process: "subprocess.Popen[bytes]", record: bytes) -> None:
    pipe = _pipe(process.stdin)
    pipe.write(len(record).to_bytes(8) + record)
    pipe.flush()


def _receive(process: "subprocess.Popen[bytes]") -> str:
    line = _pipe(process.stdout).readline()
    assert line, "the other process ended; its standard error says why"
    return line.decode().strip()


def _end(process: "subprocess.Popen[bytes]") -> None:
    _pipe(process.stdin).close()
    process.wait()
    _pipe(process.stdout).close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
