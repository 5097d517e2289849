"""Sharding: what a job needs to be one of several processes that learn of items together."""

import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, cast
from zlib import crc32

from flows.errors import UsageError
from flows.job.connector import Findings, JobConnections
from flows.job.key_check import look_at_keys
from flows.kafka.admin import connect
from flows.kafka.delta_topic import DeltaTopic, make_delta_topic
from flows.kafka.outage import OutagePolicy
from flows.kafka.probe import cleanup_policies
from flows.messages import Decoder, Event, Interaction, Raw, Rejected
from flows.settings import Settings
from flows.shards.delta_log import DeltaLog
from flows.shards.identity import Shard
from flows.shards.link import Rounds, ShardLink
from flows.shards.peer_snapshots import PeerSnapshots
from flows.steps.peers import PeerSource
from flows.steps.shard_learner import ShardLearner

OF_LEARNING: Final = ("input_topic", "rewards", "by_value", "fill", "positive", "dedup_window", "hold_back")
"""Settings that decide what is learned of an event."""


def link_of(settings: Settings, shard: Shard, patience: OutagePolicy) -> ShardLink:
    """Return the link of a shard to its peers, over the topic of deltas."""
    topic = DeltaTopic(settings.client(), settings.deltas, shard.index, patience)
    rounds = Rounds(events=settings.delta_events, seconds=settings.delta_seconds)
    folder = settings.delta_snapshots
    snapshots = None if folder is None else PeerSnapshots(folder, shard, settings.delta_snapshot_seconds)
    log, lost, number = cast("DeltaLog", topic), settings.lost_offsets, number_of_settings(settings)
    return ShardLink(shard, log, rounds, lost, number, snapshots=snapshots)


def number_of_settings(settings: Settings) -> int:
    """Return a number for the settings that decide what is learned of an event."""
    known = settings.model_dump(mode="json", include=set(OF_LEARNING))
    return crc32(json.dumps(known, sort_keys=True).encode())


def share(
    connections: JobConnections, link: ShardLink, has_ended: Callable[[], bool], stop: threading.Event | None
) -> None:
    """Connect a flow to the peers of its shard."""
    connections.peers = PeerSource(link, has_ended, stop)
    connections.make_learner = partial(ShardLearner, link=link)
    connections.link = link
    connections.decoder = _watching_keys(connections.decoder, link)
    close = connections.close

    def close_both() -> None:
        close()
        link.close()

    connections.close = close_both


def _watching_keys(decode: Decoder, link: ShardLink) -> Decoder:
    """Count events whose record has no key: then the topic is not keyed by user."""

    def decoded(raw: Raw, arrived: float) -> Event | Rejected:
        event = decode(raw, arrived)
        if raw.carrier is not None and raw.carrier.key() is None and isinstance(event, Interaction):
            link.figures.unkeyed += 1
            link.judge.warn(
                "keys",
                f"shard {link.shard}: an interaction has no key ({raw.source}): the topic is not keyed by user, and "
                "each shard knows a part of such a user. Write the events with the user's id as the key.",
            )
        return event

    return decoded


def require_shareable(settings: Settings) -> None:
    """Refuse settings that shards cannot have.

    Raises:
        UsageError: The model cannot be shared, or a setting needs all users in one process.
    """
    if settings.own_shard is None:
        return
    if settings.connector != "kafka":
        raise UsageError("setting shard: only a job on Kafka can be one of several. Leave it out.")
    if settings.challenger is not None:
        raise UsageError("setting shard: a challenger would learn from the users of its shard alone. Leave one out.")
    if settings.recovery is None:
        raise UsageError("setting shard: expected a directory in `recovery`, since a shard must know what it has told.")
    try:
        settings.build_model().enable_deltas()
    except ValueError as error:
        raise UsageError(f"setting shard: {error}. Leave it out, or change the model.") from error


def inspect_shards(settings: Settings, inputs: list[str]) -> Findings:
    """Find faults of the topics of a shard."""
    found = Findings([], [])
    if (shard := settings.own_shard) is None:
        return found
    client = settings.client()
    _, cluster = connect(client, 10.0)
    sizes = {topic: len(cluster.topics[topic].partitions) for topic in inputs if topic in cluster.topics}
    for topic, size in sizes.items():
        if size < shard.count:
            found.faults.append(
                f"Topic {topic!r} (`input_topic`) has {size} partitions for {shard.count} shards (`shard`): a shard "
                "without a partition has nothing to do. Start fewer shards, or add partitions before the first start."
            )
    if len(set(sizes.values())) > 1:
        each = ", ".join(f"{topic} {size}" for topic, size in sizes.items())
        found.warnings.append(
            f"The input topics differ in their number of partitions ({each}): a user can be in several shards. Give "
            "topics of users the same number of partitions."
        )
    found.warnings.extend(said for topic in sizes if (said := look_at_keys(settings, topic).warning(topic)))
    if settings.deltas not in cluster.topics:
        if not settings.create_topics:
            found.faults.append(
                f"Topic {settings.deltas!r} (`delta_topic`) is missing. Create it with {shard.count} partitions and "
                "cleanup.policy=delete."
            )
        return found
    if (size := len(cluster.topics[settings.deltas].partitions)) < shard.count and not settings.create_topics:
        found.faults.append(
            f"Topic {settings.deltas!r} (`delta_topic`) has {size} partitions for {shard.count} shards. Add partitions."
        )
    policy = cleanup_policies(client, [settings.deltas]).get(settings.deltas, "")
    if "compact" in policy:
        found.faults.append(
            f"Topic {settings.deltas!r} (`delta_topic`) has cleanup.policy={policy}: the brokers remove deltas before "
            "the shards have read them. Set it to delete."
        )
    return found


def create_delta_topic(settings: Settings) -> None:
    """Create the topic of deltas where it is missing and may be created."""
    if (shard := settings.own_shard) is not None and settings.create_topics:
        make_delta_topic(settings.client(), settings.deltas, shard.count, settings.replication)
