"""`freshrank run --shard I/N` on a real broker: shards learn of items together, and survive what may happen."""

import random
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from flows.kafka.admin import partitions
from flows.kafka.probe import cleanup_policies
from flows.shards.identity import Shard
from flows.shards.peer_snapshots import PeerSnapshots
from tests.support.kafka_broker import make_topic
from tests.support.kafka_fixtures import AnyBroker, until
from tests.support.kafka_jobs import consume
from tests.support.shard_jobs import PARTITIONS, ShardedJob, wait_for

pytestmark = pytest.mark.kafka

NewShards = Callable[..., ShardedJob]


def answered(job: ShardedJob) -> int:
    """Number of events with a list on the output topic."""
    return len({orjson.loads(message.value() or b"")["source"] for message in consume(job.broker, job.lists)})


def test_shards_that_are_killed_count_what_one_process_counts(new_shards: NewShards) -> None:
    job = new_shards()
    job.feed(6_000)
    draw = random.Random(7)
    shards = [job.shard(index, 2) for index in range(2)]
    for goal in (700, 2_000, 4_000):
        job.wait_for_events(goal)
        which = draw.randrange(2)
        shards[which].kill()
        shards[which].wait()
        shards[which] = job.shard(which, 2)
    until(lambda: job.committed() == job.ends)
    for process in shards:
        process.kill()
        process.wait()
    job.finish(2)
    assert answered(job) == 6_000
    one = job.counted_by_one()
    assert job.counted(0) == one
    assert job.counted(1) == one


def test_shards_go_on_after_a_rescale(new_shards: NewShards) -> None:
    job = new_shards()
    job.feed(1_500)
    job.finish(2)
    new = job.state.with_name(f"{job.state.name}-new")
    said = job.command("rescale", "--from", str(job.state), "--shards", "3", "--to", str(new))
    assert "in 3 shards" in said
    job.state = new
    job.variables["RECOVERY"] = new
    job.feed(1_500)
    job.finish(3)
    assert answered(job) == 3_000
    one = job.counted_by_one()
    assert [job.counted(index) == one for index in range(3)] == [True] * 3


def test_a_shard_goes_on_while_its_peer_is_away_and_is_caught_up_with(new_shards: NewShards) -> None:
    job = new_shards()
    job.feed(1_500)
    alone = job.shard(0, 2)
    until(lambda: [at for place, at in enumerate(job.committed()) if place % 2 == 0] == job.ends[::2])
    alone.kill()
    alone.wait()
    job.finish(2)
    assert answered(job) == 1_500
    assert job.counted(0) == job.counted(1) == job.counted_by_one()


def test_a_shard_catches_up_beyond_the_retention_of_the_topic_from_a_peers_snapshot(
    new_shards: NewShards, tmp_path: Path
) -> None:
    job = new_shards(DELTA_SNAPSHOTS=tmp_path / "peers", DELTA_SNAPSHOT_SECONDS=0.2, EPOCH_SECONDS=0.2)
    job.feed(2_000)
    ours, theirs = (job.shard(index, 2) for index in range(2))
    job.wait_for_events(700)
    ours.kill()  # with events told since its last snapshot
    ours.wait()
    until(lambda: [at for place, at in enumerate(job.committed()) if place % 2 == 1] == job.ends[1::2])
    before = job.bounds_of_deltas()
    snapshots = PeerSnapshots(tmp_path / "peers", Shard(0, 2))

    def has_all() -> bool:
        return any(
            all(found.behind(shard).offset + 1 >= high for shard, (_, high) in before.items())
            for found in snapshots.found(job.deltas)
        )

    until(has_all)
    job.remove_deltas({shard: high for shard, (_, high) in before.items()})
    job.feed(1_000)
    ours = job.shard(0, 2)
    wait_for(ours, "takes over what shard 1 knew of items")
    until(lambda: job.committed() == job.ends)
    for process in (ours, theirs):
        process.kill()
        process.wait()
    job.finish(2)
    assert answered(job) == 3_000
    assert job.counted(0) == job.counted(1) == job.counted_by_one()


def test_the_topic_of_deltas_is_made_with_a_partition_for_each_shard(new_shards: NewShards, broker: AnyBroker) -> None:
    job = new_shards()
    job.feed(50)
    said = job.shard(2, 3, "--stop-at-end")
    assert said.wait(600) == 0
    assert {message.shard for message in job.messages()} == {2}
    client = {"bootstrap.servers": broker.bootstrap}
    assert partitions(client, job.deltas) == [0, 1, 2]
    assert cleanup_policies(client, [job.deltas]) == {job.deltas: "delete"}


