"""Link of a shard to its peers: what it has told them, and what it has learned from them.

Nothing here knows Kafka or the engine. A `DeltaLog` carries bytes, in order for each shard.

How a shard resumes exactly. Its snapshot has the number of its last message, and the number of the last message of each
peer that it has learned. After a kill it reads its own messages behind the snapshot. The last of them names the
positions in the input topics up to which the peers know its events. It learns these events again, and tells nobody. It
reads its peers behind the snapshot, and learns each of their messages once.

If messages of a peer are gone, the link waits for a snapshot of a peer (`flows.shards.peer_snapshots`) and drops what
the peers tell meanwhile. The learner takes the snapshot over once it has learned again what the peers knew of it. Then
all peers are read on behind the snapshot.
"""

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from flows.shards.catch_up import CatchUp
from flows.shards.chain import Chain
from flows.shards.delta_log import DeltaLog
from flows.shards.envelope import Envelope, seal
from flows.shards.figures import ShardFigures
from flows.shards.identity import Shard
from flows.shards.judge import About, Judge, ShardError
from flows.shards.peer_snapshots import PeerSnapshots
from flows.shards.start_check import ALIVE_SECONDS, expect_fit, newest_generation
from flows.shards.stored_link import PeerDelta, StoredLink

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """When a shard tells its peers what it has learned: after a number of events or a time."""

    events: int = 200
    seconds: float = 0.1


