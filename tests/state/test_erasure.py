"""Erasure: a user leaves memory at once, and the files once the state has been rewritten."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.engine import run_flow
from flows.files.open_log import open_log
from flows.files.sinks import ListFile, RejectFile
from flows.messages import Forget, Interaction
from flows.monitoring.counters import Counters
from flows.pipeline import Connections, build_flow
from flows.settings import Settings
from flows.state.recovery import recovery_in
from flows.state.store import MOST_SNAPSHOTS, Store
from flows.steps.clean import Cleaner
from flows.steps.emit import Emission, Emitter
from flows.steps.features import Meaning, prepare
from flows.steps.learn import Learner, Learning
from recmodels import Blend

NAME = "erasable-user-4711"


def files_that_hold(directory: Path, text: str) -> list[str]:
    paths = [path for path in directory.rglob("*") if path.is_file()]
    return [str(path.relative_to(directory)) for path in paths if text.encode() in path.read_bytes()]


def clicks(start: int, count: int) -> Iterator[dict[str, Any]]:
    for n in range(start, start + count):
        yield {"user": f"u{n % 13}", "item": f"i{n * n % 17}", "timestamp": 100.0 + n, "id": f"e{n}"}


def events() -> list[dict[str, Any]]:
    theirs = [
        {"user": NAME, "item": f"i{n}", "timestamp": 50.0 + n, "id": f"{NAME}-{n}", "session": NAME} for n in range(5)
    ]
    return [*clicks(0, 60), *theirs, *clicks(60, 60), {"kind": "forget", "user": NAME, "timestamp": 900.0}]


def run(log: Path, directory: Path) -> Counters:
    """Run the whole flow with a snapshot after each event."""
    settings = Settings.model_validate({"emit": "changed", "model": "blend(max_users=100, max_items=100)"})
    opened = open_log(log, None, batch_size=1)
    with recovery_in(directory / "state", {"model": settings.model}) as recovery:
        assert recovery is not None
        connections = Connections(
            source=opened.source,
            decoder=opened.decoder,
            lists=ListFile(directory / "lists.jsonl"),
            dead_letters=RejectFile(directory / "rejects.jsonl"),
            dead_letter=lambda rejected: rejected,
            store=recovery.store,
        )
        run_flow(build_flow(settings, connections), recovery, epoch_seconds=0.0)
    return connections.counters


@pytest.mark.slow
def test_after_a_while_no_file_of_the_recovery_directory_holds_the_id(
    tmp_path: Path, write_log: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.state.store.MOST_SNAPSHOTS", 8)  # as many as it takes, only sooner
    log = write_log(orjson.dumps(event).decode() for event in events()[:-1])
    run(log, tmp_path)
    assert {name.split("/")[1] for name in files_that_hold(tmp_path / "state", NAME)} == {"learn", "emit"}

    write_log(orjson.dumps(event).decode() for event in [*events(), *clicks(200, 60)])
    counters = run(log, tmp_path)
    assert (counters.forgotten, counters.learned) == (1, 60), "it was resumed"
    assert files_that_hold(tmp_path / "state", NAME) == []
    lists = [orjson.loads(line) for line in (tmp_path / "lists.jsonl").read_bytes().splitlines()]
    assert [each["items"] is None for each in lists if each["user"] == NAME][-1], "a tombstone is the last word"
    assert sum(each["items"] is None for each in lists) == 1


def taught() -> tuple[Cleaner, Learner, Emitter]:
    cleaner = Cleaner(1_000, Counters())
    blend = Blend(repeats="exclude", max_users=100, max_items=100, max_pairs=1_000)
    learner = Learner(Learning(build_model=lambda: blend, top=5, score=True), Counters())
    emitter = Emitter(Emission(policy="changed", max_users=100), Counters())
    return cleaner, learner, emitter


def feed(steps: tuple[Cleaner, Learner, Emitter], given: list[dict[str, Any]]) -> list[Any]:
    typed: list[Any] = [
        Forget(each["user"], each["timestamp"])
        if "kind" in each
        else Interaction(each["user"], each["item"], each["timestamp"], id=each["id"])
        for each in given
    ]
    cleaner, learner, emitter = steps
    return emitter.process(learner.process([prepare(event, Meaning(rewards={})) for event in cleaner.process(typed)]))


def test_memory_holds_nothing_of_an_erased_user_and_the_user_is_a_stranger() -> None:
    steps = taught()
    feed(steps, events()[:-1])
    _, learner, _ = steps
    assert learner.model.has_seen(NAME, "i1")
    stranger = learner.model.top("stranger", 5)
    *_, last = feed(steps, events()[-1:])
    assert last.is_emitted
    assert last.ranked.items is None
    for state in steps:
        assert NAME.encode() not in pickle.dumps({**vars(state), "counters": None})
    assert not learner.model.has_seen(NAME, "i1")
    assert learner.model.top(NAME, 5) == learner.model.top("stranger", 5) == stranger
    again = {"user": NAME, "item": "i1", "timestamp": 950.0, "id": f"{NAME}-1"}
    (decided,) = feed(steps, [again])
    assert decided.is_emitted, "neither the event's id nor the last list is remembered"
    assert decided.ranked.event.user == NAME


def test_an_erased_users_row_factors_and_history_are_zero() -> None:
    steps = taught()
    feed(steps, events()[:-1])
    memory = steps[1].model.memory
    row = memory.users.row(NAME)
    assert memory.state.factorization.users.own[row].any()
    feed(steps, events()[-1:])
    for name in ("users", "user_factors"):
        for column, array in memory.tables[name].arrays.items():
            assert not array[row].any(), column


def test_two_segments_are_enough_to_erase_a_user(tmp_path: Path) -> None:
    """Two segments: the one that the erasure came in, and the next."""
    steps = taught()
    stores = [Store(tmp_path / type(step).__name__) for step in steps]

    def process(given: Iterable[dict[str, Any]]) -> None:
        for event in given:
            feed(steps, [event])
            for store, step in zip(stores, steps, strict=True):
                store.save(step)

    for store, step in zip(stores, steps, strict=True):
        store.load(step, None)
    process(events())
    assert files_that_hold(tmp_path, NAME) != []
    process(clicks(300, 2 * MOST_SNAPSHOTS + 1))
    assert files_that_hold(tmp_path, NAME) == []
