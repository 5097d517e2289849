"""Cache of the results of replays, so that a stopped comparison continues where it was."""

import hashlib
import inspect
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from flows.errors import UsageError
from flows.experiments.job import Job, ReplayOutput, read_replayed
from flows.files.inputs import find_files
from recmodels.specification import build_model

USUAL_DIRECTORY: Final = Path.home() / ".cache" / "freshrank" / "replays"
LIBRARIES: Final = ("river", "numpy", "numba")
"""Libraries whose versions may change a result."""


class ReplayCache:
    """A directory of finished replays. It may be deleted at any time.

    Args:
        directory: The directory. It is created if it is missing.

    Raises:
        UsageError: The directory cannot be written.
    """

    def __init__(self, directory: Path = USUAL_DIRECTORY) -> None:
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            probe = directory / "probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise UsageError(
                f"{directory}: expected a directory for results; {error.strerror}. Name one of yours: --results DIR."
            ) from None

    def path(self, job: Job) -> Path:
        """Return the file of a job's result. Other logs, settings or code give another name."""
        asked = {
            "job": msgspec.structs.replace(job, logs=(), interim=None, interim_from=0, interim_every=0),
            "logs": digests_of(job.logs),
            "code": _code(),
            "model": _model_source(job.settings["model"]),
            "libraries": {name: version(name) for name in LIBRARIES},
        }
        digest = hashlib.blake2b(msgspec.json.encode(asked, order="deterministic"), digest_size=16)
        return self.directory / f"{digest.hexdigest()}.npz"

    def find(self, job: Job) -> ReplayOutput | None:
        """Return the result of a job, or None if it is not in the cache."""
        with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # absent or damaged: made anew
            return read_replayed(self.path(job))
        return None


def digests_of(logs: Iterable[str]) -> list[str]:
    """Return digests of the files of paths and patterns, in the order of reading.

    Raises:
        LogError: A pattern matches none, or a file is there twice.
    """
    return [digest_of(path) for path in find_files(logs)]


def digest_of(path: Path) -> str:
    """Return a digest of a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError:
        return ""  # opening it as a log reports the fault


@cache
def _code() -> str:
    """Return a digest of the project's sources, since the version does not change with each commit."""
    root = Path(__file__).parent.parent.parent
    digest = hashlib.blake2b(digest_size=16)
    for source in sorted([*(root / "flows").rglob("*.py"), *(root / "recmodels").rglob("*.py")]):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _model_source(specification: str) -> str:
    """Return a digest of the source file of a model of one's own."""
    model = type(build_model(specification))
    with suppress(OSError, TypeError):
        return digest_of(Path(inspect.getfile(model)))
    return ""
