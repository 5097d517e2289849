"""Limits of the trainer's process: priority, core, memory and share of the core."""

import os
import resource
import time
from collections.abc import Callable
from typing import Final

import msgspec

LOWEST_PRIORITY: Final = 19
"""Niceness: the process runs when nothing else wants its core."""
MEGABYTE: Final = 1 << 20


class Limits(msgspec.Struct, frozen=True):
    """Limits of a training."""

    cpu_share: float = 1.0
    """Largest share of one core."""
    memory_mb: int = 4_096
    """Largest size of its data in MB. Beyond it the training fails, and the job goes on."""
    core: int = -1
    """Number of the core that it runs on. -1: the last one that the job may use, if there are several."""

    def apply(self) -> None:
        """Bind this process to the limits."""
        os.nice(LOWEST_PRIORITY)
        cores = sorted(os.sched_getaffinity(0))
        if self.core >= 0:
            os.sched_setaffinity(0, {self.core})
        elif len(cores) > 1:
            os.sched_setaffinity(0, {cores[-1]})
        resource.setrlimit(resource.RLIMIT_DATA, (self.memory_mb * MEGABYTE,) * 2)

    def pace(self) -> Callable[[], None]:
        """Return a function that sleeps after each step, so that the share is kept."""
        if self.cpu_share >= 1.0:
            return lambda: None
        begun, used = time.monotonic(), time.process_time()

        def sleep() -> None:
            wanted = (time.process_time() - used) / self.cpu_share
            time.sleep(max(wanted - (time.monotonic() - begun), 0.0))

        return sleep
