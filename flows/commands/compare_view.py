"""Output of `compare`: progress of several replays, and the table of results."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from flows.commands.console import PLAIN_SECONDS
from flows.commands.plain_text import plain
from flows.experiments.compare import Comparison, Difference, ModelResult, OnProgress
from flows.experiments.interval_text import interval_text
from flows.experiments.job import ProgressMessage
from flows.files.inputs import short_name


@contextmanager
def progress_of_all(names: Sequence[str], console: Console) -> Iterator[OnProgress]:
    """Show how far each replay is: a bar each on a terminal, a line for all now and then elsewhere."""
    if not console.is_terminal:
        yield _plain_progress(names, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[events]:,} events"))
    with Progress(*columns, console=console, transient=True) as bar:
        tasks = {name: bar.add_task(escape(plain(name)), total=1.0, events=0) for name in names}

        def on_progress(name: str, message: ProgressMessage) -> None:
            if message.step is None:
                bar.update(tasks[name], completed=message.share, events=message.events)

        yield on_progress


def _plain_progress(names: Sequence[str], console: Console) -> OnProgress:
    shares = dict.fromkeys(names, 0.0)
    lock, due = threading.Lock(), time.monotonic() + PLAIN_SECONDS

    def on_progress(name: str, message: ProgressMessage) -> None:
        nonlocal due
        with lock:
            if message.step is None:
                shares[name] = message.share
            if time.monotonic() >= due:
                due = time.monotonic() + PLAIN_SECONDS
                said = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
                _say(said, console)

    return on_progress


def show_comparison(found: Comparison, measure: str, console: Console) -> None:
    """Print the table (metrics, differences from the first, and costs, by model), and sentences about it."""
    first = found.contenders[0]
    log = first.report["log"]
    counts = f"{log['events']:,} events, {log['users']:,} users, {log['items']:,} items, {log['rejected']:,} rejected"
    table = Table(title=escape(plain(f"{short_name(log['path'])}: {counts}")), title_justify="left")
    table.add_column("measure", no_wrap=True)
    for one in found.contenders:
        table.add_column(escape(plain(one.model)), justify="right", overflow="fold")
    best = found.best.model
    for name in first.values:
        marks = [" *" if name == measure and one.model == best else "" for one in found.contenders]
        table.add_row(
            name, *(f"{one.values[name]:.4f}{mark}" for one, mark in zip(found.contenders, marks, strict=True))
        )
    table.add_section()
    differences = {(difference.model, difference.measure): difference for difference in found.differences}
    table.add_row("more than the first", "", *("95 % interval" for _ in found.contenders[1:]))
    for name in dict.fromkeys(difference.measure for difference in found.differences):
        table.add_row(f"  {name}", "", *(_difference(differences[one.model, name]) for one in found.contenders[1:]))
    table.add_section()
    costs = [_costs(one) for one in found.contenders]
    for name in costs[0]:
        table.add_row(name, *(cost[name] for cost in costs))
    console.print(table)
    for sentence in found.sentences():
        _say(sentence, console)
    kept = [one.model for one in found.contenders if one.from_cache]
    if kept:
        _say(f"Measured before, and so was the speed: {', '.join(kept)}. --anew measures again.", console)


def _say(sentence: str, console: Console) -> None:
    console.print(plain(sentence), highlight=False, markup=False, soft_wrap=True)


def _difference(difference: Difference) -> str:
    if not difference.events:
        return "-"
    said = interval_text(difference.interval, signed=True)
    return said if difference.interval.holds_zero else f"[bold]{said}[/bold]"


def _costs(one: ModelResult) -> dict[str, str]:
    report = one.report
    return {
        "events scored": f"{report['scored']:,}",
        "events per second": f"{report['events_per_second']:,.0f}",
        "CPU seconds": f"{report['cpu_seconds']:.2f}",
        "latency p50, µs": f"{report['latency_us']['p50']:,.0f}",
        "latency p99, µs": f"{report['latency_us']['p99']:,.0f}",
        "peak memory, MB": f"{report['peak_rss_mb']:,.0f}",
    }
