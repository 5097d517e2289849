"""The trainer's process: `python -m flows.trainer.process DIRECTORY DIGEST LIMITS`.

It trains one work and ends. Two of them never train the same work at once: the second waits, and finds it done.
"""

import fcntl
import sys
import time
from pathlib import Path

import msgspec

from flows.trainer.files import WorkFiles
from flows.trainer.limits import Limits


def main(directory: str, digest: str, limits: str) -> None:
    """Train a work within limits, and write the weights."""
    bounds, files, number = msgspec.json.decode(limits, type=Limits), WorkFiles(Path(directory)), int(digest)
    bounds.apply()
    with files.path("lock", number).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if files.is_done(number):
            return
        work, options = files.read_work(number)
        from recmodels.slow.training import train  # JAX takes its threads from the affinity at its import

        used = time.process_time()
        trained = train(work, options, bounds.pace())
        files.write_weights(trained, work.number, number, time.process_time() - used)


if __name__ == "__main__":
    main(*sys.argv[1:])
