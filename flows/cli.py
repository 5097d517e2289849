"""The command line."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from flows import sample, show_command
from flows.command_line import (
    Columns,
    Config,
    Explore,
    RepeatsOption,
    Top,
    WrongUseError,
    check_writable,
    console,
    pairs_of,
    say,
    settings_of,
    warm_up_kernels,
)
from flows.compare_command import compare_models
from flows.engine import RecoveryError
from flows.feed import feed as feed_log
from flows.file_sinks import OutputFileError
from flows.html_report import expect_libraries, write_html
from flows.kafka_range import Range
from flows.kafka_trouble import KafkaTrouble, secrets_in
from flows.log_error import LogError
from flows.log_options import GivenLog, moment, record_topic, with_log
from flows.logs import are_logs_json, set_up_logging
from flows.model_watch import ModelWatch
from flows.protocol_options import ProtocolOf, with_protocol
from flows.records import StoreError, WriteError
from flows.replay import ReplayResult
from flows.replay import replay as replay_log
from flows.replay_job import ReplayFailedError
from flows.report.measured import measured
from flows.run import find_faults
from flows.run import run as run_job
from flows.screen import progress_of, read_titles, show_lists, show_result, typed_command
from flows.settings import Settings, SettingsError
from flows.show import known_of, print_known
from flows.tune_command import tune_settings
from flows.watch import TooManyRejectsError

FAILED, WRONG = 1, 2
"""Exit statuses: a failure while running; a wrong command, configuration or input file."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn from every event; put each user's refreshed list on a topic.",
)
logger = logging.getLogger(__name__)


@app.command()
def demo() -> None:
    """Replay the bundled log of film ratings, and show some lists. Needs no broker."""
    console.print("30,000 ratings of films, one after the other: ask for the list, score it, learn the rating.")
    result = _replay(sample.EVENTS, settings_of(repeats="exclude"))
    show_lists(result, read_titles(sample.ITEMS), console)


