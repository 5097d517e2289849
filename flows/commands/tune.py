"""`freshrank tune`: look for better settings on the first part of a log, and prove them on the rest."""

from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import typed_command
from flows.commands.experiment_options import Processes, Results, core_count, job_of, metric_of
from flows.commands.log_options import GivenLog, with_log
from flows.commands.options import (
    Config,
    check_writable,
    config_file,
    console,
    say,
    settings_of,
    warm_up_kernels,
)
from flows.commands.protocol_options import GivenProtocol, with_protocol
from flows.commands.setting_options import GivenSettings, with_settings
from flows.commands.tune_view import progress_of_trials, show_tuned
from flows.errors import UsageError
from flows.experiments.cache import USUAL_DIRECTORY, ReplayCache, digests_of
from flows.experiments.default_space import default_space
from flows.experiments.effects import sentences_of_no_effect
from flows.experiments.search_space import read_space
from flows.experiments.trials import Study
from flows.experiments.tune import tune
from flows.experiments.tuned_config import toml_writer, tuned_toml
from flows.files.distinct_files import expect_distinct_files


@with_log
@with_protocol
@with_settings("top", "repeats")
def tune_settings(
    log: GivenLog,
    protocol: GivenProtocol,
    given: GivenSettings,
    space: Annotated[
        Path | None,
        typer.Option(help="TOML file of the values to try: see docs/tune.md.", show_default="the model's own numbers"),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Number of trials.")] = 50,
    out: Annotated[Path, typer.Option(help="Write the winner here, as a configuration.")] = Path("tuned.toml"),
    study: Annotated[
        Path | None,
        typer.Option(help="File of trials: a stopped study continues.", show_default="beside --out"),
    ] = None,
    share: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Share of the log, from its start, to tune on.")
    ] = 0.5,
    metric: Annotated[
        str | None, typer.Option(help="Metric to maximise.", show_default="hit_rate at the first --k")
    ] = None,
    processes: Processes = None,
    results: Results = USUAL_DIRECTORY,
    config: Config = None,
) -> None:
    """Search for better settings on the first part of a log, and test the best on the rest."""
    settings = settings_of(config, **given, seed=protocol.seed)
    rules = replace(protocol(settings), window=None)  # tuning needs no metrics over time
    measure = metric_of(metric, rules)
    found_space = default_space(settings) if space is None else read_space(space, settings)
    if space is None:
        say(f"No --space is given, so these are tried: {found_space.sentence()}.")
    idle = sentences_of_no_effect(found_space.settings, measure, settings.model_dump())
    for sentence in idle:
        say(sentence)
    if found_space.settings and len(idle) == len(found_space.settings) and not found_space.varies_models:
        raise UsageError(f"--space: expected settings or arguments that can change {measure}; there are none.")
    path = study or out.with_suffix(".study")
    expect_distinct_files(
        [*log.reads(), ("--space", space), ("--config", config_file(config))],
        [*log.writes(), ("--out", out), ("--study", path)],
    )
    for file in (out, path):
        check_writable(file)
    toml_writer()  # fails now, not at the end, if the library is missing
    job = job_of(log, settings, rules)
    asked = {
        "version": version("freshrank"),
        "log": [*digests_of(job.logs), job.file_options, job.limit, job.sort],
        "share": share,
        "metric": measure,
        "space": found_space.described(),
        "settings": job.settings,
        "protocol": asdict(job.protocol),
    }
    kept = Study(path, asked, rules.seed)
    for model in (settings.model, *found_space.models):
        warm_up_kernels(settings_of(config, model=model))
    with progress_of_trials(measure, console) as (on_progress, ended):
        tuned = tune(
            job,
            found_space,
            kept,
            ReplayCache(results),
            metric=measure,
            trials=trials,
            share=share,
            processes=processes or core_count(),
            on_progress=on_progress,
            ended=ended,
        )
    out.write_text(tuned_toml(tuned, typed_command()), encoding="utf-8")
    show_tuned(tuned, console)
    say(f"{out}: what freshrank run --config takes.")
