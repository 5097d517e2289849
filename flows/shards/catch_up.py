"""Catching up beyond the retention of messages: a shard offers snapshots of items to peers, and takes over theirs."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol

from flows.shards.chain import Chain
from flows.shards.delta_log import DeltaLog
from flows.shards.figures import ShardFigures
from flows.shards.identity import Shard
from flows.shards.judge import About, Judge, ShardError
from flows.shards.peer_snapshots import VERSION, PeerSnapshot, PeerSnapshots, age_of, misfit
from flows.shards.stored_link import PeerDelta, StoredLink
from flows.state.stateful import Snapshot

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
"""Time between two looks for a snapshot of a peer."""


class Link(Protocol):
    """What is needed of the link of a shard (`flows.shards.link`)."""

    shard: Shard
    log: DeltaLog
    judge: Judge
    figures: ShardFigures
    clock: Callable[[], float]
    lost: Literal["stop", "continue"]
    told: dict[tuple[str, int], int]
    pending: int
    is_begun: bool
    has_ended: bool
    last: tuple[int, int]
    seen: dict[int, Chain]
    learned: dict[int, tuple[int, int, int]]
    told_by: dict[int, dict[str, int]]

    @property
    def about(self) -> About:
        """What all shards must have in common."""

    def stored(self) -> StoredLink:
        """Return what a snapshot must hold."""

    def read_on(self, behind: Mapping[int, int]) -> None:
        """Read the peers on behind these offsets."""


class CatchUp:
    """Whether a shard knows all that its peers have told, and what it does if not.

    Args:
        link: The link of the shard.
        snapshots: Snapshots of peers. None: there are none.

    Attributes:
        missed: What is gone, if the shard waits for a snapshot of a peer. Empty: it does not.
        is_whole: Whether no message of a peer was left out.
    """

    def __init__(self, link: Link, snapshots: PeerSnapshots | None) -> None:
        self._link = link
        self.snapshots = snapshots
        if snapshots is not None:
            snapshots.figures = link.figures
        self.missed = ""
        self.is_whole = True
        self._since = self._look_at = 0.0
        self._has_given_up = False
        """Whether no snapshot of a peer came, and this shard goes on without."""
        self.reading = 0
        """Number of snapshots that were taken over."""

    def begin_to_wait(self, missed: str) -> bool:
        """Wait for a snapshot of a peer, as messages are gone. Return False if none can come."""
        if self.snapshots is None or self._has_given_up:
            return False
        self.missed, self._since, self._look_at = missed, self._link.clock(), 0.0
        return True

    def can_offer(self) -> bool:
        """Whether this shard is to write a snapshot for its peers once it has told what is pending."""
        link = self._link
        if self.snapshots is None or not link.is_begun or link.told or self.missed or not self.is_whole:
            return False
        return link.last[0] > 0 and self.snapshots.is_due(link.clock(), link.has_ended)

    def offer(self, items: Snapshot) -> None:
        """Write a snapshot for the peers.

        Args:
            items: What is known of items right after a message.
        """
        link, own = self._link, self._link.shard.index
        assert self.snapshots is not None
        assert not link.pending
        stored = link.stored()
        about = PeerSnapshot(
            version=VERSION,
            shard=own,
            shards=link.shard.count,
            generation=stored.generation,
            model=link.about.model,
            topic=link.log.topic,
            topic_id=link.log.topic_id,
            learned={**stored.peers, own: stored.own},
            positions={**stored.told, own: stored.positions},
            written=time.time(),
        )
        self.snapshots.write(about, items, link.clock())

    def find(self) -> PeerSnapshot | None:
        """Return a snapshot of a peer behind which no message is gone. None: there is none yet.

        Raises:
            ShardError: None came in time.
        """
        link = self._link
        if self.snapshots is None or link.clock() < self._look_at:
            return None
        self._look_at = link.clock() + LOOK_SECONDS
        bounds = {shard: link.log.bounds(shard) for shard in range(link.shard.count)}
        reasons, usable = [], []
        for each in self.snapshots.found(link.log.topic):
            why = self._misfit(each) or _gone_behind(each, bounds)
            reasons += [f"that of shard {each.shard}: {why}"] if why else []
            usable += [] if why else [each]
        if usable:
            return max(usable, key=lambda each: sum(each.behind(shard).seq for shard in bounds))
        self._wait("; ".join(reasons) or "no peer has written one")
        return None

    def _wait(self, why: str) -> None:
        assert self.snapshots is not None
        link, patience = self._link, 2.0 * self.snapshots.seconds
        where = f"No snapshot in {self.snapshots.directory} is of use ({why})."
        if link.clock() - self._since < patience:
            link.judge.warn("missed", f"{self.missed} {where} Waiting up to {patience:g} s for another.")
        elif link.lost == "stop":
            raise ShardError(
                f"{self.missed} {where} Start the peers, so that they write one; or start once with `lost_offsets` set "
                "to continue; or stop the shards and run freshrank rescale with as many shards as before."
            )
        else:
            self._has_given_up, self.missed = True, ""
            link.read_on({peer: link.seen[peer].offset for peer in link.shard.peers})

    def own_behind(self, found: PeerSnapshot) -> list[bytes]:
        """Return this shard's deltas that are not part of a snapshot, once all of them are delivered.

        Raises:
            ShardError: They are not all on the topic.
        """
        link, own = self._link, self._link.shard.index
        behind = found.behind(own)
        chain, deltas = Chain(*behind), []
        for partition, offset, value in link.log.read(own, behind.offset + 1, link.log.flush() + 1):
            if (message := link.judge.opened(partition, value)) is not None and chain.take(message, offset) == "next":
                deltas += [message.delta] if message.delta else []
        if (chain.seq, chain.id) != link.last:
            raise ShardError(
                f"shard {link.shard}: expected its own messages up to {link.last[0]:,} behind the snapshot of shard "
                f"{found.shard}; found them up to {chain.seq:,}. Start it again; run freshrank rescale if that recurs."
            )
        return deltas

    def go_on_behind(self, found: PeerSnapshot) -> None:
        """Read the peers on behind a snapshot that the model has taken over."""
        link = self._link
        logger.warning(
            "%s It takes over what shard %d knew of items %.0f s ago, and goes on behind that (peers: %s).",
            self.missed,
            found.shard,
            age_of(found),
            ", ".join(f"{peer} behind {found.behind(peer).seq}" for peer in link.shard.peers),
        )
        for peer in link.shard.peers:
            link.learned[peer] = found.behind(peer)
            link.seen[peer] = Chain(*found.behind(peer))
            link.told_by[peer] = found.positions.get(peer, {})
        link.read_on({peer: found.behind(peer).offset for peer in link.shard.peers})
        link.figures.taken_over[found.shard] += 1
        self.missed, self.is_whole = "", True
        self.reading += 1

    def is_current(self, delta: PeerDelta) -> bool:
        """Whether a delta was read since the last snapshot was taken over."""
        return delta.reading == self.reading

    def told_before(self, own: Chain, end: int) -> Mapping[str, int]:
        """Find out from snapshots of peers what this shard has told in messages that are all gone.

        Args:
            own: The own messages as far as they are known. It is continued.
            end: The offset of the next own message.

        Raises:
            ShardError: No snapshot has the last message.
        """
        link = self._link
        for found in () if self.snapshots is None else self.snapshots.found(link.log.topic):
            last = found.behind(link.shard.index)
            if self._misfit(found) is None and last.offset + 1 == end:
                own.seq, own.id, own.offset = last
                return found.positions.get(link.shard.index, {})
        raise ShardError(
            f"shard {link.shard}: expected its own messages from {own.seq + 1:,} on on topic {link.log.topic!r}; they "
            "are gone, so it cannot know which of its events its peers have learned. Name the directory of snapshots "
            "in `delta_snapshots`; or stop the shards and run freshrank rescale with as many shards as before; or name "
            "another `delta_topic`, if all shards begin without state."
        )

    def _misfit(self, found: PeerSnapshot) -> str | None:
        link = self._link
        return misfit(found, link.shard.count, link.about.generation, link.about.model, link.log.topic_id)


def _gone_behind(found: PeerSnapshot, bounds: Mapping[int, tuple[int, int]]) -> str | None:
    """Say which message behind a snapshot is gone. None: they are all there."""
    for shard, (low, high) in bounds.items():
        if not low <= found.behind(shard).offset + 1 <= high:
            return f"message {found.behind(shard).seq + 1:,} of shard {shard} behind it is gone"
    return None
