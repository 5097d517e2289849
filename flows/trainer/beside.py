"""Starts the trainer's process for each work, and looks for the weights that it leaves."""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from flows.trainer.files import WorkFiles
from flows.trainer.limits import Limits
from recmodels.base import Recommender
from recmodels.fused.slow_member import SlowMember
from recmodels.slow.options import NO_JAX, SlowOptions
from recmodels.slow.trainer import has_jax, short
from recmodels.slow.work import Trained, Work

logger = logging.getLogger(__name__)

MOST_TRIES: Final = 3
"""Number of times that a work is begun. A process that dies each time will not finish it."""
LOOK_SECONDS: Final = 0.05
"""Time between two looks for weights."""


class Beside:
    """A trainer in a process of its own (`recmodels.slow.trainer.Trainer`).

    Args:
        directory: Directory of the files. A job that resumes finds there what was trained meanwhile.
        limits: Limits of the process.

    Attributes:
        failures: Number of processes that died without weights.
    """

    def __init__(self, directory: Path, limits: Limits) -> None:
        self.files = WorkFiles(directory)
        self.limits = limits
        self.failures = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._digest = 0
        self._tries = 0
        self._looked = 0.0

    @property
    def pid(self) -> int | None:
        """Number of the process at work. None: there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def can_begin(self) -> bool:
        """Say whether JAX is installed. Without it the job serves the weights that it has."""
        if has_jax():
            return True
        self.failures += 1
        logger.warning("the weights in use stay: %s", NO_JAX)
        return False

    def begin(self, work: Work, options: SlowOptions) -> None:
        """Write the work, and start a process for it unless its weights are there."""
        digest = short(work.digest())
        self.stop()
        self.files.write_work(work, options, digest)
        self._digest, self._tries = digest, 0
        if not self.files.is_done(digest):
            self._start()

    def result(self, digest: int) -> Trained | None:
        """Return the weights of a work once they are complete."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        if not self.files.is_done(digest):
            return None
        trained = self.files.read_weights(digest)
        if trained is None:
            logger.warning("%s: the weights are damaged; they are trained anew", self.files.path("weights", digest))
            self.files.drop_weights(digest)
        return trained

    def is_at_work(self, digest: int) -> bool:
        """Say whether a work is done or in progress. One whose process died is begun again, up to three times."""
        if self.pid is not None or self.files.is_done(digest):
            return True
        if self._process is not None:
            self.failures += 1
            logger.warning("the trainer ended with status %s and without weights", self._process.returncode)
            self._process = None
        if self._digest != digest:  # the job was killed, and perhaps its trainer, too
            self._digest, self._tries = digest, 0
        if self._tries >= MOST_TRIES or not self.files.path("work", digest).exists():
            return False
        self._start()
        return True

    def stop(self) -> None:
        """End the process at work. Its work is begun again when the job resumes."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        self._tries += 1
        said = msgspec.json.encode(self.limits).decode()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.trainer.process", str(self.files.directory), str(self._digest), said],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the job
        )


class Trainers:
    """The trainers of a job: one for each model with a slow member.

    Args:
        recovery: Recovery directory of the job. None: the files last as long as the job.
        limits: Limits of each process.

    Attributes:
        members: The slow members, by the number of their model.
    """

    def __init__(self, recovery: Path | None, limits: Limits) -> None:
        self.limits = limits
        self.members: dict[int, SlowMember] = {}
        self._directory = None if recovery is None else recovery / "trainer"
        self._scratch: TemporaryDirectory[str] | None = None

    def prepare(self, model: Recommender, slot: int) -> None:
        """Have the slow member of a model, if it has one, trained beside the job."""
        member: SlowMember | None = getattr(model.unwrapped, "slow_member", None)
        if member is None:
            return
        if self._directory is None:
            self._scratch = TemporaryDirectory(prefix="freshrank-trainer-", ignore_cleanup_errors=True)
            self._directory = Path(self._scratch.name)
        member.trainer = Beside(self._directory / str(slot), self.limits)
        self.members[slot] = member

    def figures(self) -> dict[str, float]:
        """Return the figures of the champion's slow member, or of the challenger's where the champion has none."""
        members = dict(self.members)
        return members[min(members)].figures() if members else {}

    def stop(self) -> None:
        """End all processes."""
        for member in self.members.values():
            if isinstance(member.trainer, Beside):
                member.trainer.stop()
        if self._scratch is not None:
            self._scratch.cleanup()


@contextmanager
def trainers_of(recovery: Path | None, limits: Limits) -> Iterator[Trainers]:
    """Yield the trainers of a job, and end their processes with it."""
    trainers = Trainers(recovery, limits)
    try:
        yield trainers
    finally:
        trainers.stop()
