"""The command line."""

import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from flows import sample
from flows.engine import RecoveryError
from flows.feed import feed as feed_log
from flows.file_sinks import OutputFileError
from flows.kafka_trouble import KafkaTrouble, secrets_in
from flows.log_file import LogError
from flows.logs import are_logs_json, set_up_logging
from flows.records import StoreError, WriteError
from flows.replay import ReplayResult
from flows.replay import replay as replay_log
from flows.run import find_faults
from flows.run import run as run_job
from flows.screen import progress_of, read_titles, show_lists, show_result
from flows.settings import Settings, SettingsError, load_settings
from flows.watch import TooManyRejectsError
from recmodels.fused import FusedModel, are_kernels_compiled, warm_up

FAILED, WRONG = 1, 2
"""Exit statuses: a failure while running; a wrong command, configuration or input file."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn from every event; put each user's refreshed list on a topic.",
)
console = Console(stderr=True)
logger = logging.getLogger(__name__)


class Repeats(StrEnum):
    """Whether a list may hold items that its user has interacted with."""

    ALLOW = "allow"
    EXCLUDE = "exclude"


Columns = Annotated[
    list[str] | None, typer.Option("--map", help="Column of a field, where its name differs: user=userId.")
]
Config = Annotated[Path | None, typer.Option(help="TOML file of settings.", show_default="freshrank.toml, if there")]


class WrongUseError(Exception):
    """A wrong command, configuration or input file."""


@app.command()
def demo() -> None:
    """Replay the bundled log of film ratings, and show some lists. Needs no broker."""
    console.print("30,000 ratings of films, one after the other: ask for the list, score it, learn the rating.")
    result = _replay(sample.EVENTS, _settings(repeats="exclude"))
    show_lists(result, read_titles(sample.ITEMS), console)


@app.command()
def replay(
    log: Annotated[Path, typer.Argument(help="CSV or JSON Lines; plain, .gz or .zst.")],
    domain: Annotated[
        str | None, typer.Option(help="Presets: ecommerce, social, video or news; other options come before them.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Such as blend or river:reco.BiasedMF(n_factors=32).")] = None,
    top: Annotated[int | None, typer.Option(help="Items of a list.")] = None,
    repeats: Annotated[
        Repeats | None, typer.Option(help="Whether lists may hold what the user has interacted with.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Read only so many records.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the lists here, as JSON Lines.")] = None,
    rejects: Annotated[Path | None, typer.Option(help="Write rejected records here.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write what was measured here, as JSON.")] = None,
    items: Annotated[Path | None, typer.Option(help="CSV of item and title: show some lists with titles.")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", help="Column of a field, where its name differs: user=userId."),
    ] = None,
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
    if report is not None:
        _check_writable(report)
    settings = _settings(
        config,
        domain=domain,
        model=model,
        top=top,
        repeats=repeats,
        min_score=min_score,
        refresh=refresh,
        strangers=strangers,
        recovery=recovery,
    )
    result = _replay(log, settings, columns=_pairs(columns or []), limit=limit, out=out, rejects=rejects)
    if titles:
        show_lists(result, titles, console)
    if report is not None:
        report.write_bytes(orjson.dumps(result.report(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if result.damage:
        raise WrongUseError(result.damage)


@app.command()
def run(
    config: Config = None,
    stop_at_end: Annotated[bool, typer.Option(help="Stop where the input topic ends now.")] = False,
) -> None:
    """Run the job: Kafka in, Kafka out, until stopped."""
    settings = _settings(config)
    set_up_logging(settings.log_format, secrets_in(settings.client()))
    faults = find_faults(settings)
    if faults:
        raise WrongUseError("\n".join(faults))
    _warm_up(settings)
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
    settings = _settings(config)
    fed = feed_log(log, settings, settings.input_topic, rate, _pairs(columns or []), if_empty=if_empty)
    said = f"{fed.delivered:,} events are in {settings.input_topic}; {fed.rejected:,} records were no events."
    if fed.skipped:
        said = f"{settings.input_topic} has held events before: nothing is fed."
    console.print(said, highlight=False)


@app.command()
def check(config: Config = None) -> None:
    """Say what is wrong with the configuration, the topics or the broker, and what to do."""
    settings = _settings(config)
    faults = find_faults(settings)
    if faults:
        raise WrongUseError("\n".join(faults))
    console.print(f"All is well: {settings.bootstrap} has what the job needs.", highlight=False)


def main() -> None:
    """Run the command, and turn what is expected to go wrong into one clear message and an exit status."""
    sys.path.append(str(Path.cwd()))  # where a model of one's own is looked for, as `python -m` would
    try:
        app()
    except (WrongUseError, LogError, OutputFileError, RecoveryError, StoreError, ValueError) as error:
        _end(error, WRONG)
    except (KafkaTrouble, TooManyRejectsError, WriteError) as error:
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


def _settings(config: Path | None = None, **flags: Any) -> Settings:
    try:
        return load_settings(config, **{name: value for name, value in flags.items() if value is not None})
    except SettingsError as error:
        raise WrongUseError(str(error)) from None


def _replay(log: Path, settings: Settings, **arguments: Any) -> ReplayResult:
    _warm_up(settings)
    with progress_of(log.name, console) as progress:
        result = replay_log(log, settings, progress=progress, **arguments)
    show_result(result, console)
    return result


def _warm_up(settings: Settings) -> None:
    if not isinstance(settings.build_model(), FusedModel):
        return
    if not are_kernels_compiled():
        said = "Compiling the kernels, once for this version: this takes about 20 seconds."
        logger.info(said) if are_logs_json() else console.print(said)
    warm_up()


def _pairs(columns: list[str]) -> dict[str, str]:
    pairs = {}
    for pair in columns:
        field, separator, column = pair.partition("=")
        if not separator:
            raise WrongUseError(f"--map {pair}: expected field=column, such as user=userId.")
        pairs[field] = column
    return pairs


def _check_writable(path: Path) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise WrongUseError(f"{path}: expected a file to write; its directory is not there, or it is one itself.")


if __name__ == "__main__":
    main()
