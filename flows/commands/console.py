"""Output for people: progress while a log is read, and the results."""

import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich import progress as rich_progress
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from flows.commands.plain_text import plain
from flows.files.inputs import short_name
from flows.files.record_source import Progress
from flows.monitoring.counters import describe_types
from flows.replay import ReplayResult
from recmodels.rules.tally import SAID

PLAIN_SECONDS = 5.0
"""Time between two lines of progress where there is no terminal."""


@contextmanager
def progress_of(name: str, console: Console) -> Iterator[Progress]:
    """Show how far a log has been read: a bar on a terminal, a line now and then elsewhere."""
    if not console.is_terminal:
        yield _plain_progress(name, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[events]:,} events"))
    with rich_progress.Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(escape(plain(name)), total=None, events=0)
        yield lambda done, total, events: bar.update(task, completed=done, total=total, events=events)


def _plain_progress(name: str, console: Console) -> Progress:
    due = time.monotonic() + PLAIN_SECONDS

    def tell(done: int, total: int, events: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + PLAIN_SECONDS
            said = f"{plain(name)}: {events:,} events, {done / max(total, 1):.0%} of the file"
            console.print(said, markup=False)

    return tell


def show_result(result: ReplayResult, console: Console) -> None:
    """Print the result of a replay."""
    report = result.report()
    title = Text(plain(f"{result.settings.model} on {short_name(result.path)}"))
    table = Table(title=title, title_justify="left")
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in result.metrics.items():
        table.add_row(name, f"{value:.4f}")
    for kind in ("related", "trending"):
        for name, value in report.get(kind, {}).items():
            if name.startswith("hit_rate"):
                table.add_row(f"{name} of {kind} items", f"{value:.4f}")
    if result.challenge is not None:
        challenge = result.challenge
        name = plain(challenge.model)
        table.add_row(Text(f"hit_rate@{challenge.k} of challenger {name}"), f"{challenge.hits.challenger_hit_rate:.4f}")
    for name, value in report.get("rules", {}).items():
        if name in SAID:
            table.add_row(SAID[name], f"{value:.4f}")
    table.add_row("messages per event", f"{result.messages_per_event:.2f}")
    table.add_row("events scored", f"{report['scored']:,}")
    table.add_row("users, items", f"{result.users:,}, {result.items:,}")
    table.add_row("events per second", f"{report['events_per_second']:,.0f}")
    latency = report["latency_us"]
    table.add_row("latency p50, p99", f"{latency['p50']:,.0f} µs, {latency['p99']:,.0f} µs")
    table.add_row("peak memory", f"{report['peak_rss_mb']:,.0f} MB")
    console.print(table)
    show_counts(result, console)
    if result.challenge is not None:
        console.print(plain(result.challenge.sentence()), highlight=False, markup=False, soft_wrap=True)
    if result.attribution is not None:
        console.print(plain(result.attribution.sentence()), highlight=False, markup=False, soft_wrap=True)
    if result.counters.late:
        console.print(
            f"{result.counters.late:,} events are older than one before them, and were learned in the order of the log "
            "all the same: --sort sorts them.",
            highlight=False,
        )


def show_shards(one: ReplayResult, result: ReplayResult, console: Console) -> None:
    """Print what several shards cost and bring against one.

    Args:
        one: The result of one shard.
        result: The result of several.
        console: Where to print.
    """
    exchange = result.exchange
    assert exchange is not None
    title = f"{exchange.shards} shards, with a round of deltas every {exchange.round:,} events"
    table = Table(title=title, title_justify="left")
    for name in ("measure", "one shard", f"{exchange.shards} shards", "change"):
        table.add_column(name, justify="left" if name == "measure" else "right")
    for name, value in one.metrics.items():
        other = result.metrics[name]
        table.add_row(name, f"{value:.4f}", f"{other:.4f}", f"{other / value - 1.0:+.1%}" if value else "")
    table.add_row("bytes of deltas per event", "", f"{exchange.bytes_per_event:,.0f}", "")
    table.add_row("deltas per event", "", f"{exchange.deltas / max(exchange.events, 1):.3f}", "")
    table.add_row("CPU µs of an own event", "", f"{exchange.own_us:,.1f}", "")
    table.add_row("CPU µs of a peer's event", "", f"{exchange.foreign_us:,.2f}", "")
    console.print(table)


def show_counts(result: ReplayResult, console: Console) -> None:
    """Print the counts of a replay's records, and of its types of event."""
    types, settings = result.counters.event_types, result.settings
    if result.first_measured:
        said = (
            f"Measured from record {result.first_measured + 1:,} on: an older version read those before, and kept no "
            "measures. Replay the log without --recovery to measure all of it."
        )
        console.print(said, highlight=False, soft_wrap=True)
    told = describe_types(types, settings.rewards, settings.by_value, settings.undo)
    for line in (f"{result.counters.sentence()}.", *told):
        console.print(plain(line), highlight=False, markup=False, soft_wrap=True)


def typed_command() -> str:
    """Return the command that runs, as one would type it again in this directory."""
    return shlex.join(["freshrank", *sys.argv[1:]])


def typed_program() -> str:
    """Return how this program was called, as one would type it again in this directory."""
    program = Path(sys.argv[0])
    if program.name != "freshrank":
        return "freshrank"
    if not program.is_absolute():
        return str(program) if len(program.parts) > 1 else program.name
    return str(program.relative_to(Path.cwd())) if program.is_relative_to(Path.cwd()) else program.name


def show_next_steps(steps: Mapping[str, str], console: Console) -> None:
    """Print commands for the next steps, with their purposes."""
    console.print("\nNext steps:")
    for command, purpose in steps.items():
        console.print(f"  # {purpose}\n  {command}", highlight=False, markup=False, soft_wrap=True)


def show_lists(result: ReplayResult, titles: Mapping[str, str], console: Console, length: int = 5) -> None:
    """Print the lists of the latest users, with titles."""
    for user, items in result.last_lists.items():
        console.print(f"\nfor user {plain(user)}:", highlight=False, markup=False)
        for place, item in enumerate(items[:length], start=1):
            console.print(f"  {place}. {plain(titles.get(item, item))}", highlight=False, markup=False)