@app.command()
@with_log
@with_protocol
def replay(
    log: GivenLog,
    protocol: ProtocolOf,
    domain: Annotated[
        str | None, typer.Option(help="Presets: ecommerce, social, video or news; other options come before them.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Such as blend or river:reco.BiasedMF(n_factors=32).")] = None,
    top: Top = None,
    repeats: RepeatsOption = None,
    explore: Explore = None,
    out: Annotated[Path | None, typer.Option(help="Write the lists here, as JSON Lines.")] = None,
    rejects: Annotated[Path | None, typer.Option(help="Write rejected records here.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write what was measured here, as JSON.")] = None,
    html: Annotated[
        Path | None, typer.Option(help=r"Write a page with figures here; needs freshrank\[report].")
    ] = None,
    items: Annotated[Path | None, typer.Option(help="CSV of item and title: show some lists with titles.")] = None,
    explain: Annotated[str | None, typer.Option(metavar="USER", help="At the end, show a user's list and why.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out of lists what has a lower score.")] = None,
    refresh: Annotated[
        float | None, typer.Option(help="Make a list anew when its user has been away for so many seconds.")
    ] = None,
    strangers: Annotated[
        bool | None, typer.Option("--strangers", help="Keep a list for whoever has none, under the empty key.")
    ] = None,
    recovery: Annotated[Path | None, typer.Option(help="Directory from which a killed replay resumes.")] = None,
    config: Config = None,
) -> None:
    """Run a recorded log through the flow, and measure by test-then-learn."""
    titles = {} if items is None else read_titles(items)
    for written in (report, html):
        if written is not None:
            check_writable(written)
    if html is not None:
        expect_libraries()
    watch = None if html is None and explain is None else ModelWatch()
    settings = settings_of(
        config,
        domain=domain,
        model=model,
        top=top,
        repeats=repeats,
        explore=explore,
        min_score=min_score,
        refresh=refresh,
        strangers=strangers,
        recovery=recovery,
    )
    asked = protocol(settings.top)
    result = _replay(
        log.find(settings, say),
        settings,
        columns=log.columns,
        limit=log.limit,
        sort=log.sort,
        protocol=asked,
        out=out,
        rejects=rejects,
        watch=watch,
    )
    if titles:
        show_lists(result, titles, console)
    if explain is not None and watch is not None and watch.model is not None:
        print_known(known_of(watch.model, explain, settings.top, titles), console)
    if report is not None:
        report.write_bytes(orjson.dumps(result.report(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if html is not None and watch is not None:
        write_html(html, [measured(result, watch)], typed_command(), titles=titles, window=asked.window)
        console.print(f"{html} shows it.", highlight=False, markup=False)
    if result.damage:
        raise WrongUseError(result.damage)


@app.command()
def record(
    recording: Annotated[Path, typer.Argument(help="A file to make: .jsonl, .jsonl.gz or .jsonl.zst.")],
    topic: Annotated[str | None, typer.Option(help="The topic.", show_default="the input topic")] = None,
    since: Annotated[str | None, typer.Option(help="From 2026-11-01, or a time with an offset.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to, and without.", show_default="now")] = None,
    first: Annotated[int | None, typer.Option("--from-offset", min=0, help="From this offset on.")] = None,
    end: Annotated[int | None, typer.Option("--to-offset", min=0, help="Up to this offset, and without.")] = None,
    config: Config = None,
) -> None:
    """Write what a topic holds to a file, a record a line, to be replayed."""
    settings = settings_of(config)
    wanted = Range(moment("--since", since), moment("--until", until), first, end)
    say(record_topic(settings, topic or settings.input_topic, wanted, recording))


@app.command()
def run(
    explore: Explore = None,
    config: Config = None,
    stop_at_end: Annotated[bool, typer.Option(help="Stop where the input topic ends now.")] = False,
) -> None:
    """Run the job: Kafka in, Kafka out, until stopped."""
    settings = settings_of(config, explore=explore)
    set_up_logging(settings.log_format, secrets_in(settings.client()))
    faults = find_faults(settings)
    if faults:
        raise WrongUseError("\n".join(faults))
    warm_up_kernels(settings)
    run_job(settings, stop_at_end)


@app.command()
def feed(
    log: Annotated[
        Path, typer.Argument(help="CSV or JSON Lines; plain, .gz or .zst.", show_default="the bundled log")
    ] = sample.EVENTS,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Events per second.", show_default="as fast as they go")
    ] = None,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Do nothing if the topic has held events.")] = False,
    columns: Columns = None,
    config: Config = None,
) -> None:
    """Write a recorded log into the input topic, for the job to read."""
    settings = settings_of(config)
    fed = feed_log(log, settings, settings.input_topic, rate, pairs_of(columns), if_empty=if_empty)
    said = f"{fed.delivered:,} events are in {settings.input_topic}; {fed.rejected:,} records were no events."
    if fed.skipped:
        said = f"{settings.input_topic} has held events before: nothing is fed."
    console.print(said, highlight=False)


@app.command()
def check(config: Config = None) -> None:
    """Say what is wrong with the configuration, the topics or the broker, and what to do."""
    settings = settings_of(config)
    faults = find_faults(settings)
    if faults:
        raise WrongUseError("\n".join(faults))
    console.print(f"All is well: {settings.bootstrap} has what the job needs.", highlight=False)


app.command("compare")(compare_models)
app.command("tune")(tune_settings)
app.command()(show_command.show)
app.command()(show_command.top)


def main() -> None:
    """Run the command, and turn what is expected to go wrong into one clear message and an exit status."""
    sys.path.append(str(Path.cwd()))  # where a model of one's own is looked for, as `python -m` would
    try:
        app()
    except (WrongUseError, LogError, OutputFileError, RecoveryError, SettingsError, StoreError, ValueError) as error:
        _end(error, WRONG)
    except (KafkaTrouble, TooManyRejectsError, WriteError, ReplayFailedError) as error:
        _end(error, FAILED)
    except OSError as error:  # a full disk, most likely: what can be foreseen has a message of its own
        _end(f"expected to read and write files; {error}. Make room, or mend that, and start the job again.", FAILED)
    except KeyboardInterrupt:
        _end("stopped.", FAILED)


def _end(message: object, status: int) -> None:
    if are_logs_json():
        logger.critical("%s", message)
    else:
        console.print(f"freshrank: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(status)


def _replay(log: Path | Sequence[str], settings: Settings, **arguments: Any) -> ReplayResult:
    warm_up_kernels(settings)
    name = log.name if isinstance(log, Path) else Path(log[0]).name
    with progress_of(name, console) as progress:
        result = replay_log(log, settings, progress=progress, **arguments)
    show_result(result, console)
    return result


if __name__ == "__main__":
    main()