@pytest.mark.parametrize(
    ("shard", "said"),
    [
        ("3/3", "expected 0/3 to 2/3; got 3/3"),
        ("0/9", f"has {PARTITIONS} partitions for 9 shards"),
        ("auto/3", "expected a host name that ends with its number"),
        ("one", "expected I/N, such as 0/4"),
    ],
)
def test_a_shard_that_cannot_be_is_refused(new_shards: NewShards, shard: str, said: str) -> None:
    job = new_shards()
    index, _, count = shard.partition("/")
    process = job.shard(index, int(count or 0), SHARD=shard)
    assert said in process.communicate(timeout=600)[1]
    assert process.returncode == 2


def test_a_compacted_topic_of_deltas_is_refused(new_shards: NewShards) -> None:
    job = new_shards()
    make_topic(job.broker.bootstrap, job.deltas, 2, cleanup_policy="compact")
    process = job.shard(0, 2)
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 2
    assert "cleanup.policy=compact: the brokers remove deltas" in said


def test_two_processes_on_one_directory_are_refused_and_another_number_too(new_shards: NewShards) -> None:
    job = new_shards()
    job.feed(100)
    first = job.shard(0, 2)
    wait_for(first, "goes on behind message")
    second = job.shard(0, 2)
    assert "another process is at work on this recovery directory" in second.communicate(timeout=600)[1]
    until(lambda: [at for place, at in enumerate(job.committed()) if place % 2 == 0] == job.ends[::2])
    first.kill()
    first.wait()
    other = job.shard(0, 4)
    said = other.communicate(timeout=600)[1]
    assert "expected the state of a job with shard '0/4'; found '0/2'" in said
    assert "freshrank rescale" in said


def test_one_of_two_processes_of_a_shard_ends(new_shards: NewShards) -> None:
    job = new_shards()
    job.feed(200)
    first = job.shard(0, 2)
    wait_for(first, "goes on behind message")
    until(lambda: [at for place, at in enumerate(job.committed()) if place % 2 == 0] == job.ends[::2])
    twin = job.shard(0, 2, "--from-start", RECOVERY=f"{job.state}-twin")
    wait_for(twin, "goes on behind message")
    job.feed(400)
    until(lambda: first.poll() is not None or twin.poll() is not None)
    ended = first if first.poll() is not None else twin
    assert "another process runs as shard 0/2" in ended.communicate(timeout=600)[1]
    assert ended.returncode == 1


def test_a_shard_of_another_model_is_refused_beside_a_running_one(new_shards: NewShards) -> None:
    job = new_shards()
    job.feed(100)
    first = job.shard(0, 2)
    wait_for(first, "goes on behind message")
    until(lambda: bool(job.messages()))
    other = job.shard(1, 2, MODEL="popularity")
    said = other.communicate(timeout=600)[1]
    assert other.returncode == 1
    assert "shard 0 runs on topic" in said
    assert "Give all shards the same model and settings" in said
    assert first.poll() is None


def test_garbage_on_the_topic_of_deltas_is_survived(new_shards: NewShards) -> None:
    job = new_shards()
    make_topic(job.broker.bootstrap, job.deltas, 2)
    producer = Producer({"bootstrap.servers": job.broker.bootstrap})
    for number in range(200):
        producer.produce(job.deltas, random.Random(number).randbytes(number), partition=number % 2)
    assert producer.flush(120) == 0
    job.feed(500)
    assert any("Nothing but shards may write to topic" in said for said in job.finish(2))
    assert job.counted(0) == job.counted(1) == job.counted_by_one()


def test_an_input_that_is_not_keyed_by_user_is_found(new_shards: NewShards) -> None:
    job = new_shards()
    producer = Producer({"bootstrap.servers": job.broker.bootstrap})
    for number in range(40):
        value = {"user": f"u{number % 3}", "item": f"i{number}", "timestamp": float(number)}
        producer.produce(job.events, orjson.dumps(value), partition=number % PARTITIONS)
    assert producer.flush(120) == 0
    job.variables["SHARD"] = "0/2"
    said = job.command("check")
    assert "of its latest 40 interactions 40 have no key, and 3 of 3 users are in several partitions" in said
    process = job.shard(0, 2, "--stop-at-end")
    said = process.communicate(timeout=600)[1]
    assert "an interaction has no key" in said
    assert "a user of partition" in said
