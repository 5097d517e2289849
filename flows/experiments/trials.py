"""The trials of a tuning, kept in a file by Optuna."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
import numpy as np

from flows.errors import UsageError, how_to_install
from flows.experiments.search_space import Space

if TYPE_CHECKING:
    import optuna

STARTUP: Final = 5
"""Trials that are made whole before any is stopped early."""
FIRST_PRUNING_STEP: Final = 3
"""No trial is stopped before this early look: at first a model has learned too little to be judged."""

State: TypeAlias = Literal["finished", "stopped early", "failed"]


@dataclass(frozen=True)
class Trial:
    """One trial: its settings and its result."""

    number: int
    state: State
    settings: dict[str, Any]
    value: float
    """The metric on the first part of the log. A stopped trial has the value of its last look."""


class Study:
    """Trials in a file, so that a stopped study can be resumed.

    The tree-structured Parzen estimator draws the next trial from the results so far (Bergstra et al., NeurIPS 2011). A
    trial is stopped early if its metric is below the median of the others at the same event (Golovin et al., KDD 2017).
    All trials see the same events, so these values are comparable.

    Args:
        path: The file. It is created if it is missing.
        asked: Description of the study (log, space, metric), which must be the same when the study is resumed.
        seed: Seed of the draws.

    Raises:
        UsageError: Optuna is not installed, the file is not this study, or it cannot be written.
    """

    def __init__(self, path: Path, asked: dict[str, Any], seed: int = 0) -> None:
        self.path = path
        self._optuna = _optuna()
        self._seed = seed
        self._lock = threading.Lock()
        self._open: dict[int, optuna.Trial] = {}
        try:
            backend = self._optuna.storages.journal.JournalFileBackend(str(path))
            self._study = self._optuna.create_study(
                storage=self._optuna.storages.JournalStorage(backend),
                study_name="freshrank",
                direction="maximize",
                load_if_exists=True,
                pruner=self._optuna.pruners.MedianPruner(STARTUP, FIRST_PRUNING_STEP),
            )
        except OSError as error:
            raise UsageError(
                f"{path}: expected a file for the study; {error.strerror}. Name another: --study."
            ) from None
        except Exception as error:  # whatever a file that is no journal makes of the reader
            raise UsageError(f"{path}: expected a study of Optuna; {error}. Name another: --study.") from None
        self._check(asked)
        for trial in self._study.get_trials(deepcopy=False, states=[self._optuna.trial.TrialState.RUNNING]):
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)  # its process is gone

    def ask(self, space: Space, most: int) -> tuple[int, dict[str, Any]] | None:
        """Begin a trial. Return its number and settings, or None when there are `most` trials already."""
        with self._lock:
            count = len(self.trials()) + len(self._open)
            if count >= most:
                return None
            # A sampler for each trial: a study that goes on draws as if it had never been stopped.
            state = np.random.SeedSequence([self._seed, count]).generate_state(1)
            self._study.sampler = self._optuna.samplers.TPESampler(seed=int(state[0]), constant_liar=True)
            trial = self._study.ask()
            settings = space.draw(trial)
            trial.set_user_attr("settings", settings)
            self._open[trial.number] = trial
            return trial.number, settings

    def is_poor(self, number: int, step: int, value: float) -> bool:
        """Take an early look at a trial, and say whether to stop it."""
        trial = self._open[number]
        trial.report(value, step)
        return bool(trial.should_prune())

    def end(self, number: int, state: State, value: float | None = None) -> Trial:
        """End a trial."""
        with self._lock:
            trial = self._open.pop(number)
            if state == "failed":
                trial.set_user_attr("failed", True)  # one whose process was killed has none, and is made again
            states = self._optuna.trial.TrialState
            by_state = {"finished": states.COMPLETE, "stopped early": states.PRUNED, "failed": states.FAIL}
            return self._trial(self._study.tell(trial, value, state=by_state[state]))

    def trials(self) -> list[Trial]:
        """Return all trials that have ended, in the order in which they began."""
        return [
            self._trial(trial)
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state.name in ("COMPLETE", "PRUNED") or "failed" in trial.user_attrs
        ]

    def best(self) -> Trial | None:
        """Return the finished trial with the highest value, the first of equals. Return None if no trial has
        finished."""
        finished = [trial for trial in self.trials() if trial.state == "finished"]
        return max(finished, key=lambda trial: trial.value, default=None)

    def _trial(self, trial: "optuna.trial.FrozenTrial") -> Trial:
        states: dict[str, State] = {"COMPLETE": "finished", "PRUNED": "stopped early"}
        last = trial.intermediate_values.get(trial.last_step or 0, 0.0)
        value = trial.value if trial.value is not None else last
        return Trial(trial.number, states.get(trial.state.name, "failed"), trial.user_attrs["settings"], value)

    def _check(self, asked: dict[str, Any]) -> None:
        asked = msgspec.json.decode(msgspec.json.encode(asked))  # as the file gives it back
        kept = self._study.user_attrs
        if not kept:
            for name, value in asked.items():
                self._study.set_user_attr(name, value)
            return
        for name, value in asked.items():
            if kept.get(name) != value:
                raise UsageError(
                    f"{self.path}: expected a study of the same {name}; it was begun with another. "
                    "Name another file with --study, or delete this one."
                )


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UsageError(f"tuning needs Optuna. Install it: {how_to_install('tune')}.") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
