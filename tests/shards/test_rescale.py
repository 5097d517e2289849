"""`freshrank rescale` deals users out to another number of shards, with all that is known of them and of items."""

from pathlib import Path
from typing import Any

import pytest

from flows.errors import UsageError
from flows.job.rescale import rescale
from flows.job.stored_shard import StoredShard, read_shard
from flows.settings import Settings
from flows.shards.identity import Shard
from recmodels.checks.consistency import expect_whole
from recmodels.fused.model import FusedModel
from tests.support.item_counts import counts
from tests.support.shard_topic import Process, Topic
from tests.support.stored_shards import EVENTS, MODEL, SETTINGS, build, model_of, write


def lists_of(shards: list[StoredShard]) -> dict[str, Any]:
    """Return the list of each user."""
    return {
        user: model_of(shard).top(user, 5, {"timestamp": 1e9})
        for shard in shards
        for user in model_of(shard).memory.users.rows
    }


def users_of(shards: list[StoredShard]) -> dict[str, Any]:
    """Return all that is known of each user: recent items, factors, history and the rest, with names of items."""
    found = {}
    for shard in shards:
        memory = model_of(shard).memory
        state, names = memory.state.shared, memory.items.names
        for user, row in memory.users.rows.items():
            known: dict[str, Any] = {"recent": [names[item] for item in state.users.recent[row]]}
            for table in memory.tables_of("users"):
                for column, array in table.arrays.items():
                    if column not in ("recent", "newest", "tag") and array.size:
                        known[f"{table.name} {column}"] = array[row].tolist()
            cell, history = int(state.users.newest[row]), []
            while cell:
                history.append((names[state.history.item[cell]], float(state.history.amount[cell])))
                cell = int(state.history.next[cell])
            found[user] = {**known, "history": history}
    return found


def read(folder: Path) -> list[StoredShard]:
    return [read_shard(directory, SETTINGS) for directory in sorted(folder.iterdir())]


@pytest.mark.parametrize(("before", "between"), [(2, 3), (3, 1), (1, 4), (3, 2)])
@pytest.mark.slow
def test_there_and_back_is_as_if_nothing_had_happened(tmp_path: Path, before: int, between: int) -> None:
    directories, _ = write(tmp_path / "old", before)
    old = read(tmp_path / "old")
    there = rescale(directories, between, tmp_path / "between", SETTINGS)
    rescale([tmp_path / "between"], before, tmp_path / "back", SETTINGS)
    back = read(tmp_path / "back")
    assert sum(there.users) == 24
    assert there.missing == {}
    assert [len(each.learner.homes) for each in back] == [len(each.learner.homes) for each in old]
    assert users_of(back) == users_of(old)
    assert min(len(user["history"]) for user in users_of(back).values()) > 1
    assert lists_of(back) == lists_of(read(tmp_path / "between"))
    for shard in [*read(tmp_path / "between"), *back]:
        expect_whole(model_of(shard))
        assert counts(model_of(shard)) == pytest.approx(counts(model_of(old[0])))
    assert [each.positions.keys() for each in back] == [each.positions.keys() for each in old]
    assert [{at: told.offsets[at] for at, (_, told) in each.offsets().items()} for each in back] == [
        {at: told.offsets[at] for at, (_, told) in each.offsets().items()} for each in old
    ]


def test_each_user_goes_to_the_shard_that_owns_the_partition(tmp_path: Path) -> None:
    directories, _ = write(tmp_path / "old", 2)
    done = rescale(directories, 3, tmp_path / "new", SETTINGS)
    assert done.generation == 1
    for index, shard in enumerate(read(tmp_path / "new")):
        assert shard.job["shard"] == f"{index}/3"
        assert set(shard.positions) == {str(index), str(index + 3)}
        assert {user[1] for user in model_of(shard).memory.users.rows} == set(shard.positions)


def test_new_shards_go_on_together(tmp_path: Path) -> None:
    directories, processes = write(tmp_path / "old", 2)
    rescale(directories, 3, tmp_path / "new", SETTINGS)
    topic, more = Topic(3), {place: [*events, *events[:7]] for place, events in EVENTS.items()}
    shards = []
    for index, stored in enumerate(read(tmp_path / "new")):
        process = Process(Shard(index, 3), topic, more, build)
        process.snapshot = stored.learner.dump()
        process.durable = dict.fromkeys(process.events, 30)
        process.start()
        shards.append(process)
    for process in shards:
        process.finish()
    whole = build()
    for events in more.values():
        for user, item in events:
            whole.learn_one(user, item, 1.0, {"timestamp": 1e9})
    for process in shards:
        process.hear()
        model = process.learner.model
        assert isinstance(model, FusedModel)
        assert counts(model) == pytest.approx(counts(whole))
    assert len(processes) == 2


def test_a_rescale_that_was_killed_starts_over(tmp_path: Path) -> None:
    directories, _ = write(tmp_path / "old", 2)
    half = tmp_path / "new.new" / "shard-0"
    half.mkdir(parents=True)
    (half / "job.json").write_text("half")
    rescale(directories, 2, tmp_path / "new", SETTINGS)
    assert [each.name for each in sorted((tmp_path / "new").iterdir())] == ["shard-0", "shard-1"]
    assert not half.exists()
    assert users_of(read(tmp_path / "new")) == users_of(read(tmp_path / "old"))


def test_directories_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    directories, _ = write(tmp_path / "old", 2)
    with pytest.raises(UsageError, match=r"expected the directories of all shards of a job; got 1/2"):
        rescale(directories[1:], 2, tmp_path / "new", SETTINGS)
    with pytest.raises(UsageError, match="it is there already"):
        rescale(directories, 2, tmp_path / "old", SETTINGS)
    with pytest.raises(UsageError, match="expected the state of a job with repeats 'allow'"):
        rescale(directories, 2, tmp_path / "new", Settings(model=MODEL, repeats="allow"))
    rescale(directories, 2, tmp_path / "new", SETTINGS)
    with pytest.raises(UsageError, match="expected shards of one generation"):
        rescale([directories[0], tmp_path / "new" / "shard-1"], 2, tmp_path / "newer", SETTINGS)
