"""Small models for shards in one process, their events, and what they count."""

from collections.abc import Sequence
from typing import Any

from recmodels import Blend, CoVisitation, Popularity
from recmodels.fused.model import FusedModel
from tests.support.item_counts import counts
from tests.support.shard_topic import Process

SMALL = {"max_users": 100, "max_items": 100, "max_pairs": 2_000, "max_tags": 100}
ITEMS = ["tea", "jam", "pie", "ham", "fig"]


def blend() -> Blend:
    return Blend(**SMALL, decay_by="time")


def popularity() -> Popularity:
    return Popularity(max_users=100, max_items=100)


def covisitation() -> CoVisitation:
    return CoVisitation(max_users=100, max_items=100)


def events_of(partitions: int, each: int) -> dict[int, list[tuple[str, str]]]:
    """Events by partition. A user is in one partition alone."""
    return {
        place: [(f"u{place}.{k % 3}", ITEMS[(place + k * k) % len(ITEMS)]) for k in range(each)]
        for place in range(partitions)
    }


def counted(process: Process) -> dict[str, Any]:
    model = process.learner.model
    assert isinstance(model, FusedModel)
    return counts(model)


def in_one(process: Process, events: dict[int, list[tuple[str, str]]]) -> dict[str, Any]:
    """What one process counts of all events."""
    model = process.build()
    assert isinstance(model, FusedModel)
    for some in events.values():
        for user, item in some:
            model.learn_one(user, item, 1.0, {"timestamp": 1e9})
    return counts(model)


def do(shard: Process, act: str, number: int) -> None:
    """Let a shard do one of the acts that a test has drawn."""
    if act == "learn":
        shard.learn(list(shard.events)[number % 2], 1 + number)
    elif act == "deliver":
        shard.log.deliver()
    elif act == "kill":
        shard.start()
    else:
        getattr(shard, act)()


def finish(shards: Sequence[Process]) -> None:
    """Let all shards learn the rest of their events, and hear of those of the others."""
    for shard in shards:
        shard.finish()
    for shard in shards:
        shard.hear()
