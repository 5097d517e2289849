"""Stored shards: the whole state of a shard that is not running, read from its directory and written to a new one."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import bytewax.operators as op
from bytewax.dataflow import Dataflow, operator
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import KeyedStream
from typing_extensions import override

from flows.engine import resume_only, run_flow
from flows.files.sinks import Discard
from flows.inspection.stored_model import job_of, undisturbed
from flows.job.sharding import number_of_settings
from flows.kafka.position import Place, Position, place_of
from flows.messages import Raw
from flows.pipeline import SHARD, Connections, build_flow
from flows.settings import Settings
from flows.shards.delta_log import DeltaLog
from flows.shards.identity import Shard, shard_named
from flows.shards.link import ShardLink
from flows.state.job_file import write_job
from flows.state.recovery import Recovery, RecoveryError
from flows.state.stateful import Pointer, Snapshot, StatefulStep, StateStore, stateful
from flows.state.store import Store
from flows.steps.shard_learner import ShardLearner


@dataclass
class StoredShard:
    """The state of a shard.

    Attributes:
        directory: Its recovery directory.
        job: What `job.json` says.
        shard: Which shard it is. None: it is one process.
        positions: Where it is in the input, by the engine's name of each partition.
        states: The state of each step, by the step's name.
        paths: The full id of each of these steps.
    """

    directory: Path
    job: dict[str, Any]
    shard: Shard | None
    positions: dict[str, Any] = field(default_factory=dict)
    states: dict[str, StatefulStep[Any, Any]] = field(default_factory=dict)
    paths: dict[str, list[str]] = field(default_factory=dict)

    @property
    def learner(self) -> ShardLearner:
        """The step that holds the model."""
        found = self.states["learn"]
        assert isinstance(found, ShardLearner)
        return found

    def offsets(self) -> dict[Place, tuple[str, Position]]:
        """Return the position of each partition, with the engine's name of the partition that told it."""
        found: dict[Place, tuple[str, Position]] = {}
        for name, kept in self.positions.items():
            place = place_of(name)
            told = Position.load(kept, (place[0] or str(self.job["input"]), place[1]))
            for each, offset in told.offsets.items():
                if each not in found or found[each][1].offsets[each] < offset:
                    found[each] = (name, told)
        return found


def read_shard(directory: Path, settings: Settings) -> StoredShard:
    """Read the whole state of a shard, or of one process, and change nothing there.

    Raises:
        RecoveryError: It is no recovery directory, a job is at work on it, or it holds no state yet.
        StoreError: The state is damaged or of another version.
    """
    with undisturbed(directory):
        job = job_of(directory)
        named = job.get("shard")
        found = StoredShard(directory, job, None if named is None else shard_named(named))
        engine = directory / "engine"
        parts = _ids(engine, found)
        source = _Positions(dict.fromkeys(parts))
        shard = found.shard or Shard(0, 1)
        link = ShardLink(shard, cast("DeltaLog", _NoLog()), settings=number_of_settings(settings))
        connections = Connections(
            source=source,
            decoder=lambda raw, arrived: raw,  # type: ignore[arg-type,return-value]  # nothing comes
            lists=Discard(),
            dead_letters=Discard(),
            dead_letter=lambda rejected: rejected,
            related=Discard(),
            trending=Discard(),
            store=lambda step: _Reading(Store(directory / "state" / step), step, found),
            make_learner=lambda learning, counters: ShardLearner(learning, counters, link),
        )
        flow = build_flow(settings, connections)
        resume_only(flow, engine)
        found.positions = {name: kept for name, kept in source.parts.items() if kept is not None}
    if "learn" not in found.states:
        raise RecoveryError(f"{directory}: expected the state of a shard; it has not taken a snapshot yet.")
    return found


