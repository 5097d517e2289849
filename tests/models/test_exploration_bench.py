"""What the bench of exploration measures: a planted policy, and a shop that is the same each time."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench.exploration import POLICIES, Log, Shop, estimates_of, read_log
from recmodels import Popularity
from recmodels.exploration.explorer import Explorer


def planted(events: int, rates: list[float]) -> Log:
    """Return a log of a policy that shows every item equally often."""
    rng = np.random.default_rng(0)
    shown = rng.integers(0, len(rates), events)
    taken = (rng.random(events) < np.array(rates)[shown]).astype(float)
    return Log(shown, taken, np.full(events, 1.0 / len(rates)))


def test_thompson_sampling_earns_nearly_what_the_best_item_does() -> None:
    log = planted(6_000, [0.05, 0.05, 0.3, 0.05])
    for estimate in estimates_of(log, POLICIES["Thompson"]):
        assert estimate.low > 1.5 * log.taken.mean()
        assert estimate.mean == pytest.approx(0.3, abs=0.05)


def test_a_policy_is_estimated_before_it_learns() -> None:
    """The clicks of one round are all of one item, so a policy that knew them would earn all of them."""
    log = Log(np.arange(100) % 2, (np.arange(100) % 2).astype(float), np.full(100, 0.5))
    assert estimates_of(log, POLICIES["most taken"]).ips.mean == 0.0
    assert estimates_of(log, POLICIES["most taken"], before=log).ips.mean == 1.0


def test_a_log_of_the_wheel_is_read_in_order_of_time(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "obp.whl", "w") as wheel:
        wheel.writestr(
            "obp/dataset/obd/random/men/men.csv",
            ",timestamp,item_id,position,click,propensity_score\n"
            "0,2019-11-24 00:02:00+00:00,1,3,1,0.5\n1,2019-11-24 00:01:00+00:00,0,2,0,0.25\n",
        )
    log = read_log(tmp_path / "obp.whl", "random", "men")
    assert (log.items.tolist(), log.taken.tolist(), log.propensities.tolist()) == ([0, 1], [0.0, 1.0], [0.25, 0.5])


@pytest.mark.slow
def test_a_shop_is_the_same_each_time_and_exploring_finds_new_items() -> None:
    def run(share: float) -> tuple[float, float]:
        model = Explorer(Popularity(), share, window=3600.0)
        return Shop(seed=1, stops=0.05).run(model, 1_500)

    assert run(0.5) == run(0.5)
    assert run(0.5)[1] > run(0.0)[1]