class ShardLink:
    """Tells peers what this shard learns, and gives what they tell.

    Args:
        shard: Which shard this is.
        log: Carries the messages.
        rounds: When to tell.
        lost: What to do if messages of a peer are gone: "stop", or "continue" without them.
        clock: Returns monotonic seconds.
        snapshots: Snapshots of peers, to catch up beyond the retention of the messages. None: there are none.

    Attributes:
        figures: What metrics say.
        catch_up: What the shard does if messages of its peers are gone.
        told: Offset, by partition of the input, below which the peers know all events.
        last: Number and id of the last message that was sent.
        seen: The messages of each peer that were read.
        learned: The last message of each peer that is learned (`Told`).

    Raises:
        ShardError: From `poll`: shards do not fit together.
    """

    def __init__(
        self,
        shard: Shard,
        log: DeltaLog,
        rounds: Rounds | None = None,
        lost: Literal["stop", "continue"] = "stop",
        settings: int = 0,
        clock: Callable[[], float] = time.monotonic,
        snapshots: PeerSnapshots | None = None,
    ) -> None:
        self.shard = shard
        self.log = log
        self.rounds = rounds or Rounds()
        self.lost = lost
        self.settings = settings
        self.clock = clock
        self.figures = ShardFigures()
        self.judge = Judge(shard, log.topic, self.figures, clock)
        self.told: dict[tuple[str, int], int] = {}
        self.positions: dict[tuple[str, int], int] = {}
        self.pending = 0
        """Events that were learned since the last message."""
        self.is_begun = False
        self.has_ended = False
        """Whether no more events will come."""
        self.run = secrets.randbits(62) | 1
        self._own = Chain()
        """The own messages as the topic holds them."""
        self.last = (0, 0)
        """Number and id of the last message that was sent."""
        self.seen: dict[int, Chain] = {}
        self.learned: dict[int, tuple[int, int, int]] = {}
        self.told_by: dict[int, dict[str, int]] = {}
        """Where each peer was in the input with the last of its messages that is learned."""
        self.catch_up = CatchUp(self, snapshots)
        self._at: dict[int, int] = {}
        """Offset of the next message to read, by partition."""
        self._ends: dict[int, int] | None = None
        self._spoke = clock()
        self._asked_since = clock()

    @property
    def about(self) -> About:
        """What all shards must have in common."""
        return self.judge.about

    # The learner's side.

    def resume(self, stored: StoredLink | None, about: About) -> bool:
        """Go on at a snapshot.

        Args:
            stored: What the snapshot holds. None: there is none.
            about: What all shards must have in common.

        Returns:
            Whether the peers know what the snapshot has noted for them and not sent.

        Raises:
            ShardError: The shards on the topic do not fit to this one.
        """
        kept = stored or StoredLink()
        self.judge.about = about
        self.log.open()
        if stored is None:
            self.judge.about = about = replace(about, generation=newest_generation(self.log, self.shard.count))
        self.positions = {_place(name): at for name, at in kept.positions.items()}
        is_same_topic = kept.topic_id in ("", self.log.topic_id) or not self.log.topic_id
        self.learned = {peer: (seq, id_, at if is_same_topic else -1) for peer, (seq, id_, at) in kept.peers.items()}
        self.told_by, self.catch_up.is_whole = dict(kept.told), kept.is_whole
        known_to_peers = self._read_own(kept, is_same_topic)
        starts = {self.shard.index: self.log.bounds(self.shard.index)[1]}
        for peer in self.shard.peers:
            low, high = self.log.bounds(peer)
            seq, number, offset = kept.peers.get(peer, (0, 0, -1))
            self.seen[peer] = Chain(seq, number, offset)
            starts[peer] = offset + 1 if is_same_topic and low <= offset + 1 <= high else low
            expect_fit(self.judge, self.log, peer, (low, high), self.clock)
            self.figures.heard[peer] = self.clock()
        self.log.begin(starts)
        self._at = starts
        self.is_begun = True
        self._spoke = self.clock()
        logger.info(
            "shard %s: goes on behind message %d of its own; peers: %s",
            self.shard,
            self.last[0],
            ", ".join(f"{peer} behind {self.seen[peer].seq}" for peer in self.shard.peers) or "none",
        )
        return known_to_peers

    def is_told(self, at: tuple[str, int, int] | None) -> bool:
        """Whether the peers know the event at a position already."""
        return at is not None and at[2] < self.told.get(at[:2], 0)

    def note(self, positions: Sequence[tuple[str, int, int] | None], events: int) -> None:
        """Note that events were learned."""
        for at in positions:
            if at is not None:
                self.positions[at[:2]] = at[2] + 1
        if not self.pending and events:
            self._asked_since = self.clock()
        self.pending += events
        if self.told and all(self.positions.get(place, 0) >= offset for place, offset in self.told.items()):
            self.told = {}

    @property
    def is_due(self) -> bool:
        """Whether it is time to tell the peers."""
        if not self.pending:
            return self.clock() - self._spoke >= ALIVE_SECONDS
        return (
            self.has_ended
            or self.pending >= self.rounds.events
            or self.clock() - self._asked_since >= self.rounds.seconds
        )

    def tell(self, delta: bytes) -> None:
        """Tell the peers what was learned since the last message."""
        seq, after = self.last
        about, number = self.about, secrets.randbits(62) | 1
        # What the peers knew before counts, too, while it is learned again.
        positions = {**self.positions, **{p: max(at, self.positions.get(p, 0)) for p, at in self.told.items()}}
        message = Envelope(
            shard=self.shard.index,
            shards=self.shard.count,
            generation=about.generation,
            model=about.model,
            model_name=about.model_name,
            settings=about.settings,
            run=self.run,
            seq=seq + 1,
            id=number,
            after=after,
            positions={f"{topic}/{partition}": at for (topic, partition), at in positions.items()},
            events=self.pending,
            delta=delta,
        )
        data = seal(message)
        self.log.send(data)
        self.last = (seq + 1, number)
        self.figures.sent += 1
        self.figures.sent_bytes += len(data)
        self.figures.told += self.pending
        self.pending = 0
        self._spoke = self.clock()

    def note_learned(self, delta: PeerDelta) -> None:
        """Note that a delta of a peer is part of the model now."""
        self.learned[delta.shard] = (delta.seq, delta.id, delta.offset)
        self.told_by[delta.shard] = dict(delta.positions)
        self.figures.applied[delta.shard] += delta.events

    def refuse_damaged(self, peer: int, error: ValueError) -> None:
        """Count a delta that cannot be learned."""
        self.catch_up.is_whole = False
        self.judge.refuse(peer, "damaged", f"{error}.")

    def stored(self) -> StoredLink:
        """Return what a snapshot must hold, once all messages are delivered."""
        offset = self.log.flush() if self.is_begun else -1
        return StoredLink(
            self.about.generation,
            self.log.topic_id,
            (*self.last, max(offset, self._own.offset)),
            {f"{topic}/{partition}": at for (topic, partition), at in self.positions.items()},
            dict(self.learned),
            {f"{topic}/{partition}": at for (topic, partition), at in self.told.items()},
            dict(self.told_by),
            self.catch_up.is_whole,
        )

    def close(self) -> None:
        """Close the connection."""
        if self.catch_up.snapshots is not None:
            self.catch_up.snapshots.join()
        if self.is_begun:
            self.log.close()

    # The source's side.

    def poll(self) -> list[PeerDelta]:
        """Return what the peers have told since the last call."""
        found = []
        for partition, offset, value in self.log.poll():
            self._at[partition] = offset + 1
            if (message := self.judge.opened(partition, value)) is None:
                continue
            if partition == self.shard.index:
                self._check_own(message, offset)
            elif self.catch_up.missed:
                continue  # it is read again behind the snapshot
            elif (why := self.judge.misfit(message)) is not None:
                self.judge.refuse(partition, "misfit", why)
                self.seen[partition].jump(message, offset)
                self.catch_up.is_whole = False
            elif (delta := self._next(message, offset)) is not None:
                found.append(delta)
        return found

    def read_on(self, behind: Mapping[int, int]) -> None:
        """Read the peers on behind these offsets."""
        self._at = {self.shard.index: self._at[self.shard.index], **{peer: at + 1 for peer, at in behind.items()}}
        self._ends = None
        self.log.begin(self._at)

    def is_even(self) -> bool:
        """Whether everything has been read that the peers had told when this was first asked."""
        if not self.is_begun:
            return True
        if self.catch_up.missed:
            return False
        if self._ends is None:
            self._ends = {peer: self.log.bounds(peer)[1] for peer in self.shard.peers}
        return all(self._at[peer] >= end for peer, end in self._ends.items())

    def behind(self) -> dict[int, int]:
        """Return how many messages of each peer are not learned yet, as of the last look at the topic."""
        ends: Mapping[int, int] = getattr(self.log, "ends", {})
        return {
            peer: max(0, ends[peer] - 1 - self.learned.get(peer, (0, 0, -1))[2])
            for peer in self.shard.peers
            if peer in ends
        }

    def _next(self, message: Envelope, offset: int) -> PeerDelta | None:
        peer, chain = message.shard, self.seen[message.shard]
        self.figures.heard[peer] = self.clock()
        if message.settings != self.about.settings:
            self.judge.warn(
                f"settings {peer}",
                f"shard {self.shard}: shard {peer} has other settings of what is learned of an event. Give all shards "
                "the same, or they count differently.",
            )
        before = chain.seq
        verdict = chain.take(message, offset)
        if verdict == "off":
            self.figures.refused["repeated"] += 1
            return None
        if verdict == "gap":
            self._miss(peer, message, before)
            if self.catch_up.missed:
                return None
            chain.jump(message, offset)
        return PeerDelta(
            peer,
            message.seq,
            message.id,
            offset,
            message.events,
            message.delta,
            message.positions,
            self.catch_up.reading,
        )

    def _miss(self, peer: int, message: Envelope, before: int) -> None:
        gone = message.seq - before - 1
        said = (
            f"shard {self.shard}: expected message {before + 1:,} of shard {peer} on topic {self.log.topic!r}; the "
            f"first one left is {message.seq:,}: {gone:,} are gone, as the topic's retention removed them or the topic "
            "was made anew."
        )
        if self.catch_up.begin_to_wait(said):
            return
        if self.lost == "stop":
            raise ShardError(
                f"{said} To go on without what they say of items, start once with `lost_offsets` set to continue. To "
                "take it over from a peer, name a directory of snapshots in `delta_snapshots` of all shards; or stop "
                "the shards and run freshrank rescale with as many shards as before."
            )
        self.catch_up.is_whole = False
        self.figures.lost[peer] += gone
        logger.warning("%s This shard goes on without them (`lost_offsets` is continue).", said)

    def _check_own(self, message: Envelope, offset: int) -> None:
        """End this process if another one has taken its place. The order on the topic decides which one that is."""
        verdict, is_mine = self._own.take(message, offset), message.run == self.run
        if (verdict == "next") == is_mine:
            return
        said = f"another process runs as shard {self.shard} on topic {self.log.topic!r}"
        if is_mine or verdict == "gap":
            raise ShardError(
                f"shard {self.shard}: {said}. This one ends, and nothing is lost. Start each shard once; give each "
                "process a number of its own in `shard`."
            )
        if verdict == "next":
            raise ShardError(
                f"shard {self.shard}: {said}, and was faster. This one ends, and nothing is lost. Start each shard "
                "once; give each process a number of its own in `shard`."
            )
        self.judge.warn("twin", f"shard {self.shard}: {said}. Its messages do not count; it will end.")

    def _read_own(self, kept: StoredLink, is_same_topic: bool) -> bool:
        """Find out what the peers know of this shard. Return whether that is more than at the snapshot."""
        seq, number, offset = kept.own
        own = self._own = Chain(seq, number, offset if is_same_topic else -1)
        low, high = self.log.bounds(self.shard.index)
        start = offset + 1 if is_same_topic and low <= offset + 1 <= high else low
        told: Mapping[str, int] = kept.known
        if is_same_topic and offset + 1 < low == high:
            told = self.catch_up.told_before(own, high)
        for _, at, value in self.log.read(self.shard.index, start, high):
            if (message := self.judge.opened(self.shard.index, value)) is None:
                continue
            verdict = own.take(message, at)
            if verdict == "gap":
                own.jump(message, at)
            if verdict != "off":  # what the same shard told with another model is not known to these peers
                told = message.positions if self.judge.misfit(message) is None else {}
        self.last = (own.seq, own.id)
        self.told = {_place(name): at for name, at in told.items()}
        self.told = {place: at for place, at in self.told.items() if at > self.positions.get(place, 0)}
        return own.id != number


def _place(name: str) -> tuple[str, int]:
    topic, _, number = name.rpartition("/")
    return topic, int(number)
