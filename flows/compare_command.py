"""`freshrank compare`: several models on one log."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import orjson
import typer

from flows.command_line import (
    Config,
    RepeatsOption,
    Top,
    check_writable,
    console,
    say,
    settings_of,
    warm_up_kernels,
)
from flows.compare import Contender, compare, expect_several
from flows.compare_view import progress_of_all, show_comparison
from flows.html_report import expect_libraries, write_html
from flows.inputs import find_files, open_logs
from flows.log_options import GivenLog, with_log
from flows.measures import check_measure
from flows.protocol import Protocol
from flows.protocol_options import ProtocolOf, with_protocol
from flows.replay_cache import USUAL_DIRECTORY, ReplayCache
from flows.replay_job import Job, job_settings
from flows.report.measured import Measured
from flows.screen import read_titles, typed_command
from flows.settings import Settings
from flows.survey import survey

Processes = Annotated[
    int | None, typer.Option(min=1, help="Replays that run at a time.", show_default="one for each core")
]
Results = Annotated[Path, typer.Option(help="Directory in which results of replays are kept.")]


@with_log
@with_protocol
def compare_models(
    log: GivenLog,
    protocol: ProtocolOf,
    model: Annotated[list[str], typer.Option(help="Two or more; each is compared with the first.")],
    metric: Annotated[
        str | None, typer.Option(help="What the sentences are about.", show_default="hit_rate at the first --k")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything here, as JSON; - for the output.")] = None,
    html: Annotated[
        Path | None, typer.Option(help=r"Write a page with figures here; needs freshrank\[report].")
    ] = None,
    items: Annotated[Path | None, typer.Option(help="CSV of item and title, for the page.")] = None,
    top: Top = None,
    repeats: RepeatsOption = None,
    processes: Processes = None,
    results: Results = USUAL_DIRECTORY,
    anew: Annotated[bool, typer.Option("--anew", help="Measure again what is kept in --results.")] = False,
    config: Config = None,
) -> None:
    """Replay a log with several models side by side: the same events, and how sure the differences are."""
    settings = settings_of(config, model=model[0], top=top, repeats=repeats)
    expect_several(model)
    asked = protocol(settings.top)
    measure = metric or f"hit_rate@{asked.ks[0]}"
    check_measure(measure, asked.ks)
    if json is not None and str(json) != "-":
        check_writable(json)
    titles = {} if items is None else read_titles(items)
    if html is not None:
        expect_libraries()
        check_writable(html)
    for other in model:
        warm_up_kernels(settings_of(config, model=other))
    job = job_of(log, settings, asked, watched=html is not None)
    with progress_of_all(model, console) as tell:
        found = compare(
            job,
            model,
            ReplayCache(results),
            processes=processes or core_count(),
            tell=tell,
            anew=anew,
            seed=asked.seed,
        )
    show_comparison(found, measure, console)
    if html is not None:
        told = [each.sentence() for each in found.differences if each.measure == measure]
        page = [_measured(one) for one in found.contenders]
        write_html(html, page, typed_command(), titles=titles, sentences=told, window=asked.window)
        say(f"{html} shows it.")
    if json is not None:
        data = orjson.dumps(found.report(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        if str(json) == "-":
            typer.echo(data, nl=False)
        else:
            json.write_bytes(data)


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
    opened = open_logs(files, log.columns, sort=log.sort, limit=log.limit)
    if not log.sort:
        survey(opened, settings, Protocol()).expect_sorted()
    return Job(
        logs=files,
        settings=job_settings(settings),
        protocol=protocol if protocol.is_drawn else replace(protocol, seed=0),
        columns=dict(log.columns),
        limit=log.limit,
        sort=log.sort,
        watched=watched,
    )


def _measured(one: Contender) -> Measured:
    metrics = {**one.values, **one.report["metrics"]}  # whose errors of calibration are no measure of every model
    return Measured.kept(one.model, {**one.report, "metrics": metrics}, one.outcomes, one.figures)


def core_count() -> int:
    """Say how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
