"""`freshrank compare`: several models on one log."""

import os
from pathlib import Path
from typing import Annotated

import orjson
import typer

from flows.command_line import (
    Columns,
    Config,
    Limit,
    Log,
    RepeatsOption,
    Top,
    check_writable,
    console,
    pairs_of,
    settings_of,
    warm_up_kernels,
)
from flows.compare import Contender, compare
from flows.compare_view import progress_of_all, show_comparison
from flows.html_report import expect_libraries, write_html
from flows.log_file import open_log
from flows.measures import check_measure
from flows.replay_cache import USUAL_DIRECTORY, ReplayCache
from flows.replay_job import Job, job_settings
from flows.report.measured import Measured
from flows.screen import read_titles, typed_command

Processes = Annotated[
    int | None, typer.Option(min=1, help="Replays that run at a time.", show_default="one for each core")
]
Results = Annotated[Path, typer.Option(help="Directory in which results of replays are kept.")]


def compare_models(
    log: Log,
    model: Annotated[list[str], typer.Option(help="Two or more; each is compared with the first.")],
    metric: Annotated[
        str | None, typer.Option(help="What the sentences are about.", show_default="hit_rate@10, or of --top if less")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything here, as JSON; - for the output.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with figures here; needs freshrank[report].")] = None,
    items: Annotated[Path | None, typer.Option(help="CSV of item and title, for the page.")] = None,
    top: Top = None,
    repeats: RepeatsOption = None,
    limit: Limit = None,
    columns: Columns = None,
    processes: Processes = None,
    results: Results = USUAL_DIRECTORY,
    anew: Annotated[bool, typer.Option("--anew", help="Measure again what is kept in --results.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap behind the intervals.")] = 0,
    config: Config = None,
) -> None:
    """Replay a log with several models side by side: the same events, and how sure the differences are."""
    settings = settings_of(config, model=model[0], top=top, repeats=repeats)
    k = min(10, settings.top)
    measure = metric or f"hit_rate@{k}"
    check_measure(measure, [k])
    if json is not None and str(json) != "-":
        check_writable(json)
    titles = {} if items is None else read_titles(items)
    if html is not None:
        expect_libraries()
        check_writable(html)
    for other in model:
        warm_up_kernels(settings_of(config, model=other))
    pairs = pairs_of(columns)
    open_log(log, pairs)  # says what is wrong before any process starts
    job = Job(log=str(log), settings=job_settings(settings), columns=pairs, limit=limit, watched=html is not None)
    with progress_of_all(model, console) as tell:
        found = compare(
            job,
            model,
            ReplayCache(results),
            processes=processes or core_count(),
            tell=tell,
            anew=anew,
            seed=seed,
        )
    show_comparison(found, measure, console)
    if html is not None:
        told = [each.sentence() for each in found.differences if each.measure == measure]
        write_html(html, [_measured(one) for one in found.contenders], typed_command(), titles=titles, sentences=told)
        console.print(f"{html} shows it.", highlight=False, markup=False)
    if json is not None:
        data = orjson.dumps(found.report(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        if str(json) == "-":
            typer.echo(data, nl=False)
        else:
            json.write_bytes(data)


def _measured(one: Contender) -> Measured:
    return Measured.kept(one.model, {**one.report, "metrics": dict(one.values)}, one.outcomes, one.figures)


def core_count() -> int:
    """Say how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
