"""State with the 32 factors of version 0.1.0 in a model that has more."""

import numpy as np
import pytest

from recmodels import Blend
from recmodels.checks.consistency import expect_whole
from recmodels.fused.widening import first_factors
from tests.support.teach import checkerboard, listed


def test_first_factors_are_those_of_new_items() -> None:
    model = Blend(seed=3)
    model.step_many(checkerboard(seed=3)[:1], n=0)
    out = model.memory.state.factorization.items.out[1:2]
    assert out.tolist() == first_factors(3, np.array([1]), 0, out.shape[1]).tolist()


@pytest.mark.parametrize("part", ["whole", "rows"])
def test_state_with_fewer_factors_gives_the_same_lists_and_then_learns(part: str) -> None:
    old, new = Blend(n_factors=32, max_users=100, max_items=100), Blend(max_users=100, max_items=100)
    old.step_many(checkerboard(seed=3), n=0)
    new.load(old.dump() if part == "whole" else old.memory.copy())
    expect_whole(new)
    for user in ("u0", "u1", "stranger"):
        assert listed(new, user) == listed(old, user)
    history = new.memory.state.factorization.items.history[:, 32:]
    assert not history.any()
    new.step_many(checkerboard(seed=4), n=0)
    assert history.any()
    expect_whole(new)


def test_state_with_more_factors_is_refused() -> None:
    old = Blend(max_users=100, max_items=100)
    old.step_many(checkerboard(seed=3), n=0)
    with pytest.raises(ValueError, match="shape"):
        Blend(n_factors=32, max_users=100, max_items=100).load(old.dump())