def write_shard(
    directory: Path,
    job: Mapping[str, Any],
    positions: Mapping[str, Any],
    records: Mapping[str, Snapshot],
    paths: Mapping[str, Sequence[str]],
) -> None:
    """Write the state of a shard to a new directory.

    Args:
        directory: The recovery directory. There must be none.
        job: What `job.json` is to say.
        positions: Where the shard is in the input.
        records: The state of each step.
        paths: The full id of each step.
    """
    about = {name: value for name, value in job.items() if name != "format"}
    recovery = Recovery(directory, about)
    try:
        flow = Dataflow("freshrank")
        woken = op.input("source", flow, _Positions(dict(positions)))
        keyed = op.flat_map_batch("shard", woken, lambda batch: [(SHARD, each) for each in batch])
        for name, inside in _tree({tuple(paths[step]): record for step, record in records.items()}).items():
            op.output(f"nowhere_{name}", _within(name, keyed, inside, recovery.store), Discard())
        run_flow(flow, recovery, 0.0)
    finally:
        recovery.close()
    write_job(directory, job)


@operator
def _within(step_id: str, up: KeyedStream[Any], tree: Any, store: Any) -> KeyedStream[Any]:
    """Run steps under the ids that they have in the flow of a job."""
    written = [
        _within(name, up, inside, store)
        if isinstance(inside, _Tree)
        else stateful(name, up, partial(_Written, inside), store)
        for name, inside in tree.items()
    ]
    return op.merge("written", *written)


class _Tree(dict[str, Any]):
    """Steps by name. A step that holds others is a tree, too."""


def _tree(records: Mapping[tuple[str, ...], Snapshot]) -> _Tree:
    tree = _Tree()
    for (*outer, last), record in records.items():
        place = tree
        for name in outer:
            place = place.setdefault(name, _Tree())
        place[last] = record
    return tree


class _Written(StatefulStep[Any, Any]):
    """A state that is only written."""

    def __init__(self, record: Snapshot) -> None:
        self.record = record

    @override
    def process(self, batch: list[Any]) -> list[Any]:
        return []

    @override
    def dump(self) -> Snapshot:
        return self.record

    @override
    def load(self, snapshot: Snapshot) -> None:
        raise AssertionError("the directory is new")


class _Reading(StateStore):
    """Hands a state out and takes none back."""

    def __init__(self, store: Store, step: str, found: StoredShard) -> None:
        self._store = store
        self._step = step
        self._found = found
        self._pointer: Pointer | None = None

    @override
    def load(self, state: StatefulStep[Any, Any], pointer: Pointer | None) -> None:
        if pointer is not None:
            self._store.read(state, pointer)
            self._found.states[self._step], self._pointer = state, pointer

    @override
    def save(self, state: StatefulStep[Any, Any]) -> Pointer | None:
        return self._pointer


class _Positions(FixedPartitionedSource[Raw, Any]):
    """Partitions that give one record together, and say where they are."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self.parts = parts
        self.is_writing = any(kept is not None for kept in parts.values())

    @override
    def list_parts(self) -> list[str]:
        return sorted(self.parts)

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> "_Part":
        if resume_state is not None:
            self.parts[for_part] = resume_state
        return _Part(self, for_part, self.is_writing and for_part == min(self.parts))


class _Part(StatefulSourcePartition[Raw, Any]):
    def __init__(self, source: _Positions, name: str, gives: bool) -> None:
        self._source = source
        self._name = name
        self._gives = gives

    @override
    def next_batch(self) -> list[Raw]:
        if not self._gives:
            raise StopIteration
        self._gives = False
        return [Raw("", 0, 0, None)]

    @override
    def snapshot(self) -> Any:
        return self._source.parts[self._name]


class _NoLog:
    """Carries nothing: the shard only is read."""

    topic = topic_id = ""


def _ids(engine: Path, found: StoredShard) -> list[str]:
    """Note the ids of the stateful steps, and return the names of the partitions. The ids are ours."""
    parts: set[str] = set()
    for path in engine.glob("*.sqlite3"):
        connection = sqlite3.connect(path)
        for step_id, key in connection.execute("SELECT DISTINCT step_id, state_key FROM snaps"):
            _, *names = step_id.split(".")
            if names == ["source"]:
                parts.add(key)
            elif names[-1] == "state":
                found.paths[".".join(names[:-2])] = names[:-1]
        connection.close()
    return sorted(parts)
