"""`freshrank demo` and `freshrank replay`: run a recorded log through the flow, and measure it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from flows import sample
from flows.commands.console import (
    progress_of,
    show_counts,
    show_lists,
    show_next_steps,
    show_result,
    show_shards,
    typed_command,
    typed_program,
)
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
from flows.commands.setting_options import OF_A_REPLAY, GivenSettings, with_settings
from flows.commands.show_view import print_user
from flows.errors import UnusableInputError, UsageError
from flows.evaluation.model_observer import ModelObserver
from flows.files.distinct_files import expect_distinct_files
from flows.files.titles import read_titles
from flows.inspection.describe import describe_user
from flows.replay import ReplayResult, simulated_shards
from flows.replay import replay as replay_log
from flows.report.data import measured
from flows.report.page import expect_libraries, write_html
from flows.settings import Settings
from flows.shards.simulation import ROUND
from recmodels.fused.memory import JOURNAL as ROOM

MOST_SHARDS: Final = 64
"""Each shard is a model, and all of them are in this process."""


def demo(
    html: Annotated[Path, typer.Option(help="Write a page with figures here.")] = Path("demo-report.html"),
) -> None:
    """Replay the bundled log of film ratings, and show some lists. Needs no broker."""
    console.print("30,000 ratings of films, one after the other: ask for the list, score it, learn the rating.")
    titles, watch = read_titles(sample.ITEMS), ModelObserver()
    result = _replay(sample.EVENTS, settings_of(repeats="exclude"), watch=watch)
    show_result(result, console)
    show_lists(result, titles, console)
    try:
        expect_libraries()
        check_writable(html)
        write_html(html, [measured(result, watch)], typed_command(), titles=titles)
        page = f"{'open' if sys.platform == 'darwin' else 'xdg-open'} {html}"
    except UsageError as error:
        page = f"no page of figures was written: {error}"
    show_next_steps(
        {
            page: "the figures of this replay",
            f"{typed_program()} replay LOG.csv --map user=userId": "a log of your own",
            f"{typed_program()} compare LOG.csv --model popularity --model blend": "which model is better",
        },
        console,
    )


@with_log
@with_protocol
@with_settings(*OF_A_REPLAY)
def replay(
    log: GivenLog,
    protocol: GivenProtocol,
    given: GivenSettings,
    out: Annotated[Path | None, typer.Option(help="Write the lists here, as JSON Lines.")] = None,
    rejects: Annotated[Path | None, typer.Option(help="Write rejected records here.")] = None,
    related_out: Annotated[
        Path | None, typer.Option(help="Write the lists of related items here, as JSON Lines; needs --related.")
    ] = None,
    trending_out: Annotated[
        Path | None, typer.Option(help="Write the lists of trending items here, as JSON Lines; needs --trending.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the results here, as JSON.")] = None,
    html: Annotated[
        Path | None, typer.Option(help=r"Write a page with figures here; needs freshrank\[report].")
    ] = None,
    items: Annotated[Path | None, typer.Option(help="CSV of item and title: show some lists with titles.")] = None,
    explain: Annotated[str | None, typer.Option(metavar="USER", help="At the end, show a user's list and why.")] = None,
    shards: Annotated[
        int,
        typer.Option(min=1, max=MOST_SHARDS, help="Also simulate this number of shards, and compare them with one."),
    ] = 1,
    round_events: Annotated[
        int,
        typer.Option("--round", min=1, max=ROOM, help="Number of events of the log between two rounds of deltas."),
    ] = ROUND,
    config: Config = None,
) -> None:
    """Run a recorded log through the flow, and measure it by test-then-learn."""
    expect_distinct_files(
        [*log.reads(), ("--items", items), ("--config", config_file(config))],
        [
            *log.writes(),
            *(("--out", out), ("--rejects", rejects), ("--report", report), ("--html", html)),
            *(("--related-out", related_out), ("--trending-out", trending_out)),
        ],
    )
    if shards > 1 and (html is not None or explain is not None):
        raise UsageError("--shards: a page or an explanation is of one model. Leave --html and --explain out.")
    titles = {} if items is None else read_titles(items)
    for written in (report, html):
        if written is not None:
            check_writable(written)
    if html is not None:
        expect_libraries()
    watch = None if html is None and explain is None else ModelObserver()
    settings = settings_of(config, **given, seed=protocol.seed)
    asked = protocol(settings)
    found = log.find(settings, say)
    arguments: dict[str, Any] = {"file_options": log.file_options, "limit": log.limit, "sort": log.sort}
    one = None
    if shards > 1:
        simulated_shards(settings, shards)  # what does not go with shards is said before the log is read
        one = _replay(found, settings, protocol=asked, **arguments)
    result = _replay(
        found,
        settings,
        **arguments,
        protocol=asked,
        shards=shards,
        round_events=round_events,
        out=out,
        rejects=rejects,
        related_out=related_out,
        trending_out=trending_out,
        watch=watch,
    )
    problem = {} if result.problem is None else {"problem": result.problem}
    if report is not None:
        told = {**result.report(), **problem}
        if one is not None:
            told["shards"]["one"] = one.metrics
        report.write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if result.problem is not None and not result.damage:
        show_counts(result, console)
        raise UnusableInputError(result.problem)
    if html is not None and watch is not None:
        write_html(html, [measured(result, watch)], typed_command(), titles=titles, window=asked.window)
    show_result(result, console)
    if one is not None:
        show_shards(one, result, console)
    if html is not None:
        say(f"{html} shows it.")
    if titles:
        show_lists(result, titles, console)
    if explain is not None and watch is not None and watch.model is not None:
        print_user(describe_user(watch.model, explain, settings.top, titles), console)
    if result.damage:
        raise UsageError(result.damage)


def _replay(log: Path | Sequence[str], settings: Settings, **arguments: Any) -> ReplayResult:
    warm_up_kernels(settings)
    name = log.name if isinstance(log, Path) else Path(log[0]).name
    with progress_of(name, console) as progress:
        return replay_log(log, settings, progress=progress, tell=lambda said: say(f"read as: {said}"), **arguments)
