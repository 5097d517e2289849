"""`freshrank tune`: look for better settings on the first part of a log, and prove them on the rest."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

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
from flows.compare_command import Processes, Results, core_count
from flows.log_file import open_log
from flows.measures import check_measure
from flows.replay_cache import USUAL_DIRECTORY, ReplayCache, digest_of
from flows.replay_job import Job, job_settings
from flows.space import read_space
from flows.study import Study
from flows.tune import tune
from flows.tune_view import progress_of_trials, show_tuned
from flows.tuned_file import toml_writer, tuned_toml


def tune_settings(
    log: Log,
    space: Annotated[Path, typer.Option(help="TOML file of what to try: see docs/tune.md.")],
    trials: Annotated[int, typer.Option(min=1, help="So many are made.")] = 50,
    out: Annotated[Path, typer.Option(help="Write the winner here, as a configuration.")] = Path("tuned.toml"),
    study: Annotated[
        Path | None, typer.Option(help="File of the trials, to go on with.", show_default="beside --out")
    ] = None,
    share: Annotated[float, typer.Option(min=0.01, max=0.99, help="The first part of the log: tuned on.")] = 0.5,
    metric: Annotated[
        str | None, typer.Option(help="What is made high.", show_default="hit_rate@10, or of --top if less")
    ] = None,
    top: Top = None,
    repeats: RepeatsOption = None,
    limit: Limit = None,
    columns: Columns = None,
    processes: Processes = None,
    results: Results = USUAL_DIRECTORY,
    seed: Annotated[int, typer.Option(min=0, help="Of the trials.")] = 0,
    config: Config = None,
) -> None:
    """Try settings on the first part of a log, stop poor ones early, and report the best on the rest."""
    settings = settings_of(config, top=top, repeats=repeats)
    k = min(10, settings.top)
    measure = metric or f"hit_rate@{k}"
    check_measure(measure, [k])
    found_space = read_space(space, settings)
    path = study or out.with_suffix(".study")
    for file in (out, path):
        check_writable(file)
    pairs = pairs_of(columns)
    open_log(log, pairs)  # says what is wrong before any process starts
    job = Job(log=str(log), settings=job_settings(settings), columns=pairs, limit=limit)
    asked = {
        "version": version("freshrank"),
        "log": [digest_of(log), pairs, limit],
        "share": share,
        "metric": measure,
        "space": found_space.described(),
        "settings": job.settings,
    }
    toml_writer()  # says now, not at the end, that it is missing
    kept = Study(path, asked, seed)
    for model in (settings.model, *found_space.models):
        warm_up_kernels(settings_of(config, model=model))
    with progress_of_trials(measure, console) as (tell, ended):
        tuned = tune(
            job,
            found_space,
            kept,
            ReplayCache(results),
            metric=measure,
            trials=trials,
            share=share,
            processes=processes or core_count(),
            tell=tell,
            ended=ended,
        )
    show_tuned(tuned, console)
    out.write_text(tuned_toml(tuned, log), encoding="utf-8")
    console.print(f"{out}: what freshrank run --config takes.", highlight=False, markup=False, soft_wrap=True)
