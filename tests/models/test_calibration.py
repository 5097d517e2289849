"""The blend's scores are probabilities: of the items it gives one in twenty, one in twenty is the user's next."""

from itertools import islice

import numpy as np
import pytest

from flows.sample import EVENTS
from recmodels import Blend, Example
from tests.support.teach import examples


def reliability(model: Blend, log: list[Example], groups: int) -> list[tuple[float, float, int]]:
    """For groups of equal size by rising score: mean score, share of items that were the next, how many."""
    said, was = [], []
    for example in log:
        listed = model.top(example.user, 10, {"timestamp": example.timestamp})
        model.step_many([example], n=0)
        said += [score for _, score in listed]
        was += [item == example.item for item, _ in listed]
    order = np.argsort(said, kind="stable")
    parts = np.array_split(order, groups)
    return [(float(np.mean(np.take(said, p))), float(np.mean(np.take(was, p))), len(p)) for p in parts]


@pytest.mark.slow
def test_scores_are_calibrated_on_a_real_log() -> None:
    log = list(islice(examples(EVENTS), 12_000))
    model = Blend(repeats="exclude")
    model.step_many(log[:4_000], n=0)
    groups = reliability(model, log[4_000:], 10)
    error = sum(abs(said - was) * count for said, was, count in groups) / sum(count for _, _, count in groups)
    assert error < 0.006
    assert groups[-1][1] > 5 * groups[0][1]


def test_scores_are_calibrated_where_the_truth_is_known() -> None:
    draw = np.random.default_rng(8)
    log = []
    for k in range(6_000):
        item = "often" if draw.random() < 0.6 else f"rare{draw.integers(40)}"
        log.append(Example(f"u{draw.integers(2_000)}", item, 1.0, 60.0 * k))
    model = Blend()
    model.step_many(log, n=0)
    listed = dict(model.top("stranger", 41))
    assert 0.4 < listed["often"] < 0.65
    assert 0.3 < sum(score for item, score in listed.items() if item != "often") < 0.5


def test_every_score_is_a_probability() -> None:
    model = Blend()
    for step in model.step_many(list(islice(examples(EVENTS), 2_000)), n=10):
        assert all(0.0 <= score <= 1.0 for score in step.scores)
        assert list(step.scores) == sorted(step.scores, reverse=True)
    assert all(0.0 <= model.predict_one("whoever", item) <= 1.0 for item in ("8", "nothing", ""))
