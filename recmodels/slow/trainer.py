"""Trainers: who turns the work of the slow member into weights."""

import importlib
from importlib.util import find_spec
from typing import Protocol

from recmodels.slow.options import NO_JAX, SlowOptions
from recmodels.slow.work import Trained, Work


class UntrainableError(RuntimeError):
    """Weights are to be trained, and JAX is not installed."""


def has_jax() -> bool:
    """Say whether JAX is installed. Only trainings need it."""
    return find_spec("jax") is not None


class Trainer(Protocol):
    """Trains the weights of the slow member.

    Attributes:
        failures: Number of trainings that broke off.
    """

    failures: int

    def can_begin(self) -> bool:
        """Say whether a training can begin here. If not, it is put off, and the weights in use stay.

        Raises:
            UntrainableError: JAX is not installed, and the events wait for trainings.
        """

    def begin(self, work: Work, options: SlowOptions) -> None:
        """Begin a training. One that is at work already with the same data goes on."""

    def result(self, digest: int) -> Trained | None:
        """Return the weights of the work with this digest once they are there. None: not yet."""

    def is_at_work(self, digest: int) -> bool:
        """Say whether the weights of the work with this digest will be there sometime."""


def short(digest: bytes) -> int:
    """Return the first 8 bytes of a digest as a number above 0."""
    return int.from_bytes(digest[:8], "little") >> 1 or 1


class AtOnce:
    """Trains in this process, and makes the events wait. So a replay is the same each time."""

    def __init__(self) -> None:
        self.failures = 0
        self._done: dict[int, Trained] = {}

    def can_begin(self) -> bool:
        """Return True, or raise: without the training the lists would be others."""
        if not has_jax():
            raise UntrainableError(NO_JAX)
        return True

    def begin(self, work: Work, options: SlowOptions) -> None:
        """Train."""
        training = importlib.import_module("recmodels.slow.training")
        self._done = {short(work.digest()): training.train(work, options)}

    def result(self, digest: int) -> Trained | None:
        """Return the weights of the last training."""
        return self._done.pop(digest, None)

    def is_at_work(self, digest: int) -> bool:
        """Say whether it is the last training."""
        return digest in self._done
