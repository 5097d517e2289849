"""Handles of a model's state for the kernels: a copy of a model never works on another's arrays."""

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from recmodels import Blend, Example
from recmodels.checks.equality import expect_same_record
from recmodels.kernels.compile import callable_from_python, kernel
from recmodels.kernels.state_pointer import Handle, opened

EVENTS = [Example(f"u{n % 7}", f"i{n * n % 11}", timestamp=float(n)) for n in range(200)]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_of_a_model_learns_on_its_own(copied: Callable[[Blend], Blend]) -> None:
    model = Blend(max_users=50, max_items=50)
    model.step_many(EVENTS[:100])
    before = model.dump()
    twin = copied(model)
    expect_same_record(twin.dump(), before)
    twin.step_many(EVENTS[100:])
    expect_same_record(model.dump(), before)
    model.step_many(EVENTS[100:])
    expect_same_record(model.dump(), twin.dump())


def test_a_copy_of_the_tables_is_found_at_its_own_address() -> None:
    memory = Blend(max_users=50, max_items=50).memory
    twin = copy.deepcopy(memory)
    assert twin.handle.address != memory.handle.address
    assert twin.state.shared.users.recent is twin.tables["users"].arrays["recent"]
    assert not np.shares_memory(twin.state.shared.users.recent, memory.state.shared.users.recent)


def test_a_handle_is_not_copied_alone() -> None:
    with pytest.raises(TypeError, match="cannot be copied alone"):
        copy.deepcopy(Blend(max_users=50, max_items=50).memory.handle)


def test_a_state_whose_arrays_kernels_would_misread_is_refused() -> None:
    state = Blend(max_users=50, max_items=50).memory.state
    with pytest.raises(TypeError, match="expected a state of the type"):
        Handle(state._replace(shared=state.shared._replace(counters=state.shared.counters.astype(np.int32))))


@kernel
def read_some(address: int, row: int, place: int) -> tuple[int, int, float, bool, int]:
    """Read a field of each type."""
    state = opened(address)
    recent, options = state.shared.users.recent, state.shared.options
    return recent[row, place], recent.shape[1], options.learning_rate, options.exclude_seen, options.max_history


@pytest.mark.parametrize("repeats", ["exclude", "allow"])
def test_a_kernel_reads_what_python_reads(repeats: str) -> None:
    model = Blend(max_users=50, max_items=50, repeats=repeats, learning_rate=0.125)
    model.step_many(EVENTS)
    state = model.memory.state
    recent, options = state.shared.users.recent, state.shared.options
    assert callable_from_python(read_some)(model.memory.handle.address, 3, 2) == (
        recent[3, 2],
        recent.shape[1],
        0.125,
        repeats == "exclude",
        options.max_history,
    )
