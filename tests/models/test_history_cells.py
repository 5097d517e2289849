"""Cells of histories: users with long histories reserve several at once, and nothing is lost or held twice."""

from itertools import pairwise

import pytest

from recmodels import Blend, CoVisitation, Example
from recmodels.checks.consistency import expect_whole
from recmodels.checks.equality import expect_same_state
from recmodels.fused.dealing import take_items, take_users
from recmodels.kernels.history import BLOCK
from recmodels.kernels.shared import CELLS, FREE_CELLS


def test_the_cells_of_a_long_history_lie_side_by_side() -> None:
    model = CoVisitation()
    for number in range(64):
        for user in ("ann", "bob"):
            model.learn_one(user, f"{user} {number}")
    shared = model.memory.state.shared
    cell, cells = int(shared.users.newest[model.memory.users.row("ann")]), []
    while cell:
        cells.append(cell)
        cell = int(shared.history.next[cell])
    assert len(cells) == 64
    jumps = sum(older != newer - 1 for newer, older in pairwise(cells[: 64 - BLOCK]))
    assert jumps == (64 - BLOCK) // BLOCK - 1
    expect_whole(model)


def test_spare_cells_are_free_once_their_user_is_forgotten() -> None:
    model = CoVisitation()
    for number in range(BLOCK + 1):
        model.learn_one("ann", f"item {number}")
    counters = model.memory.state.shared.counters
    assert counters[CELLS] == 2 * BLOCK
    model.forget_one("ann")
    assert counters[FREE_CELLS] == counters[CELLS]
    expect_whole(model)


def test_a_table_that_is_half_full_gives_out_no_spare_cells() -> None:
    model = CoVisitation(max_pairs=4 * BLOCK)
    for number in range(BLOCK + 1):
        model.learn_one("bob", f"item {number}")
    for number in range(BLOCK + 1):
        model.learn_one("ann", f"item {number}")
        expect_whole(model)
    assert all(model.has_seen("ann", f"item {number}") for number in range(BLOCK + 1))
    spare = model.memory.state.shared.users.spare
    assert [bool(spare[model.memory.users.row(user)]) for user in ("bob", "ann")] == [True, False]


@pytest.mark.parametrize("size", [1_000, 100, 7])
def test_a_batch_at_the_end_of_the_table_loses_no_pair(size: int) -> None:
    """Users get spare cells until the table is half full. The batch is made smaller where that takes its room."""
    pairs = [(f"early {user}", f"i{item}") for item in range(BLOCK + 1) for user in range(20)]
    pairs += [(f"late {user}", f"i{item}") for item in range(10) for user in range(60)]
    examples = [Example(user, item, 1.0, 1.0) for user, item in pairs]
    batched, single = (CoVisitation(max_pairs=1_000, max_users=200, repeats="exclude") for _ in range(2))
    for start in range(0, len(examples), size):
        batched.step_many(examples[start : start + size], 0)
    for example in examples:
        single.step_many([example], 0)
    assert any(single.memory.state.shared.users.spare)
    assert len(single.memory.users) < 80, "the table was full"
    expect_same_state(batched, single)
    kept = [pair for pair in pairs if pair[0] in single.memory.users.rows]
    assert [batched.has_seen(*pair) for pair in kept] == [single.has_seen(*pair) for pair in kept]


def test_a_table_of_one_pair_holds_one() -> None:
    model = CoVisitation(max_pairs=1)
    for user, item in (("ann", "tea"), ("bob", "jam")):
        model.learn_one(user, item)
        assert model.has_seen(user, item)
        expect_whole(model)


def test_spare_cells_outlive_the_items_before_them() -> None:
    model = CoVisitation()
    model.enable_undo()
    for number in range(BLOCK + 1):
        model.learn_one("ann", f"item {number}")
    for number in range(BLOCK, -1, -1):
        assert model.undo_one("ann", f"item {number}")
    users, row = model.memory.state.shared.users, model.memory.users.row("ann")
    assert users.newest[row] == 0
    assert users.spare[row] > 0
    expect_whole(model)
    model.learn_one("ann", "tea")
    assert model.has_seen("ann", "tea")
    expect_whole(model)


def test_a_shard_that_takes_users_over_takes_no_spare_cells() -> None:
    source, ours = Blend(), Blend()
    for number in range(BLOCK + 1):
        source.learn_one("ann", f"item {number}")
    take_items(ours, source)
    take_users(ours, source, ["ann"])
    assert ours.memory.state.shared.users.spare.sum() == 0
    for model in (source, ours):
        model.learn_one("ann", "tea")
        expect_whole(model)
