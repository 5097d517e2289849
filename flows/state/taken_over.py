"""State of a replay, taken over by a job."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any, Final

import orjson

from flows.state.atomic_files import write_whole
from flows.state.job_file import JOB_FORMAT
from flows.state.recovery import RecoveryError
from flows.state.roles import FIRST_ROLES, Roles

STEPS: Final = ("clean", "features", "refresh", "learn", "active_0")
"""Steps whose state is taken over. The others hold the replay's position, what it wrote, and what it measured."""


def check_source(source: Path, target: Path, job: dict[str, Any], challenger: str | None) -> None:
    """Check that a directory holds the state of a replay that a job can take over.

    Args:
        source: The recovery directory of the replay.
        target: The recovery directory of the job.
        job: Settings that must be the same, by name.
        challenger: Specification of the job's challenger.

    Raises:
        RecoveryError: There is no such state, or it belongs to other settings.
    """
    if source.resolve() == target.resolve():
        raise RecoveryError(f"--backfill-state: {source} is `recovery` itself. Set `recovery` to a new directory.")
    found = _job_of(source)
    for name, wanted in {"format": JOB_FORMAT, **job}.items():
        if found.get(name) != wanted:
            raise RecoveryError(
                f"{source}: expected the state of a replay with {name} {wanted!r}; found {found.get(name)!r}. Set it "
                "so for the job, or replay the log with the job's."
            )
    if found.get("challenger") not in (None, challenger) or Roles(*found.get("roles", FIRST_ROLES)).champion:
        raise RecoveryError(
            f"{source}: expected the state of a replay without a challenger, or with that of the job; found "
            f"{found.get('challenger')!r}. Set `challenger` so for the job, or replay the log without it."
        )
    if not has_snapshots(source):
        raise RecoveryError(f"{source}: expected the state of a replay; it has not taken a snapshot yet. Replay a log.")


def take_over(source: Path, target: Path) -> str:
    """Copy the state of a replay into a recovery directory that has none. Killed in between, it can be called again.

    Args:
        source: The recovery directory of the replay. It stays as it is.
        target: The recovery directory of the job, which holds its lock.

    Returns:
        The input of the replay.
    """
    shutil.rmtree(target / "state", ignore_errors=True)
    for folder in (source / "state").iterdir():
        if folder.name.split(".")[0] in STEPS:
            shutil.copytree(folder, target / "state" / folder.name)
    shutil.rmtree(target / "engine")
    write_whole(target / "engine", lambda new: _copy_snapshots(source / "engine", new))
    return str(_job_of(source)["input"])


def _job_of(source: Path) -> dict[str, Any]:
    path = source / "job.json"
    try:
        found: dict[str, Any] = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise RecoveryError(
            f"--backfill-state: expected the recovery directory of a replay; {path}: {error}. Make one: freshrank "
            f"replay LOG --recovery {source}"
        ) from None
    return found


def has_snapshots(directory: Path) -> bool:
    """Say whether the engine has a snapshot of any step in a recovery directory."""
    for path in (directory / "engine").glob("*.sqlite3"):
        with sqlite3.connect(path) as connection:
            [(found,)] = connection.execute("SELECT EXISTS (SELECT 1 FROM snaps)").fetchall()
        connection.close()
        if found:
            return True
    return False


def _copy_snapshots(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    for path in target.glob("*.sqlite3"):
        with sqlite3.connect(path) as connection:
            kept = " AND ".join(f"step_id NOT LIKE 'freshrank.{step}.%'" for step in STEPS)
            connection.execute(f"DELETE FROM snaps WHERE {kept}")  # the names are ours
        connection.close()
