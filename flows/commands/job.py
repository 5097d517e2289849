"""`freshrank run`, `check`, `feed` and `record`: the job beside Kafka."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from flows import sample
from flows.commands.file_options import OptionsByPattern, with_file_options
from flows.commands.log_options import moment, record_topic
from flows.commands.options import (
    Config,
    begin_to_load_kernels,
    console,
    say,
    settings_of,
    warm_up_kernels,
)
from flows.commands.setting_options import OF_A_JOB, GivenSettings, with_settings
from flows.errors import UsageError
from flows.job.connections import connector_of
from flows.job.decoder import why_not_plain
from flows.job.feed import feed as feed_log
from flows.job.past_request import Backfill
from flows.job.resend import resend as resend_letters
from flows.job.run import run as run_job
from flows.kafka.errors import secrets_in
from flows.kafka.start_offsets import BeginFrom
from flows.kafka.topic_range import TopicRange
from flows.monitoring.logging_setup import set_up_logging
from flows.settings import Settings

logger = logging.getLogger(__name__)


def _one_topic(settings: Settings, option: str) -> str:
    if settings.topics.main is None:
        raise UsageError(f"`input_topic` is a pattern ({settings.input_topic}): name one topic with {option}.")
    if not settings.topics.is_one:
        raise UsageError(f"`input_topic` names several topics ({settings.input_topic}): name one with {option}.")
    return settings.topics.main


@with_settings("bootstrap")
def record(
    given: GivenSettings,
    recording: Annotated[Path, typer.Argument(help="A file to make: .jsonl, .jsonl.gz or .jsonl.zst.")],
    topic: Annotated[str | None, typer.Option(help="The topic.", show_default="the input topic")] = None,
    since: Annotated[str | None, typer.Option(help="From 2026-11-01, or a time with an offset.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to, and without.", show_default="now")] = None,
    first: Annotated[int | None, typer.Option("--from-offset", min=0, help="From this offset on.")] = None,
    end: Annotated[int | None, typer.Option("--to-offset", min=0, help="Up to this offset, and without.")] = None,
    config: Config = None,
) -> None:
    """Record a topic to a file that can be replayed, one record a line."""
    settings = settings_of(config, **given)
    wanted = TopicRange(moment("--since", since), moment("--until", until), first, end)
    say(record_topic(settings, topic or _one_topic(settings, "--topic"), wanted, recording))


@with_settings(*OF_A_JOB)
def run(
    given: GivenSettings,
    config: Config = None,
    stop_at_end: Annotated[bool, typer.Option(help="Stop where the input topics end now.")] = False,
    from_group: Annotated[bool, typer.Option("--from-group", help="Begin at the group's offsets, this once.")] = False,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin at the first record, this once.")] = False,
    from_state: Annotated[
        bool, typer.Option("--from-state", help="Begin at the recovery state, whatever the group's offsets, this once.")
    ] = False,
    backfill: Annotated[
        list[str] | None,
        typer.Option(help="Learn these files first, without their lists: a file or a quoted pattern; may be repeated."),
    ] = None,
    backfill_topic: Annotated[str | None, typer.Option(help="Learn this topic first, without its lists.")] = None,
    backfill_state: Annotated[
        Path | None, typer.Option(help="Go on with the state of a replay: its recovery directory.")
    ] = None,
    backfill_sort: Annotated[bool, typer.Option("--backfill-sort", help="Sort the files by time first.")] = False,
    backfill_until: Annotated[
        str | None, typer.Option(help="Learn of the past only what is before: 2026-11-01, or a time.")
    ] = None,
    silent: Annotated[
        bool, typer.Option("--silent", help="Send no list until the input topics are caught up.")
    ] = False,
    active_days: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Then send a list to each user with an event in this number of days. 0: to nobody.",
            show_default="30",
        ),
    ] = None,
) -> None:
    """Run the job: Kafka in, Kafka out, until stopped."""
    chosen: list[BeginFrom] = []
    chosen += ["group"] if from_group else []
    chosen += ["start"] if from_start else []
    chosen += ["state"] if from_state else []
    if len(chosen) > 1:
        raise UsageError("expected one of --from-group, --from-start and --from-state; got several. Choose one.")
    begin_from = chosen[0] if chosen else None
    asked = _backfill(backfill, backfill_topic, backfill_state, backfill_sort, backfill_until, silent, active_days)
    settings = settings_of(config, **given)
    set_up_logging(settings.log_format, secrets_in(settings.client()))
    connector = connector_of(settings, begin_from)
    is_loading = begin_to_load_kernels(settings)
    found = connector.inspect()
    if found.faults:
        raise UsageError("\n".join(found.faults))
    for warning in found.warnings:
        logger.warning("%s", warning)
    if not is_loading:
        warm_up_kernels(settings)
    run_job(settings, stop_at_end, begin_from, connector, asked)


def _backfill(
    paths: list[str] | None,
    topic: str | None,
    state: Path | None,
    sort: bool,
    until: str | None,
    is_silent: bool,
    active_days: float | None,
) -> Backfill | None:
    """Return what is to be learned silently. None: nothing is named."""
    given = {"--backfill": bool(paths), "--backfill-topic": topic is not None, "--backfill-state": state is not None}
    named = [option for option, is_given in given.items() if is_given]
    if len(named) > 1:
        raise UsageError(f"expected one past to learn; {' and '.join(named)} each name one. Leave one of them.")
    if sort and not paths:
        raise UsageError("--backfill-sort: it belongs to --backfill, which names files.")
    if until is not None and (not named or state is not None):
        raise UsageError("--backfill-until: it belongs to --backfill or --backfill-topic.")
    if not named and not is_silent:
        if active_days is not None:
            raise UsageError("--active-days: it belongs to --silent or to a backfill.")
        return None
    return Backfill(
        paths=tuple(paths or ()),
        topic=topic,
        state=state,
        sort=sort,
        until=moment("--backfill-until", until),
        is_silent=is_silent,
        active_days=30.0 if active_days is None else active_days,
    )


@with_settings("bootstrap", "input_topic")
@with_file_options
def feed(
    given: GivenSettings,
    file_options: OptionsByPattern,
    log: Annotated[
        Path, typer.Argument(help="CSV or JSON Lines; plain, .gz or .zst.", show_default="the bundled log")
    ] = sample.EVENTS,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Events per second.", show_default="as fast as they go")
    ] = None,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Do nothing if the topic has held events.")] = False,
    config: Config = None,
) -> None:
    """Write a recorded log into the input topic, for the job to read."""
    settings = settings_of(config, **given)
    topic = _one_topic(settings, "--input-topic")
    if why := why_not_plain(settings, topic):
        raise UsageError(f"feed: expected an input topic of plain JSON events; {topic} {why}. Name another.")
    fed = feed_log(log, settings, topic, rate, file_options, if_empty=if_empty)
    said = f"{fed.delivered:,} events are in {topic}; {fed.rejected:,} records were no events."
    if fed.skipped:
        said = f"{topic} has held events before: nothing is fed."
    console.print(said, highlight=False)


@with_settings("bootstrap", "input_topic", "dead_letter_topic")
def resend(
    given: GivenSettings,
    reason: Annotated[
        list[str] | None, typer.Option(help="Only letters with this reason, such as 'missing field'; may be repeated.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only letters written from 2026-11-01 on, or a time.")] = None,
    until: Annotated[str | None, typer.Option(help="Only letters written before.", show_default="now")] = None,
    first: Annotated[int | None, typer.Option("--from-offset", min=0, help="From this offset of the topic on.")] = None,
    end: Annotated[int | None, typer.Option("--to-offset", min=0, help="Up to this offset, and without.")] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Send letters that would be rejected again, too.")] = False,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    config: Config = None,
) -> None:
    """Put dead letters back into the input topic, each once, after their cause was repaired."""
    settings = settings_of(config, **given)
    wanted = TopicRange(moment("--since", since), moment("--until", until), first, end)
    done = resend_letters(settings, wanted, reason or (), anyway=anyway, is_dry=is_dry)
    say(done.sentence(settings.input_topic, is_dry))


@with_settings(*OF_A_JOB)
def check(
    given: GivenSettings,
    config: Config = None,
    is_creating: Annotated[
        bool,
        typer.Option("--create", help="Create missing topics, as the job would, if all else is well."),
    ] = False,
) -> None:
    """Check the settings, the topics and the broker, and say how to repair each fault."""
    settings = settings_of(config, **given)
    connector = connector_of(settings)
    found = connector.inspect()
    if is_creating and not found.faults:
        connector.prepare()
        found = connector.inspect()
    for warning in found.warnings:
        say(f"Warning: {warning}")
    if found.faults:
        raise UsageError("\n".join(found.faults))
    verdict = "The job can run, with the warnings above" if found.warnings else "All is well"
    say(f"{verdict}: {connector.place} has what the job needs.")
