"""Operations on eight numbers at once, and the kernels that use them, against NumPy."""

import numpy as np
import pytest

from recmodels import Blend
from recmodels.kernels import lanes, topn
from recmodels.kernels.compile import callable_from_python, kernel
from recmodels.kernels.lanes import LANES
from recmodels.kernels.layout import Float32
from recmodels.kernels.members import factorization


@callable_from_python
@kernel
def operations(a: Float32, b: Float32, place: int, out: Float32) -> tuple[np.float32, bool]:
    """Write the result of each operation on `a` [8] and eight numbers of `b` from `place` on into `out` [5, 8]."""
    x, y = lanes.load(a, 0), lanes.load(b, place)
    lanes.store(out[0], 0, lanes.multiply_add(x, y, lanes.spread(a[1])))
    lanes.store(out[1], 0, lanes.multiply(x, y))
    lanes.store(out[2], 0, lanes.sum_of(x, y))
    lanes.store(out[3], 0, lanes.if_positive(x, y))
    return lanes.total(x), lanes.any_from(x, y)


def test_operations_give_what_numpy_gives() -> None:
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=LANES).astype(np.float32), draw.normal(size=3 * LANES).astype(np.float32)
    out = np.zeros((4, LANES), np.float32)
    whole, is_any = operations(a, b, 5, out)
    y = b[5 : 5 + LANES]
    np.testing.assert_allclose(out[0], a * y + a[1], rtol=1e-6)
    assert out[1].tolist() == (a * y).tolist()
    assert out[2].tolist() == (a + y).tolist()
    assert out[3].tolist() == np.where(a > 0, y, 0).tolist()
    assert whole == pytest.approx(float(a.sum()), rel=1e-5)
    assert is_any == bool((a >= y).any())
    assert not operations(a, a + np.float32(1.0), 0, out)[1]
    assert operations(a, a, 0, out)[1]


@pytest.mark.parametrize("size", [1, 7, 8, 31, 32, 40, 43, 64])
def test_product_of_vectors_of_any_length_is_right(size: int) -> None:
    product, draw = callable_from_python(factorization.product), np.random.default_rng(size)
    a, b = draw.normal(size=size).astype(np.float32), draw.normal(size=size).astype(np.float32)
    assert product(a, b) == pytest.approx(float(a.astype(float) @ b.astype(float)), abs=1e-5)


@pytest.mark.parametrize("n_factors", [3, 8, 32, 44])
def test_factors_of_any_length_learn_a_step_against_the_gradient(n_factors: int) -> None:
    model, draw = Blend(max_users=10, max_items=200, n_factors=n_factors), np.random.default_rng(2)
    state = model.memory.state
    own, size = state.factorization, 50
    own.moved[:size] = draw.permutation(np.arange(1, size + 1))
    own.items.out[: size + 1] = draw.normal(size=(size + 1, n_factors))
    own.user_vector[:] = draw.normal(size=n_factors)
    own.error[:size], own.along[:size] = draw.normal(size=size), draw.normal(size=size)
    rows, errors, shrink = own.moved[:size], own.error[:size].astype(float), 0.01
    before = own.items.out[rows].astype(float)
    keep = (1.0 - shrink * np.abs(errors))[:, None]
    expected = keep * before + own.along[:size, None] * own.user_vector[None].astype(float)
    callable_from_python(factorization.move_all)(own, size, np.float32(shrink))
    np.testing.assert_allclose(own.items.out[rows], expected, atol=1e-5)
    np.testing.assert_allclose(own.gradient, errors @ before, atol=1e-4)


@pytest.mark.parametrize("size", [0, 3, 8, 9, 100, 1_003])
def test_best_candidates_are_those_of_a_full_sort(size: int) -> None:
    model, draw = Blend(max_users=10, max_items=2_000), np.random.default_rng(size)
    candidates, items = model.memory.state.shared.candidates, model.memory.state.shared.items
    candidates.size[:] = size, size, size
    candidates.item[:size] = draw.permutation(np.arange(1, size + 1))
    candidates.score[:size] = draw.integers(0, 40, size=size)  # with ties
    items.first_seen[1 : size + 1] = draw.permutation(np.arange(1, size + 1))
    order = np.lexsort((items.first_seen[candidates.item[:size]], -candidates.score[:size])).tolist()
    places = np.zeros(10, np.int32)
    kept = callable_from_python(topn.choose)(items, candidates, places)
    assert places[:kept].tolist() == order[:10]
    position = callable_from_python(topn.position)
    for before, place in enumerate(order[:200]):
        assert position(items, candidates, place, 10) == min(before, 10)
