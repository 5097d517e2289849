"""Drift: detected where the stream changes, independent of batches. The weights then adapt faster."""

import numpy as np
import pytest

from recmodels import Blend
from recmodels.fused.drift import BLOCK_EVENTS, DriftDetector
from tests.support.teach import CHANGE, a_stream_that_changes


def test_drift_is_seen_where_the_stream_changes() -> None:
    model = Blend(reranker=False)  # with the reranker the loss hardly rises here
    model.step_many(a_stream_that_changes(), n=0)
    assert any(CHANGE < moment <= CHANGE + 8 * BLOCK_EVENTS for moment in model.drift_moments)
    assert not any(2_000 < moment <= CHANGE for moment in model.drift_moments)


@pytest.mark.slow
@pytest.mark.parametrize("reranker", [False, True])
@pytest.mark.parametrize("batch", [1, 7, 1_000])
def test_drift_does_not_depend_on_batches(batch: int, reranker: bool) -> None:
    log = a_stream_that_changes()[: CHANGE + 1_000]
    whole, cut = Blend(reranker=reranker), Blend(reranker=reranker)
    steps = whole.step_many(log, n=3)
    assert whole.drift_moments or reranker
    assert [
        step for start in range(0, len(log), batch) for step in cut.step_many(log[start : start + batch], n=3)
    ] == steps
    assert cut.drift_moments == whole.drift_moments


def test_a_restarted_watch_sees_the_same() -> None:
    draw = np.random.default_rng(3)
    losses = np.concatenate([draw.normal(2.0, 0.5, 40 * BLOCK_EVENTS), draw.normal(3.0, 0.5, 40 * BLOCK_EVENTS)])
    live = DriftDetector()
    for number, loss in enumerate(losses.tolist()):
        if number % 1_777 == 0:
            restarted = DriftDetector()
            restarted.load(live.dump())
            live = restarted
        live.add(loss)
    unbroken = DriftDetector()
    for loss in losses.tolist():
        unbroken.add(loss)
    assert live.moments == unbroken.moments
    assert len(live.moments) == 1
