"""The recovery directory: which job it belongs to, the engine's snapshots, and the state of each step."""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from bytewax.recovery import RecoveryConfig, init_db_dir

from flows.errors import UsageError
from flows.state.atomic_files import write_whole
from flows.state.job_file import JOB_FORMAT, NAME, OF_PROMOTION, OF_ROLES, read_job, write_job
from flows.state.roles import Roles
from flows.state.store import Store

logger = logging.getLogger(__name__)

Applicable: TypeAlias = Callable[[str, Any, Any], str | None]
"""Says of a setting's name, its old and its new value what changes, if the state can take the change over."""


class RecoveryError(UsageError):
    """A recovery directory cannot be used."""


class Recovery:
    """A recovery directory: which job it belongs to, the engine's snapshots, and the state of each step.

    Args:
        directory: The directory. It is created if it is missing.
        job: The settings that must be the same at every resume, by name.
        applicable: Says of a setting, its old and its new value what changes, if the state can take the change over;
            None if it cannot.
        challenger: Specification of the challenger, which may change at any resume.

    Attributes:
        roles: Numbers of the champion and of the challenger in the state.

    Raises:
        RecoveryError: The directory is another job's, in use, or cannot be written.
    """

    def __init__(
        self,
        directory: Path,
        job: dict[str, Any],
        applicable: Applicable = lambda *change: None,
        challenger: str | None = None,
    ) -> None:
        self.directory = directory
        self.roles = Roles()
        self._applicable = applicable
        self._job = {"format": JOB_FORMAT, **job}
        self._challenger = challenger
        self._lock: int | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._take()
            self._check()
            engine = directory / "engine"
            if not engine.exists():
                write_whole(engine, _make_engine_directory)
        except OSError as error:
            raise RecoveryError(
                f"{directory}: expected a directory to write; {error.strerror}. Set `recovery` to one of yours."
            ) from None
        self.config = RecoveryConfig(str(engine))

    def store(self, step: str) -> Store:
        """Open the store of a step."""
        return Store(self.directory / "state" / step)

    def close(self) -> None:
        """Release the directory for another process."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take(self) -> None:
        self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise RecoveryError(
                f"{self.directory}: another process is at work on this recovery directory. Stop it, or set "
                "`recovery` to another directory."
            ) from None

    def _check(self) -> None:
        path = self.directory / NAME
        if not path.exists():
            self._write({})
            return
        found = read_job(self.directory)
        has_changed = False
        for name, value in self._job.items():
            if found.get(name) == value:
                continue
            if (change := self._applicable(name, found.get(name), value)) is None:
                self.close()
                hint = " `max_users` and `max_items` alone can change, and only be raised." if name == "model" else ""
                if name == "model" and "promoted_from" in found:
                    hint = " That model was promoted: name it in `model`, or go back by `freshrank rollback`."
                elif name == "model" and found.get("challenger") == value:
                    hint = " It is the challenger there: `freshrank promote` makes it the champion."
                if name == "shard":
                    hint = " `freshrank rescale` changes the number of shards."
                raise RecoveryError(
                    f"{path}: expected the state of a job with {name} {value!r}; found {found.get(name)!r}. Change "
                    f"the setting back, or set `recovery` to another directory to start anew.{hint}"
                )
            logger.info("%s changes: %s. It is applied to the state in %s.", name, change, self.directory)
            has_changed = True
        self.roles = Roles(*found.get("roles", Roles()))
        if has_changed or found.get("challenger") != self._challenger:
            self._write(found)

    def _write(self, found: Mapping[str, Any]) -> None:
        """Write what the directory belongs to. A new challenger gets numbers that no model had."""
        kept = {name: found[name] for name in (*OF_ROLES, *OF_PROMOTION) if name in found}
        if self._challenger != found.get("challenger"):
            if "roles" in found and self._challenger is not None and not self._is_raised(found["challenger"]):
                self.roles = self.roles.with_new_challenger()
            kept = {"challenger": self._challenger, "roles": list(self.roles)}
        job = {name: value for name, value in self._job.items() if value is not None}
        write_job(self.directory, {**job, **kept})

    def _is_raised(self, kept: str | None) -> bool:
        return kept is not None and self._applicable("model", kept, self._challenger) is not None


def _make_engine_directory(path: Path) -> None:
    path.mkdir()
    init_db_dir(path, 1)


@contextmanager
def recovery_in(
    directory: Path | None,
    job: dict[str, Any],
    applicable: Applicable = lambda *change: None,
    challenger: str | None = None,
) -> Iterator[Recovery | None]:
    """Hold a recovery directory while a flow runs. Without a directory, yield None.

    Args:
        directory: The recovery directory, or None.
        job: The settings that must be the same at every resume, by name.
        applicable: As in `Recovery`.
        challenger: As in `Recovery`.
    """
    recovery = None if directory is None else Recovery(directory, job, applicable, challenger)
    try:
        yield recovery
    finally:
        if recovery is not None:
            recovery.close()
