"""The file `job.json` of a recovery directory: which job the state belongs to, and which model has which role."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from flows.state.atomic_files import write_whole

NAME: Final = "job.json"
JOB_FORMAT: Final = 1
"""Version of the layout of a recovery directory."""
OF_ROLES: Final = ("challenger", "roles")
"""What the file says of a challenger. It is missing in the directory of a job that never had one."""
OF_PROMOTION: Final = ("promoted_from", "before_promotion")
"""What the file says of a promotion: the champion before, and the settings `model` and `challenger` before. It is there
until the challenger changes, or the promotion is taken back."""


def read_job(directory: Path) -> dict[str, Any]:
    """Return what the file says. Empty if it is damaged.

    Raises:
        OSError: It cannot be read.
    """
    try:
        found = orjson.loads((directory / NAME).read_bytes())
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def write_job(directory: Path, job: Mapping[str, Any]) -> None:
    """Write the file. It is there whole or not at all."""
    text = orjson.dumps(job, option=orjson.OPT_INDENT_2)
    write_whole(directory / NAME, lambda new: new.write_bytes(text))


def models_in_force(directory: Path | None, model: str, challenger: str | None) -> tuple[str, str | None]:
    """Return the model and the challenger that a job runs: those of its settings, or swapped after a promotion.

    After a promotion the settings still name the models as they were before. So a job may resume before its settings
    are changed.

    Args:
        directory: The recovery directory. None: there is none.
        model: The setting `model`.
        challenger: The setting `challenger`.
    """
    if directory is None or not (directory / NAME).exists():
        return model, challenger
    job = read_job(directory)
    if job.get("before_promotion") != [model, challenger]:
        if "before_promotion" in job and [model, challenger] == [job["model"], job["challenger"]]:
            write_job(directory, {name: value for name, value in job.items() if name != "before_promotion"})
        return model, challenger
    return job["model"], job["challenger"]
