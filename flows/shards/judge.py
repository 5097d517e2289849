"""Judge: decides which messages on a topic of deltas are learned from, and says why others are not."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flows.errors import JobError
from flows.shards.envelope import Envelope, EnvelopeError, unseal
from flows.shards.figures import ShardFigures
from flows.shards.identity import Shard

logger = logging.getLogger(__name__)

QUIET_SECONDS: Final = 10.0
"""Least time between two warnings of a kind."""


class ShardError(JobError):
    """Shards do not fit together, or have lost what they told each other."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What all shards must have in common."""

    generation: int = 0
    model: int = 0
    model_name: str = ""
    settings: int = 0


class Judge:
    """Reads messages for one shard.

    Args:
        shard: Which shard this is.
        topic: Name of the topic, for messages.
        figures: Counts what is refused.
        clock: Returns monotonic seconds.

    Attributes:
        about: What all shards must have in common.
    """

    def __init__(
        self, shard: Shard, topic: str, figures: ShardFigures, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.shard = shard
        self.topic = topic
        self.figures = figures
        self.clock = clock
        self.about = About()
        self._quiet: dict[str, float] = {}

    def opened(self, partition: int, value: bytes) -> Envelope | None:
        """Return a message of this job and generation. None: it is none."""
        try:
            message = unseal(value)
        except EnvelopeError as error:
            self.refuse(partition, "garbage", f"{error}. Nothing but shards may write to topic {self.topic!r}.")
            return None
        if message.shard != partition:
            self.refuse(partition, "garbage", f"it says that it is of shard {message.shard}. Start each shard once.")
            return None
        if message.generation < self.about.generation:
            self.figures.refused["old generation"] += 1
            return None
        if message.generation > self.about.generation:
            raise ShardError(
                f"shard {self.shard}: expected shards of generation {self.about.generation}; shard {message.shard} of "
                f"topic {self.topic!r} has generation {message.generation}: users were dealt out anew since. Start "
                "this shard with the directory that `freshrank rescale` has written."
            )
        return message

    def misfit(self, message: Envelope) -> str | None:
        """Say why a message cannot be learned from. None: it can."""
        if message.shards != self.shard.count:
            return (
                f"expected {self.shard.count} shards; it is one of {message.shards}. Start all shards with the same "
                "number; `freshrank rescale` changes it."
            )
        if message.model != self.about.model:
            return (
                f"expected the model {self.about.model_name} with this shard's arguments; it has {message.model_name}, "
                "or other arguments. Give all shards the same model and settings, and start them."
            )
        return None

    def unfit(self, message: Envelope) -> str | None:
        """Say why the sender of a message must not run beside this shard. None: it may."""
        if message.generation < self.about.generation:
            return (
                f"expected generation {self.about.generation}; it has {message.generation}: it uses a directory from "
                "before the last `freshrank rescale`. Stop it."
            )
        return None if message.generation > self.about.generation else self.misfit(message)

    def is_unfit(self, value: bytes) -> bool:
        """Whether a message is of a shard that must not run beside this one."""
        try:
            return self.unfit(unseal(value)) is not None
        except EnvelopeError:
            return False

    def refuse(self, peer: int, reason: str, said: str) -> None:
        """Count a message that cannot be learned, and warn."""
        self.figures.refused[reason] += 1
        self.warn(f"{reason} {peer}", f"shard {self.shard}: a message of shard {peer} is not learned: {said}")

    def warn(self, kind: str, said: str) -> None:
        """Log a warning, unless there was one of the kind just now."""
        if self.clock() >= self._quiet.get(kind, 0.0):
            self._quiet[kind] = self.clock() + QUIET_SECONDS
            logger.warning("%s", said)
