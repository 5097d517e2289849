"""Output of `tune`: progress of the trials, and the result."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from flows.commands.plain_text import plain
from flows.experiments.compare import OnProgress
from flows.experiments.job import ProgressMessage
from flows.experiments.trials import Trial
from flows.experiments.tune import BEFORE, Tuned, conclusion

SHOWN = 5
"""Trials in the table, the best."""


@contextmanager
def progress_of_trials(metric: str, console: Console) -> Iterator[tuple[OnProgress, Callable[[Trial], object]]]:
    """Show each running replay as a bar on a terminal, and print the result of each trial."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[events]:,} events"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def on_progress(name: str, message: ProgressMessage) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(escape(plain(name)), total=1.0, events=0)
            if message.step is None:
                bar.update(tasks[name], completed=message.share, events=message.events, visible=message.share < 1.0)

        def ended(trial: Trial) -> None:
            if (task := tasks.get(f"trial {trial.number}")) is not None:
                bar.update(task, visible=False)
            value = {
                "finished": f"{metric} {trial.value:.4f}",
                "stopped early": f"stopped early, as half of the others had more than its {trial.value:.4f} by then",
            }
            said = f"trial {trial.number}: {value.get(trial.state, trial.state)}: {_settings(trial)}"
            console.print(plain(said), highlight=False, markup=False, soft_wrap=True)

        yield on_progress, ended


def show_tuned(tuned: Tuned, console: Console) -> None:
    """Print the best trials, and the result of the winner on the rest of the log."""
    finished = sorted((trial for trial in tuned.trials if trial.state == "finished"), key=lambda trial: -trial.value)
    stopped = sum(trial.state == "stopped early" for trial in tuned.trials)
    table = Table(title=f"{len(tuned.trials)} trials, {stopped} of them stopped early", title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column(f"{tuned.metric}, first {tuned.split:,}", justify="right")
    table.add_column("settings", overflow="fold")
    for trial in finished[:SHOWN]:
        table.add_row(str(trial.number), f"{trial.value:.4f}", escape(plain(_settings(trial))))
    table.add_section()
    table.add_row("", f"{tuned.first[BEFORE]:.4f}", BEFORE)
    console.print(table)
    for sentence in conclusion(tuned):
        console.print(plain(sentence), highlight=False, markup=False, soft_wrap=True)


def _settings(trial: Trial) -> str:
    return ", ".join(value if name == "model" else f"{name} = {value}" for name, value in trial.settings.items())
