"""The numbers that README promises, on the real logs, with the default model."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from recmodels import Blend
from recmodels.evaluation.metrics import RankingMetrics
from tests.support.teach import examples


@pytest.mark.parametrize(
    ("name", "repeats", "least"),
    [
        ("ml-100k", "exclude", 0.205),
        ("movietweetings-142k", "exclude", 0.235),
        ("online-retail", "allow", 0.31),
        ("globo-300k", "allow", 0.68),
    ],
)
def test_hit_rate(real_log: Callable[[str], Path], name: str, repeats: str, least: float) -> None:
    model, metrics = Blend(repeats=repeats), RankingMetrics(k=10)
    stream = examples(real_log(name))
    while batch := list(islice(stream, 1_000)):
        for step in model.step_many(batch, n=0):
            if step.position is not None:
                metrics.update(step.position)
    assert metrics.hit_rate >= least
