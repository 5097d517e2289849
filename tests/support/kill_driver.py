"""Runs jobs in children that kill themselves where they are told to. Not a test: `test_kill_points` talks to it.

    python -m tests.support.kill_driver

Reads requests from standard input, one JSON object a line, and answers each with the child's exit status: -9 for one
that was killed. Everything is imported and compiled once, and each child is a fork.
"""

import hashlib
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

import flows.job.past_plan
import flows.job.run
import flows.state.job_file
import flows.state.record_file
import flows.state.recovery
import flows.state.store
from flows.files.record_source import _LogPartition
from flows.files.sinks import _LinePartition
from flows.job.announcement import _Users
from flows.job.past_request import Backfill
from flows.kafka.sink import _Part
from flows.kafka.source import _Partition
from flows.replay import replay
from flows.settings import Settings
from flows.state.stateful import _StatefulLogic
from flows.state.store import Store
from flows.steps.learn import Learner
from recmodels.fused.warm_up import warm_up
from tests.support.file_connector import FileConnector

Wrapper = Callable[..., Any]


def die() -> None:
    """End at once, as by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(real: Wrapper, *arguments: Any) -> None:
    """Die instead of the call."""
    die()


def after(real: Wrapper, *arguments: Any) -> None:
    """Die when the call has returned."""
    real(*arguments)
    die()


def torn_record(real: Wrapper, file: Any, record: Any) -> None:
    """Die when half of a record is on the disk."""
    whole = io.BytesIO()
    real(whole, record)
    file.write(whole.getvalue()[: whole.tell() // 2])
    file.flush()
    die()


def torn_line(real: Wrapper, part: Any, values: list[Any]) -> None:
    """Die in the midst of a line."""
    real(part, values[:-1])
    part._file.write(part._to_line(values[-1])[:20])
    part._file.flush()
    die()


def half_made(real: Wrapper, path: Path, write: Callable[[Path], object]) -> None:
    """Die when something is written, and not yet renamed."""
    write(path.with_name(f"{path.name}.new"))
    die()


POINTS: dict[str, tuple[object, str, Wrapper]] = {
    "an event is to be learned": (Learner, "process", before),
    "events are learned": (Learner, "process", after),
    "a snapshot begins": (Store, "save", before),
    "a record is half written": (flows.state.record_file, "_write", torn_record),
    "a record is written, not synced": (flows.state.record_file, "_write", after),
    "the store is synced, the engine not": (Store, "save", after),
    "a part of the state was copied": (Learner, "dump_part", after),
    "a new segment was written": (flows.state.store, "sync_directory", before),
    "a new segment is safe": (flows.state.store, "sync_directory", after),
    "old segments are to go": (Store, "_remove_all_but", before),
    "old segments are gone": (Store, "_remove_all_but", after),
    "a line is half written": (_LinePartition, "write_batch", torn_line),
    "the lines are to be flushed": (_LinePartition, "snapshot", before),
    "the lines are flushed": (_LinePartition, "snapshot", after),
    "the source has said where it is": (_LogPartition, "snapshot", after),
    "the engine's directory is half made": (flows.state.recovery, "write_whole", half_made),
    "the engine's directory is made": (flows.state.recovery, "write_whole", after),
    "the job's file is half made": (flows.state.job_file, "write_whole", half_made),
    "a state was loaded": (Store, "load", after),
}
ON_KAFKA: dict[str, tuple[object, str, Wrapper]] = {
    **{name: POINTS[name] for name in ("events are learned", "the store is synced, the engine not")},
    **{name: POINTS[name] for name in ("a record is half written", "a new segment was written")},
    "lists are handed to the client": (_Part, "write_batch", after),
    "deliveries are to be awaited": (_Part, "snapshot", before),
    "deliveries are awaited": (_Part, "snapshot", after),
    "offsets are to be committed": (_Partition, "next_batch", before),
}
OF_A_BACKFILL: dict[str, tuple[object, str, Wrapper]] = {
    **{name: POINTS[name] for name in POINTS if "made" not in name},
    "the plan is half written": (flows.job.past_plan, "write_whole", half_made),
    "the plan is written": (flows.job.past_plan, "write_whole", after),
    "lists are to be asked for": (_Users, "next_batch", before),
    "lists were asked for": (_Users, "next_batch", after),
    "the announcement has said where it is": (_Users, "snapshot", after),
}
BACKFILL_ON_KAFKA = [
    *("lists are handed to the client", "deliveries are to be awaited", "deliveries are awaited"),
    *("offsets are to be committed", "events are learned", "the plan is written", "lists were asked for"),
]


def arm(point: str, call: int) -> None:
    """Make this process die at the given call, from 1, of a point."""
    owner, name, strike = (POINTS | ON_KAFKA | OF_A_BACKFILL)[point]
    real, left = getattr(owner, name), call

    def wrapper(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        return strike(real, *arguments) if left == 0 else real(*arguments)

    setattr(owner, name, wrapper)


def run(request: dict[str, Any]) -> None:
    """Replay a log, or without one run a job between Kafka's topics to their ends, perhaps behind a backfill.

    With a log and a backfill, run a job whose topic is the log. At the end write checksums of the arrays of all states.
    """
    # so that a short log sees many segments:
    flows.state.store.LEAST_PART, flows.state.store.LEAST_SEGMENT = 1 << 17, 1 << 19  # type: ignore[misc]
    states: dict[str, Any] = {}
    start = _StatefulLogic.__init__

    def noted(logic: Any, kept: Any, *rest: Any) -> None:
        start(logic, kept, *rest)
        states[type(kept).__name__] = kept

    _StatefulLogic.__init__ = noted  # type: ignore[method-assign, assignment]
    if request["kill"]:
        arm(*request["kill"])
    directory = Path(request["directory"])
    settings = Settings.model_validate({**request["settings"], "recovery": directory / "state"})
    asked = request.get("backfill")
    backfill = None if asked is None else Backfill(paths=(asked,), active_days=100_000.0)
    if request["log"] is None:
        flows.job.run.run(settings, stop_at_end=True, backfill=backfill)
    elif backfill is not None:
        connector = FileConnector(settings, Path(request["log"]), directory)
        flows.job.run.run(settings, stop_at_end=True, connector=connector, backfill=backfill)
    else:
        replay(request["log"], settings, out=directory / "lists.jsonl")
    sums = {
        name: {key: hashlib.sha256(array.tobytes()).hexdigest() for key, array in kept.dump().items()}
        for name, kept in states.items()
    }
    (directory / "sums.json").write_bytes(orjson.dumps(sums))


def main() -> None:
    """Answer requests until there are no more."""
    os.fsync = lambda file: None  # type: ignore[assignment]  # what a killed process has written is the kernel's: here it would only cost time
    warm_up()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(orjson.loads(line))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
