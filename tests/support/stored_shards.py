"""Shards that have learned, and are stored as a job stores them."""

from pathlib import Path
from typing import Any

from flows.job.stored_shard import StoredShard, write_shard
from flows.kafka.position import Position
from flows.settings import Settings
from flows.shards.identity import Shard
from recmodels.fused.model import FusedModel
from recmodels.specification import build_model
from tests.support.shard_topic import Process, Topic

MODEL = 'blend(max_users=100, max_items=100, max_pairs=2000, max_tags=100, decay_by="time")'
SETTINGS = Settings(model=MODEL, repeats="exclude", max_users=100)
ITEMS = [f"i{k}" for k in range(17)]
EVENTS = {
    place: [(f"u{place}.{k % 4}", ITEMS[(place + k * k * 3) % len(ITEMS)]) for k in range(30)] for place in range(6)
}


def build() -> Any:
    return build_model(MODEL, repeats="exclude")


def write(folder: Path, shards: int) -> tuple[list[Path], list[Process]]:
    """Let shards learn all events, and write their directories."""
    topic = Topic(shards)
    processes = [Process(Shard(index, shards), topic, EVENTS, build) for index in range(shards)]
    for process in processes:
        process.finish()
    for process in processes:
        process.hear()
        directory = folder / f"shard-{process.shard.index}"
        job = {"format": 1, "model": MODEL, "repeats": "exclude", "input": "events", "shard": str(process.shard)}
        positions = {str(n): Position({("events", n): at}, {}, {}).dump() for n, at in process.at.items()}
        write_shard(directory, job, positions, {"learn": process.learner.dump()}, {"learn": ["learn", "model"]})
    return sorted(folder.iterdir()), processes


def model_of(shard: StoredShard) -> FusedModel:
    model = shard.learner.model
    assert isinstance(model, FusedModel)
    return model
