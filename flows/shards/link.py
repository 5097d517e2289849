"""Link of a shard to its peers: what it has told them, and what it has learned from them.

Nothing here knows Kafka or the engine. A `DeltaLog` carries bytes, in order for each shard.

How a shard resumes exactly. Its snapshot has the number of its last message, and the number of the last message of each
peer that it has learned. After a kill it reads its own messages behind the snapshot. The last of them names the
positions in the input topics up to which the peers know its events. It learns these events again, and tells nobody. It
reads its peers behind the snapshot, and learns each of their messages once.
"""

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import msgspec

from flows.shards.chain import Chain
from flows.shards.delta_log import DeltaLog
from flows.shards.envelope import Envelope, EnvelopeError, seal, unseal
from flows.shards.figures import ShardFigures
from flows.shards.identity import Shard
from flows.shards.judge import About, Judge, ShardError

logger = logging.getLogger(__name__)

ALIVE_SECONDS: Final = 5.0
"""Time between two messages of a shard that learns nothing."""
WAIT_SECONDS: Final = 2.4 * ALIVE_SECONDS
"""Time after which a peer counts as not running, if it sends no message."""


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """When a shard tells its peers what it has learned: after a number of events or a time."""

    events: int = 200
    seconds: float = 0.1


class PeerDelta(NamedTuple):
    """What a peer has learned, in its place."""

    shard: int
    seq: int
    id: int
    offset: int
    events: int
    delta: bytes


class StoredLink(msgspec.Struct):
    """What a snapshot holds of a link."""

    generation: int = 0
    topic_id: str = ""
    own: tuple[int, int, int] = (0, 0, -1)
    """Number, id and offset of the last own message."""
    positions: dict[str, int] = {}
    """Offset of the next event of each input partition."""
    peers: dict[int, tuple[int, int, int]] = {}


