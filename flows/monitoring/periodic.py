"""A thread that calls a function at regular intervals while a block runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def called_every(seconds: float, function: Callable[[], object], name: str) -> Iterator[None]:
    """Call a function at intervals, on a thread of its own, until the block ends.

    Args:
        seconds: Time between two calls, and before the first.
        function: The function. An exception of it ends only the thread.
        name: Name of the thread.

    >>> import time
    >>> calls: list[float] = []
    >>> with called_every(0.001, lambda: calls.append(time.monotonic()), "clock"):
    ...     while len(calls) < 3:
    ...         time.sleep(0.001)
    """
    done = threading.Event()

    def run() -> None:
        while not done.wait(seconds):
            function()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
