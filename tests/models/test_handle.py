"""The handle by which kernels find a model's state: no copy of a model ever works on another's arrays."""

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from recmodels import Blend, Example
from recmodels.checks.equality import expect_same_record
from recmodels.kernels.state_pointer import Handle

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


def test_a_state_whose_arrays_kernels_would_misread_is_refused() -> None:
    state = Blend(max_users=50, max_items=50).memory.state
    with pytest.raises(TypeError, match="expected a state of the type"):
        Handle(state._replace(shared=state.shared._replace(counters=state.shared.counters.astype(np.int32))))
