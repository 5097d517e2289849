"""Stored: the model of a job that is not running, read from its recovery directory, which stays as it is."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream
from bytewax.testing import TestingSource
from typing_extensions import override

from flows.engine import resume_only
from flows.files.sinks import Discard
from flows.messages import Prepared
from flows.monitoring.challenge import Challenge
from flows.monitoring.counters import Counters
from flows.state.job_file import JOB_FORMAT
from flows.state.record_file import ADVICE
from flows.state.recovery import RecoveryError
from flows.state.roles import Roles
from flows.state.stateful import Pointer, StatefulStep, StateStore
from flows.state.store import Store
from flows.steps.challenger import Challenging
from flows.steps.learn import Learner, Learning, learn
from recmodels.base import Recommender
from recmodels.specification import build_model


@dataclass(frozen=True)
class StoredModel:
    """The content of a recovery directory.

    Attributes:
        job: What `job.json` says the state belongs to: `model`, `repeats`, `input`.
        model: The model as the job would resume it.
        challenge: What was measured of the challenger. None: there is none.
        has_challenger: Whether the state holds a challenger that has learned.
    """

    job: dict[str, Any]
    model: Recommender
    challenge: Challenge | None = None
    has_challenger: bool = False


def read_stored(directory: str | Path) -> StoredModel:
    """Read the model out of a recovery directory and change nothing there.

    Args:
        directory: The value of the setting `recovery`. No job may use it, and none can start while it is read.

    Raises:
        RecoveryError: It is no recovery directory, a job is at work on it, or it holds no state yet.
        StoreError: The state is damaged or of another version.
        ValueError: The model cannot be made here.

    >>> import tempfile
    >>> from flows.replay import replay
    >>> from flows.sample import EVENTS
    >>> from flows.settings import Settings
    >>> kept = Settings(model="popularity", recovery=Path(tempfile.mkdtemp()))
    >>> result = replay(EVENTS, kept, limit=500)
    >>> stored = read_stored(kept.recovery)
    >>> stored.job["model"], len(stored.model.top("a stranger"))
    ('popularity', 10)
    """
    directory = Path(directory)
    with undisturbed(directory):
        job = job_of(directory)
        build_model(job["model"], repeats=job["repeats"])  # what is wrong with it is said as it is
        build = partial(build_model, job["model"], repeats=job["repeats"])
        challenge = None
        learning = Learning(build_model=build, top=0, roles=Roles(*job.get("roles", Roles())))
        if job.get("challenger") is not None:
            challenge = Challenge()
            challenge.model, challenge.champion = job["challenger"], job["model"]
            build_challenger = partial(build_model, job["challenger"], repeats=job["repeats"])
            learning = replace(learning, challenging=Challenging(build_model=build_challenger, challenge=challenge))
        store = _Reading(Store(directory / "state" / "learn"))
        try:
            _resume(learning, store, directory / "engine")
        except (OSError, RuntimeError) as error:
            raise RecoveryError(
                f"{directory / 'engine'}: expected the engine's snapshots; they cannot be read: {error}. {ADVICE}"
            ) from None
    if store.learner is None:
        raise RecoveryError(f"{directory}: expected the state of a model; the job has not taken a snapshot yet.")
    challenger = store.learner.challenger
    return StoredModel(job, store.learner.model, challenge, challenger is not None and challenger.is_resumed)


class _Reading(StateStore):
    """Hands a state out and takes none back."""

    def __init__(self, store: Store) -> None:
        self.learner: Learner | None = None
        self._store = store
        self._pointer: Pointer | None = None

    @override
    def load(self, state: StatefulStep[Any, Any], pointer: Pointer | None) -> None:
        if pointer is not None and isinstance(state, Learner):
            self._store.read(state, pointer)
            self.learner, self._pointer = state, pointer

    @override
    def save(self, state: StatefulStep[Any, Any]) -> Pointer | None:
        return self._pointer


def _resume(learning: Learning, store: StateStore, engine: Path) -> None:
    """Let the engine resume the one step that holds the model, with nothing to read: only it knows its files."""
    flow = Dataflow("freshrank")
    nothing: KeyedStream[Prepared] = op.input("nothing", flow, TestingSource([]))
    ranked = learn("learn", nothing, learning, Counters(), lambda step: store)
    op.output("nowhere", ranked, Discard())
    resume_only(flow, engine)


def job_of(directory: Path) -> dict[str, Any]:
    """Return what `job.json` says a recovery directory belongs to.

    Raises:
        RecoveryError: There is none, or it has another format.
    """
    path = directory / "job.json"
    try:
        job = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise RecoveryError(f"{path}: expected what a recovery directory belongs to; {error}.") from None
    if not isinstance(job, dict) or job.get("format") != JOB_FORMAT or not {"model", "repeats"} <= job.keys():
        raise RecoveryError(
            f"{path}: expected the job of a recovery directory of format {JOB_FORMAT}; found "
            f"{job.get('format') if isinstance(job, dict) else job!r}. Use the version of freshrank that wrote it."
        )
    return job


@contextmanager
def undisturbed(directory: Path) -> Iterator[None]:
    """Hold the lock that a job takes, shared among readers: no job runs here, and none starts meanwhile."""
    path = directory / "lock"
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise RecoveryError(
            f"{path}: expected a recovery directory of freshrank; {error.strerror}. Say with --state what `recovery` "
            "was set to when the job ran."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RecoveryError(
            f"{directory}: a job is at work on this recovery directory. Stop it, or read a copy of the directory."
        ) from None
    finally:
        os.close(lock)
