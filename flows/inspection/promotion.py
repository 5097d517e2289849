"""Promotion: the challenger in a recovery directory becomes the champion, and the champion the challenger.

Both models have learned every event. So the job goes on at its snapshot, and no event and no list is lost. The old
champion learns on as the challenger, so a rollback loses nothing either.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flows.inspection.stored_model import StoredModel, read_stored
from flows.state.job_file import OF_PROMOTION, read_job, write_job
from flows.state.recovery import RecoveryError
from flows.state.roles import Roles


class Promoted(NamedTuple):
    """What was done, or would be.

    Attributes:
        champion: Specification of the new champion.
        challenger: Specification of the new challenger.
        sentence: What was measured of the two before. Empty: nothing.
    """

    champion: str
    challenger: str
    sentence: str


def promote(directory: Path, is_dry: bool = False) -> Promoted:
    """Make the challenger the champion.

    Args:
        directory: The recovery directory of a job that is not running.
        is_dry: Whether nothing is changed.

    Raises:
        RecoveryError: There is no challenger that has learned, or the directory cannot be used.
    """
    stored = read_stored(directory)
    if "promoted_from" in stored.job:
        raise RecoveryError(
            f"{directory}: expected a challenger that was not the champion before; {stored.job['challenger']} was. "
            "Go back by `freshrank rollback`, or name another challenger and run the job."
        )
    return _swap(directory, stored, is_dry)


def rollback(directory: Path, is_dry: bool = False) -> Promoted:
    """Take a promotion back.

    Args:
        directory: The recovery directory of a job that is not running.
        is_dry: Whether nothing is changed.

    Raises:
        RecoveryError: There was no promotion, the champion before is kept no more, or the directory cannot be used.
    """
    stored = read_stored(directory)
    if "promoted_from" not in stored.job:
        raise RecoveryError(
            f"{directory}: expected a promotion, and the champion before it as the challenger; there is none. The "
            f"model is {stored.job['model']}."
        )
    return _swap(directory, stored, is_dry)


def _swap(directory: Path, stored: StoredModel, is_dry: bool) -> Promoted:
    challenge, job = stored.challenge, stored.job
    if challenge is None or not stored.has_challenger:
        named = "there is none" if challenge is None else f"{challenge.model} has learned nothing, or has failed"
        raise RecoveryError(
            f"{directory}: expected a challenger that has learned; {named}. Set `challenger`, and run the job."
        )
    done = Promoted(challenge.model, job["model"], challenge.sentence() if challenge.hits.scored else "")
    if is_dry:
        return done
    with _locked(directory):
        if (now := read_job(directory)) != job:
            raise RecoveryError(f"{directory}: expected the job as it was a moment ago; {now} came. Try again.")
        before = job.get("before_promotion", [job["model"], job["challenger"]])
        swapped = {**job, "model": done.champion, "challenger": done.challenger}
        swapped["roles"] = list(Roles(*job["roles"]).swapped())
        is_back = "promoted_from" in job
        for name in OF_PROMOTION:
            swapped.pop(name, None)
        if not is_back:
            swapped["promoted_from"] = done.challenger
        if before != [done.champion, done.challenger]:
            swapped["before_promotion"] = before
        write_job(directory, swapped)
    return done


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock that a job takes."""
    lock = os.open(directory / "lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RecoveryError(f"{directory}: a job is at work on this recovery directory. Stop it first.") from None
    finally:
        os.close(lock)
