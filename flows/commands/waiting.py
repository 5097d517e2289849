"""Progress of a task of unknown length: a spinner on a terminal, lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from flows.monitoring.periodic import called_every

PLAIN_SECONDS = 5.0
"""Seconds between two lines if the output is not a terminal."""


@contextmanager
def waiting(sentence: str, console: Console) -> Iterator[None]:
    """Show a task and its duration: a spinner on a terminal, else a line every `PLAIN_SECONDS`.

    Args:
        sentence: The task.
        console: Where to print.
    """
    if console.is_terminal:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # hardly ever needed

        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console) as bar:
            bar.add_task(sentence, total=None)
            yield
        return
    console.print(sentence, highlight=False, soft_wrap=True)
    began = time.monotonic()

    def show() -> None:
        console.print(f"... {time.monotonic() - began:.0f} s", highlight=False)

    with called_every(PLAIN_SECONDS, show, "waiting"):
        yield