class ShardLink:
    """Tells peers what this shard learns, and gives what they tell.

    Args:
        shard: Which shard this is.
        log: Carries the messages.
        rounds: When to tell.
        lost: What to do if messages of a peer are gone: "stop", or "continue" without them.
        clock: Returns monotonic seconds.

    Attributes:
        figures: What metrics say.
        told: Offset, by partition of the input, below which the peers know all events.

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
        self._last = (0, 0)
        """Number and id of the last message that was sent."""
        self._seen: dict[int, Chain] = {}
        self._learned: dict[int, tuple[int, int, int]] = {}
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
            self.judge.about = about = replace(about, generation=self._newest_generation())
        self.positions = {_place(name): at for name, at in kept.positions.items()}
        self._learned = dict(kept.peers)
        is_same_topic = kept.topic_id in ("", self.log.topic_id) or not self.log.topic_id
        known_to_peers = self._read_own(kept, is_same_topic)
        starts = {self.shard.index: self.log.bounds(self.shard.index)[1]}
        for peer in self.shard.peers:
            low, high = self.log.bounds(peer)
            seq, number, offset = kept.peers.get(peer, (0, 0, -1))
            self._seen[peer] = Chain(seq, number, offset)
            starts[peer] = offset + 1 if is_same_topic and low <= offset + 1 <= high else low
            self._check_peer(peer, low, high)
            self.figures.heard[peer] = self.clock()
        self.log.begin(starts)
        self._at = starts
        self.is_begun = True
        self._spoke = self.clock()
        logger.info(
            "shard %s: goes on behind message %d of its own; peers: %s",
            self.shard,
            self._last[0],
            ", ".join(f"{peer} behind {self._seen[peer].seq}" for peer in self.shard.peers) or "none",
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
        seq, after = self._last
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
        self._last = (seq + 1, number)
        self.figures.sent += 1
        self.figures.sent_bytes += len(data)
        self.figures.told += self.pending
        self.pending = 0
        self._spoke = self.clock()

    def note_learned(self, delta: PeerDelta) -> None:
        """Note that a delta of a peer is part of the model now."""
        self._learned[delta.shard] = (delta.seq, delta.id, delta.offset)
        self.figures.applied[delta.shard] += delta.events

    def stored(self) -> StoredLink:
        """Return what a snapshot must hold, once all messages are delivered."""
        offset = self.log.flush() if self.is_begun else -1
        return StoredLink(
            self.about.generation,
            self.log.topic_id,
            (*self._last, max(offset, self._own.offset)),
            {f"{topic}/{partition}": at for (topic, partition), at in self.positions.items()},
            dict(self._learned),
        )

    def close(self) -> None:
        """Close the connection."""
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
            elif (why := self.judge.misfit(message)) is not None:
                self.judge.refuse(partition, "misfit", why)
                self._seen[partition].jump(message, offset)
            elif (delta := self._next(message, offset)) is not None:
                found.append(delta)
        return found

    def is_even(self) -> bool:
        """Whether everything has been read that the peers had told when this was first asked."""
        if not self.is_begun:
            return True
        if self._ends is None:
            self._ends = {peer: self.log.bounds(peer)[1] for peer in self.shard.peers}
        return all(self._at[peer] >= end for peer, end in self._ends.items())

    def behind(self) -> dict[int, int]:
        """Return how many messages of each peer are not learned yet, as of the last look at the topic."""
        ends: Mapping[int, int] = getattr(self.log, "ends", {})
        return {
            peer: max(0, ends[peer] - 1 - self._learned.get(peer, (0, 0, -1))[2])
            for peer in self.shard.peers
            if peer in ends
        }

    def _next(self, message: Envelope, offset: int) -> PeerDelta | None:
        peer, chain = message.shard, self._seen[message.shard]
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
            chain.jump(message, offset)
        return PeerDelta(peer, message.seq, message.id, offset, message.events, message.delta)

    def _miss(self, peer: int, message: Envelope, before: int) -> None:
        gone = message.seq - before - 1
        said = (
            f"shard {self.shard}: expected message {before + 1:,} of shard {peer} on topic {self.log.topic!r}; the "
            f"first one left is {message.seq:,}: {gone:,} are gone, as the topic's retention removed them or the topic "
            "was made anew."
        )
        if self.lost == "stop":
            raise ShardError(
                f"{said} To go on without what they say of items, start once with `lost_offsets` set to continue. To "
                "take it over from a peer, stop the shards and run freshrank rescale with as many shards as before."
            )
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

    def _newest_generation(self) -> int:
        """Return the generation of the newest messages on the topic."""
        found = 0
        for partition in range(self.shard.count):
            low, high = self.log.bounds(partition)
            for _, _, value in self.log.read(partition, max(low, high - 1), high):
                with suppress(EnvelopeError):
                    found = max(found, unseal(value).generation)
        return found

    def _read_own(self, kept: StoredLink, is_same_topic: bool) -> bool:
        """Find out what the peers know of this shard. Return whether that is more than at the snapshot."""
        seq, number, offset = kept.own
        own = self._own = Chain(seq, number, offset)
        low, high = self.log.bounds(self.shard.index)
        start = offset + 1 if is_same_topic and low <= offset + 1 <= high else low
        told: Mapping[str, int] = {}
        for _, at, value in self.log.read(self.shard.index, start, high):
            if (message := self.judge.opened(self.shard.index, value)) is None:
                continue
            verdict = own.take(message, at)
            if verdict == "gap":
                own.jump(message, at)
            if verdict != "off":  # what the same shard told with another model is not known to these peers
                told = message.positions if self.judge.misfit(message) is None else {}
        self._last = (own.seq, own.id)
        self.told = {_place(name): at for name, at in told.items()}
        self.told = {place: at for place, at in self.told.items() if at > self.positions.get(place, 0)}
        return own.id != number

    def _check_peer(self, peer: int, low: int, high: int) -> None:
        """Refuse to start beside a running peer that does not fit."""
        if high <= low:
            return
        last = [value for _, _, value in self.log.read(peer, max(low, high - 1), high)]
        try:
            message = unseal(last[-1]) if last else None
        except EnvelopeError:
            return
        why = None if message is None else self.judge.unfit(message)
        if why is None:
            return
        logger.warning(
            "shard %s: shard %d does not fit: %s Waiting %g s to see whether it runs.",
            self.shard,
            peer,
            why,
            WAIT_SECONDS,
        )
        deadline = self.clock() + WAIT_SECONDS
        while self.clock() < deadline:
            now = self.log.bounds(peer)[1]
            if now > high and any(self.judge.is_unfit(value) for _, _, value in self.log.read(peer, high, now)):
                raise ShardError(
                    f"shard {self.shard}: shard {peer} runs on topic {self.log.topic!r}, and does not fit: {why}"
                )
            time.sleep(0.1)


def _place(name: str) -> tuple[str, int]:
    topic, _, number = name.rpartition("/")
    return topic, int(number)
