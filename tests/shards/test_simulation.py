"""A replay of several shards: each owns users, and all learn of items together, one round late."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.errors import UsageError
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from flows.shards.simulation import SimulatedShards, shard_of
from recmodels import Blend, Example, Popularity, RiverModel
from tests.support.cli import freshrank

SMALL = {"max_users": 1_000, "max_items": 1_000, "max_pairs": 10_000}


def hit_rate(**arguments: Any) -> float:
    return replay(EVENTS, Settings(repeats="exclude"), limit=5_000, **arguments).hit_rate


@pytest.mark.slow
def test_shards_that_tell_each_other_are_nearly_as_good_as_one() -> None:
    one, together, alone = hit_rate(), hit_rate(shards=4, round_events=100), hit_rate(shards=4, round_events=8_000)
    assert one > 0.1
    assert together > 0.94 * one
    assert alone < 0.9 * one


@pytest.mark.slow
def test_a_replay_of_shards_is_repeatable(tmp_path: Path) -> None:
    for name in ("a", "b"):
        replay(EVENTS, Settings(repeats="exclude"), limit=1_500, shards=3, out=tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.slow
def test_batches_of_records_never_show() -> None:
    rates = {hit_rate(shards=3, batch=batch) for batch in (1, 64)}
    assert len(rates) == 1


def test_what_a_shard_learns_reaches_the_others_one_round_late() -> None:
    shards = SimulatedShards(lambda: Popularity(max_users=10, max_items=10), shards=2, round_events=2)
    ours, theirs = ("ann", "bob")
    assert shard_of(ours, 2) != shard_of(theirs, 2)
    shards.step_many([Example(ours, "tea"), Example(ours, "tea")], 1)
    assert shards.top(theirs) == []
    shards.step_many([Example(ours, "jam")], 1)
    assert shards.top(theirs) == []
    shards.step_many([Example(ours, "jam")], 1)
    assert [item for item, _ in shards.top(theirs)] == ["tea"]
    assert (shards.exchange.rounds, shards.exchange.deltas, shards.exchange.foreign) == (2, 2, 2)


def test_item_events_and_erasures_go_to_the_shard_that_owns_the_id() -> None:
    shards = SimulatedShards(lambda: Blend(**SMALL), shards=3, round_events=1)
    for user in ("ann", "bob", "cat", "dan", "eve", "fay"):
        shards.step_many([Example(user, "tea"), Example(user, "jam")], 2)
    shards.learn_item("tea", available=False)
    for _ in range(2):
        shards.step_many([Example("ann", "jam")], 2)
    for user in ("ann", "bob", "cat", "dan", "eve", "fay"):
        assert "tea" not in {item for item, _ in shards.top(user)}
    assert shards.has_seen("bob", "jam")
    shards.forget_one("bob")
    assert not shards.has_seen("bob", "jam")


def test_models_and_settings_that_do_not_go_with_shards_are_refused(tmp_path: Path) -> None:
    from river import reco

    with pytest.raises(UsageError, match=r"--shards: .*RandomNormal.* keeps no account"):
        SimulatedShards(lambda: RiverModel(reco.RandomNormal()), shards=2)
    with pytest.raises(UsageError, match="--shards: shards do not take events back, but undo names unlike"):
        replay(EVENTS, Settings(undo={"unlike": "like"}), shards=2)
    with pytest.raises(UsageError, match="--shards: a replay of shards keeps no state"):
        replay(EVENTS, Settings(recovery=tmp_path / "state"), shards=2)


@pytest.mark.slow
def test_command_compares_shards_with_one(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = freshrank(
        "replay", EVENTS, "--limit", 1_000, "--shards", 2, "--round", 50, "--report", report, "--repeats", "exclude"
    )
    assert done.returncode == 0, done.stderr
    for said in ("2 shards, with a round of deltas every 50 events", "one shard", "CPU µs of a peer's event"):
        assert said in done.stderr
    told = json.loads(report.read_bytes())["shards"]
    assert (told["shards"], told["round"], told["deltas"]) == (2, 50, 40)
    assert 100 < told["bytes_per_event"] < 2_000
    assert told["one"]["hit_rate@10"] > 0


def test_command_refuses_a_page_of_several_models(tmp_path: Path) -> None:
    done = freshrank("replay", EVENTS, "--shards", 2, "--html", tmp_path / "page.html")
    assert done.returncode == 2
    assert "--shards: a page or an explanation is of one model" in done.stderr
