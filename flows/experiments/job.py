"""Runs a replay in a subprocess, and defines the messages exchanged with it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.errors import JobError, UnusableInputError, UsageError
from flows.evaluation.protocol import Protocol
from flows.formats.file_format import FileOptions
from flows.settings import Settings, all_settings


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Description of a replay. Two equal jobs on the same log and code give the same lists."""

    logs: tuple[str, ...]
    """Files or patterns."""
    settings: dict[str, Any]
    protocol: Protocol
    file_options: tuple[tuple[str, FileOptions], ...] = ()
    """Options of files by patterns of their names. They override the settings."""
    limit: int | None = None
    sort: bool = False
    watched: bool = False
    """Whether to observe the model while it learns, for the HTML report."""
    interim: str | None = None
    """Metric that is reported while the replay runs."""
    interim_from: int = 0
    interim_every: int = 0
    """Number of interactions between two reports of `interim`, counted from `interim_from`."""


def file_options_of(job: Job) -> list[tuple[str, FileOptions]]:
    """Return all options of the files of a job, those of its settings last."""
    return [*job.file_options, *Settings(**job.settings).file_options]


class ProgressMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the process's output."""

    share: float = 0.0
    """Share of the log that has been read."""
    events: int = 0
    step: int | None = None
    """Number of the report of `value`: it is over `step` times `interim_every` interactions."""
    value: float | None = None
    error: str | None = None
    """Reason of a failure. It is the last message."""
    is_unusable: bool = False
    """Whether it ran, but (nearly) nothing of the log could be used."""
    is_wrong_use: bool = False
    """Whether the log or the settings are at fault."""


class ReplayOutput(msgspec.Struct, frozen=True):
    """The result of a replay."""

    report: dict[str, Any]
    """The report of `freshrank replay --report`, and the metrics of emitted lists."""
    outcomes: dict[str, NDArray[Any]]
    """The columns of `flows.evaluation.outcomes.Outcomes`."""
    figures: dict[str, Any] = {}
    """Further data for the report, if the model was observed: `flows.report.data.Measured.extras`."""


class ReplayFailedError(JobError):
    """A replay failed while it ran. The command itself was right."""


def job_settings(settings: Settings, **changed: Any) -> dict[str, Any]:
    """Return the settings that decide the lists of a replay, some of them changed. Secrets stay in this process.

    >>> job_settings(Settings(model="history"), top=5)["model"], "kafka_password" in job_settings(Settings())
    ('history', False)
    """
    names = {each.name for each in all_settings() if each.decides_lists}
    return {**settings.model_dump(mode="json", include=names), **changed}


class StoppedError(Exception):
    """A replay was stopped early, since its result is not needed any more."""


class ReplayProcess:
    """A running replay. Its result goes to a file.

    Args:
        job: The replay.
        target: File of the result. It is written completely or not at all.
    """

    def __init__(self, job: Job, target: Path) -> None:
        self._job = job
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `stop`
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.experiments.worker", str(target)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=_environment(os.environ),
        )

    def follow(self) -> Iterator[ProgressMessage]:
        """Yield progress messages until the process ends.

        Raises:
            UsageError: The log or the settings cannot be used.
            ReplayFailedError: It failed otherwise.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(self._job))
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended already, and says why below
        for line in self._process.stdout:
            told = msgspec.json.decode(line, type=ProgressMessage)
            if told.error is not None:
                if told.is_unusable:
                    raise UnusableInputError(told.error)
                raise UsageError(told.error) if told.is_wrong_use else ReplayFailedError(told.error)
            yield told
        status = self._process.wait()
        if status:
            self._said.seek(0)
            last = self._said.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise ReplayFailedError(f"the replay's process ended with status {status}: {last or 'it said nothing'}")

    def stop(self) -> None:
        """End the process, if it still runs."""
        self._process.terminate()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                stream.close()


def run_job(
    job: Job, target: Path, on_progress: Callable[[ProgressMessage], object], is_stopped: Callable[[], bool]
) -> None:
    """Run a job to its end, or until it is stopped.

    Args:
        job: What to replay.
        target: Where the result goes, whole or not at all.
        on_progress: Called with each message of the process.
        is_stopped: Asked each time whether it shall go on.

    Raises:
        UsageError, ReplayFailedError: As of `ReplayProcess.follow`.
        StoppedError: It was stopped.
    """
    process = ReplayProcess(job, target)
    try:
        for told in process.follow():
            on_progress(told)
            if is_stopped():
                raise StoppedError
    finally:
        process.stop()


def write_replayed(replayed: ReplayOutput, path: Path) -> None:
    """Write a result, whole or not at all."""
    new = path.with_suffix(f".{os.getpid()}.new")  # another process may be at the same job
    told = {"report": replayed.report, "figures": replayed.figures}
    said = {name: np.frombuffer(msgspec.json.encode(value), np.uint8) for name, value in told.items()}
    with new.open("wb") as file:
        np.savez_compressed(file, **said, **replayed.outcomes)  # type: ignore[arg-type]  # no name is NumPy's own
    new.rename(path)


def read_replayed(path: Path) -> ReplayOutput:
    """Read a result.

    Raises:
        OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile: It is none.
    """
    with np.load(path, allow_pickle=False) as file:
        columns = {name: file[name] for name in file.files}
    report, figures = (msgspec.json.decode(columns.pop(name).tobytes()) for name in ("report", "figures"))
    return ReplayOutput(report, columns, figures)


def _environment(here: Mapping[str, str]) -> dict[str, str]:
    """The settings come with the job: nothing that is set on the machine may add to them."""
    kept = {name: value for name, value in here.items() if not name.startswith("FRESHRANK_")}
    return {**kept, "FRESHRANK_CONFIG": os.devnull, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
