"""Hit rates of the README, on the real logs, with the default model."""

import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from recmodels import Blend
from recmodels.evaluation.metrics import RankingMetrics
from tests.support.teach import examples

ROOT = Path(__file__).parent.parent.parent
PROMISED = {
    name: float(hit_rate)
    for name, hit_rate in re.findall(
        r"^\| ([a-z0-9-]+) \| (0\.\d{4}) \|", (ROOT / "README.md").read_text(), re.MULTILINE
    )
}
"""Hit rate @10 by log."""
CHECKED = {"ml-100k": "exclude", "online-retail": "allow", "movietweetings-142k": "exclude", "wiki-edits-2001": "allow"}
"""The logs that CI replays whole, each in a process of its own, and `--repeats` of each."""


@pytest.mark.parametrize("name", CHECKED)
def test_hit_rate_is_what_the_readme_promises(real_log: Callable[[str], Path], name: str) -> None:
    assert name in PROMISED, "README has a table of hit rates by log"
    model, metrics = Blend(repeats=CHECKED[name]), RankingMetrics(k=10)
    stream = examples(real_log(name))
    while batch := list(islice(stream, 1_000)):
        for step in model.step_many(batch, n=0):
            if step.position is not None:
                metrics.update(step.position)
    assert metrics.hit_rate == pytest.approx(PROMISED[name], abs=0.0005)


def test_the_table_of_hit_rates_is_found() -> None:
    assert CHECKED.keys() <= PROMISED.keys()
