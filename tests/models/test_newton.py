"""The online Newton step: it is that of its formula, it is bounded, and older state begins with AdaGrad's sums."""

import numpy as np
import pytest

from recmodels import Blend
from recmodels.kernels import newton
from recmodels.kernels.compile import callable_from_python
from recmodels.kernels.newton import FIRST_CURVATURE, KEEP, LARGEST_WEIGHT, Curvature, forget
from tests.support.teach import teach

move = callable_from_python(newton.move)
COLUMNS = 4


def curvature() -> Curvature:
    return Curvature(np.zeros((1, COLUMNS, COLUMNS)), np.zeros(COLUMNS), np.zeros(COLUMNS))


@pytest.mark.slow
def test_step_is_the_inverse_of_the_decayed_sum_times_the_gradient() -> None:
    draw, own, weight = np.random.default_rng(1), curvature(), np.zeros(COLUMNS)
    mixed = np.array([[1.0, 0.9, 0.0, 0.0], [0.0, 0.1, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    whole, expected = FIRST_CURVATURE * np.eye(COLUMNS), np.zeros(COLUMNS)
    for _ in range(50):
        own.gradient[:] = draw.normal(size=COLUMNS) @ mixed
        whole = KEEP * whole + np.outer(own.gradient, own.gradient)
        expected += 0.5 * np.linalg.solve(whole, own.gradient)
        move(own, weight, np.zeros(COLUMNS), 0, 0.5)
    assert weight == pytest.approx(expected, rel=0.02)
    assert own.inverse[0] == pytest.approx(own.inverse[0].T, rel=1e-9)


@pytest.mark.slow
def test_weights_stay_within_their_bound_and_an_unused_column_stays() -> None:
    own, weight = curvature(), np.zeros(COLUMNS)
    for _ in range(20_000):
        own.gradient[:] = (1e3, -1e3, 1e-3, 0.0)
        move(own, weight, np.zeros(COLUMNS), 0, 1e3)
    assert np.isfinite(own.inverse).all()
    assert abs(weight).max() <= LARGEST_WEIGHT
    assert weight[3] == 0.0
    assert own.inverse[0, 3].tolist() == [0.0, 0.0, 0.0, 1.0 / FIRST_CURVATURE]


@pytest.mark.slow
def test_older_state_begins_with_the_sums_of_adagrad() -> None:
    own, weight = curvature(), np.zeros(COLUMNS)
    own.gradient[:] = (1.0, 0.0, 0.0, 0.0)
    move(own, weight, np.full(COLUMNS, 990.0), 0, 1.0)
    assert weight[0] == pytest.approx(1.0 / (KEEP * 1_000.0 + 1.0), rel=1e-9)


def test_drift_makes_steps_larger_up_to_the_first_ones() -> None:
    inverse = np.stack([np.eye(2) * 0.01, np.eye(2) / FIRST_CURVATURE, np.zeros((2, 2))])
    forget(inverse, 0.5)
    assert inverse[:, 0, 0] == pytest.approx([0.02, 1.0 / FIRST_CURVATURE, 0.0])


@pytest.mark.slow
def test_state_without_curvatures_loads_and_learns_on() -> None:
    events = [(f"u{n % 7}", f"i{n * n % 11}") for n in range(300)]
    model, other = Blend(), Blend()
    teach(model, events)
    dumped = model.dump()
    assert dumped["small.curvature"].any()
    other.load({name: array for name, array in dumped.items() if name != "small.curvature"})
    assert other.top("u1", 5) == model.top("u1", 5)
    teach(other, events)
    assert other.memory.small["curvature"].any()
