"""Options and preparation that `compare` and `tune` share."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.log_options import GivenLog
from flows.commands.options import say
from flows.evaluation.log_scan import scan_log
from flows.evaluation.protocol import Protocol
from flows.evaluation.ranking_metrics import check_metric
from flows.experiments.job import Job, job_settings
from flows.files.inputs import find_files, open_logs
from flows.settings import Settings

Processes = Annotated[
    int | None, typer.Option(min=1, help="Replays that run at a time.", show_default="one for each core")
]

Results = Annotated[Path, typer.Option(help="Directory in which results of replays are kept.")]


def job_of(log: GivenLog, settings: Settings, protocol: Protocol, watched: bool = False) -> Job:
    """Make the job of a replay, and check its log before any process starts.

    Args:
        log: The log. A topic is recorded first.
        settings: Settings of the model and the lists.
        protocol: The protocol. If it draws nothing, the job gets the seed 0, since its result depends on no seed.
        watched: Whether to observe the model while it learns.

    Raises:
        LogError: The log cannot be read, or is not sorted by time and `--sort` is not given. A part of an unsorted log
            would not be a period of time.
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


def metric_of(metric: str | None, protocol: Protocol) -> str:
    """Return the metric to compare by: the one given, or by default the hit rate at the first length of list.

    Raises:
        UsageError: The protocol does not measure it.

    >>> metric_of(None, Protocol(ks=(5, 10)))
    'hit_rate@5'
    """
    metric = metric or f"hit_rate@{protocol.ks[0]}"
    check_metric(metric, protocol.ks, protocol.requests)
    return metric


def core_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
