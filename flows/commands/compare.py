"""`freshrank compare`: several models on one log."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from flows.commands.compare_view import progress_of_all, show_comparison
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
from flows.experiments.cache import USUAL_DIRECTORY, ReplayCache
from flows.experiments.compare import ModelResult, compare
from flows.experiments.effects import NOTHING, sentences_of_no_effect
from flows.experiments.job import job_settings
from flows.experiments.variants import contenders_of, read_variants
from flows.files.distinct_files import expect_distinct_files
from flows.files.titles import read_titles
from flows.report.data import Measured
from flows.report.page import expect_libraries, write_html


@with_log
@with_protocol
@with_settings("top", "repeats")
def compare_models(
    log: GivenLog,
    protocol: GivenProtocol,
    given: GivenSettings,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Two or more; each is compared with the first.", show_default="the model of the settings"),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(help="Setting and values to compare, such as 'refresh=0,86400'; may be repeated."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="Metric of the sentences below the table.", show_default="hit_rate at the first --k"),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything here, as JSON; - for the output.")] = None,
    html: Annotated[
        Path | None, typer.Option(help=r"Write a page with figures here; needs freshrank\[report].")
    ] = None,
    items: Annotated[Path | None, typer.Option(help="CSV of item and title, for the page.")] = None,
    processes: Processes = None,
    results: Results = USUAL_DIRECTORY,
    anew: Annotated[bool, typer.Option("--anew", help="Measure again what is kept in --results.")] = False,
    config: Config = None,
) -> None:
    """Replay a log with several models or settings, and compare them with confidence intervals."""
    variants = read_variants(vary or ())
    given = {**given, "seed": protocol.seed}
    models = model or [settings_of(config, **given).model]
    contenders = contenders_of(models, variants)
    settings, *others = (settings_of(config, **{**given, **changed}) for changed in contenders.values())
    asked = protocol(settings)
    measure = metric_of(metric, asked)
    idle = sentences_of_no_effect(variants, measure, settings.model_dump())
    if metric is None and len(models) == 1 and len(idle) == len(variants) and not NOTHING & variants.keys():
        measure = f"served_hit_rate@{asked.ks[0]}"
        say(f"{', '.join(variants)} can change served lists only, so the sentences are about {measure}.")
    else:
        for sentence in idle:
            say(sentence)
    written = None if json is None or str(json) == "-" else json
    expect_distinct_files(
        [*log.reads(), ("--items", items), ("--config", config_file(config))],
        [*log.writes(), ("--json", written), ("--html", html)],
    )
    if written is not None:
        check_writable(written)
    titles = {} if items is None else read_titles(items)
    if html is not None:
        expect_libraries()
        check_writable(html)
    for one in (settings, *others):
        warm_up_kernels(one)
    job = job_of(log, settings, asked, watched=html is not None)
    with progress_of_all(list(contenders), console) as on_progress:
        found = compare(
            job,
            {name: job_settings(one) for name, one in zip(contenders, (settings, *others), strict=True)},
            ReplayCache(results),
            metric=measure,
            processes=processes or core_count(),
            on_progress=on_progress,
            anew=anew,
            seed=asked.seed,
        )
    if html is not None:
        page = [_measured(one) for one in found.contenders]
        write_html(html, page, typed_command(), titles=titles, sentences=found.sentences(), window=asked.window)
    if json is not None:
        data = orjson.dumps(found.report(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        if written is None:
            typer.echo(data, nl=False)
        else:
            written.write_bytes(data)
    show_comparison(found, measure, console)
    if html is not None:
        say(f"{html} shows it.")


def _measured(one: ModelResult) -> Measured:
    metrics = {**one.values, **one.report["metrics"]}  # calibration errors exist only for some models
    return Measured.kept(one.model, {**one.report, "metrics": metrics}, one.outcomes, one.figures)
