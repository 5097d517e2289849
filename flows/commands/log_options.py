"""The options that say which log to replay, the same for every command that replays."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.file_options import OptionsByPattern, with_file_options
from flows.commands.protocol_options import with_options
from flows.errors import LogError, UsageError
from flows.files.inputs import find_files
from flows.files.recording import check_recording, record
from flows.formats.reasons import RejectError
from flows.formats.times import TimeFormat
from flows.job.preflight import require_brokers
from flows.kafka.topic_range import TopicRange, read_range
from flows.settings import Settings


@dataclass(frozen=True)
class GivenLog:
    """Which log was asked for.

    Attributes:
        paths: Files and patterns; empty for a topic.
        file_options: How files are read, by patterns of their names.
        limit: Number of records to read. None: all.
        sort: Sort by time first.
        topic: A topic, of which `range` is recorded first. None: files.
        range: Of the topic.
        recording: The file that the topic is recorded to.
    """

    paths: tuple[str, ...]
    file_options: OptionsByPattern
    limit: int | None
    sort: bool
    topic: str | None
    range: TopicRange
    recording: Path

    def reads(self) -> list[tuple[str, Path]]:
        """Return the files that will be read, and what they are for a message."""
        return [] if self.topic is not None else [("the log", file) for file in find_files(self.paths)]

    def writes(self) -> list[tuple[str, Path]]:
        """Return the file that will be written before the log is read."""
        return [] if self.topic is None else [("--recording", self.recording)]

    def find(self, settings: Settings, say: Callable[[str], object] = lambda text: None) -> tuple[str, ...]:
        """Return the files to replay; where a topic was named, record it first.

        Args:
            settings: Where the brokers are.
            say: Told what was recorded, and how to replay it again.

        Raises:
            KafkaJobError: The topic cannot be read.
            LogError: There are no records in the range.
            OutputFileError: The recording cannot be written.
        """
        if self.topic is None:
            return self.paths
        say(record_topic(settings, self.topic, self.range, self.recording))
        return (str(self.recording),)


def record_topic(settings: Settings, topic: str, wanted: TopicRange, path: Path) -> str:
    """Record a range of a topic, and return a sentence that says what was written."""
    check_recording(path)
    require_brokers(settings, {"input_topic": [topic]})
    count = record(topic, read_range(settings.client(), topic, wanted), path)
    return f"{count:,} records of {topic} are in {path}. Replay it again: freshrank replay {path}"


def moment(option: str, text: str | None) -> float | None:
    """Read a moment: a date, which begins at midnight UTC, a time, in UTC where it has no offset, or Unix seconds.

    >>> moment("--since", "1970-01-02"), moment("--since", "1970-01-01T01:00:00+01:00"), moment("--since", "90.5")
    (86400.0, 0.0, 90.5)

    Raises:
        UsageError: It is none of these.
    """
    if text is None:
        return None
    try:
        return TimeFormat().seconds(text)
    except RejectError:
        raise UsageError(
            f"{option}: expected a date, a time with an offset or Unix seconds, such as 2026-11-01 or "
            f"2026-11-01T08:00:00Z; got {text!r}."
        ) from None


def _options(
    logs: Annotated[
        list[str] | None,
        typer.Argument(
            help="CSV or JSON, plain, .gz or .zst, or Parquet. Several, or a quoted pattern, are merged by time."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Number of records to read, from the start.")] = None,
    sort: Annotated[bool, typer.Option("--sort", help="Sort by time first.")] = False,
    from_topic: Annotated[str | None, typer.Option(help="Record this topic first, and replay the recording.")] = None,
    since: Annotated[str | None, typer.Option(help="Of the topic: from 2026-11-01, or a time with an offset.")] = None,
    until: Annotated[str | None, typer.Option(help="Of the topic: up to, and without.", show_default="now")] = None,
    recording: Annotated[
        Path | None, typer.Option(help="The file to record to.", show_default="TOPIC.jsonl.zst")
    ] = None,
) -> None:
    """Only the signature counts."""


def with_log(command: Callable[..., None]) -> Callable[..., None]:
    """Give a Typer command the arguments that name a log. It takes them as two: `log: GivenLog`, and how it is read."""

    @wraps(command)
    def united(log: GivenLog, file_options: OptionsByPattern, **others: Any) -> None:
        command(log=replace(log, file_options=file_options), **others)

    own = inspect.signature(command)
    extra = inspect.Parameter("file_options", inspect.Parameter.KEYWORD_ONLY)
    united.__signature__ = own.replace(  # type: ignore[attr-defined]  # what with_options looks at
        parameters=[*own.parameters.values(), extra]
    )
    return with_file_options(with_options(united, _options, "log", _given))


def _given(flags: dict[str, Any]) -> GivenLog:
    paths, topic = tuple(flags["logs"] or ()), flags["from_topic"]
    if bool(paths) is (topic is not None):
        raise LogError("expected a log: either files, or --from-topic with the name of a topic.")
    for option in ("since", "until", "recording"):
        if topic is None and flags[option] is not None:
            raise LogError(f"--{option}: it belongs to --from-topic, which names a topic.")
    return GivenLog(
        paths=paths,
        file_options=(),
        limit=flags["limit"],
        sort=flags["sort"],
        topic=topic,
        range=TopicRange(since=moment("--since", flags["since"]), until=moment("--until", flags["until"])),
        recording=flags["recording"] or Path(f"{topic}.jsonl.zst"),
    )
