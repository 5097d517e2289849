"""Options that `compare` and `tune` share."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.log_options import GivenLog
from flows.commands.options import (
    say,
)
from flows.evaluation.log_scan import scan_log
from flows.evaluation.protocol import Protocol
from flows.experiments.job import Job, job_settings
from flows.files.inputs import find_files, open_logs
from flows.settings import Settings

Processes = Annotated[
    int | None, typer.Option(min=1, help="Replays that run at a time.", show_default="one for each core")
]

Results = Annotated[Path, typer.Option(help="Directory in which results of replays are kept.")]


def job_of(log: GivenLog, settings: Settings, protocol: Protocol, watched: bool = False) -> Job:
    """Make the job of what was asked for, and say what is wrong with the log before any process starts.

    Args:
        log: A topic is recorded first.
        settings: Of the model and the lists.
        protocol: Where nothing is drawn by it the job has the seed 0: its result is the same with every seed.
        watched: Whether the model is watched while it learns.

    Raises:
        LogError: The log cannot be read, or is not sorted by time and is not to be: then nothing on a part of it would
            mean anything.
    """
    files = tuple(map(str, find_files(log.find(settings, say))))
    opened = open_logs(files, file_options=[*log.file_options, *settings.file_options], sort=log.sort, limit=log.limit)
    for sentence in opened.source.said:
        say(f"read as: {sentence}")
    if not log.sort:
        scan_log(opened, settings, Protocol()).expect_sorted()
    return Job(
        logs=files,
        settings=job_settings(settings),
        protocol=protocol if protocol.is_drawn else replace(protocol, seed=0),
        file_options=log.file_options,
        limit=log.limit,
        sort=log.sort,
        watched=watched,
    )


def core_count() -> int:
    """Say how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
