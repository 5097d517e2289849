"""What a person sees while something takes long whose end nobody can foresee."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PLAIN_SECONDS = 5.0
"""Time between two lines where there is no terminal."""


@contextmanager
def waiting(sentence: str, console: Console) -> Iterator[None]:
    """Say what takes long, and how long it has taken: a spinner on a terminal, a line now and then elsewhere.

    Args:
        sentence: What is done.
        console: Where to print.
    """
    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console) as bar:
            bar.add_task(sentence, total=None)
            yield
        return
    console.print(sentence, highlight=False, soft_wrap=True)
    done, began = threading.Event(), time.monotonic()

    def tell() -> None:
        while not done.wait(PLAIN_SECONDS):
            console.print(f"... {time.monotonic() - began:.0f} s", highlight=False)

    thread = threading.Thread(target=tell, name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
