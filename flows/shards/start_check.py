"""Checks at the start of a shard: which generation runs, and whether peers that run fit."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from flows.shards.delta_log import DeltaLog
from flows.shards.envelope import EnvelopeError, unseal
from flows.shards.judge import Judge, ShardError

logger = logging.getLogger(__name__)

ALIVE_SECONDS: Final = 5.0
"""Time between two messages of a shard that learns nothing."""
WAIT_SECONDS: Final = 2.4 * ALIVE_SECONDS
"""Time after which a peer counts as not running, if it sends no message."""


def newest_generation(log: DeltaLog, shards: int) -> int:
    """Return the generation of the newest messages on the topic."""
    found = 0
    for partition in range(shards):
        low, high = log.bounds(partition)
        for _, _, value in log.read(partition, max(low, high - 1), high):
            with suppress(EnvelopeError):
                found = max(found, unseal(value).generation)
    return found


def expect_fit(judge: Judge, log: DeltaLog, peer: int, bounds: tuple[int, int], clock: Callable[[], float]) -> None:
    """Refuse to start beside a running peer that does not fit.

    Args:
        judge: Says whether a peer fits.
        log: Carries the messages.
        peer: The peer.
        bounds: The offset of its first message, and of the next one to come.
        clock: Returns monotonic seconds.

    Raises:
        ShardError: The peer runs, and does not fit.
    """
    low, high = bounds
    if high <= low:
        return
    last = [value for _, _, value in log.read(peer, max(low, high - 1), high)]
    try:
        message = unseal(last[-1]) if last else None
    except EnvelopeError:
        return
    why = None if message is None else judge.unfit(message)
    if why is None:
        return
    logger.warning(
        "shard %s: shard %d does not fit: %s Waiting %g s to see whether it runs.", judge.shard, peer, why, WAIT_SECONDS
    )
    deadline = clock() + WAIT_SECONDS
    while clock() < deadline:
        now = log.bounds(peer)[1]
        if now > high and any(judge.is_unfit(value) for _, _, value in log.read(peer, high, now)):
            raise ShardError(f"shard {judge.shard}: shard {peer} runs on topic {log.topic!r}, and does not fit: {why}")
        time.sleep(0.1)
