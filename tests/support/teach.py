"""Events whose right answer is known, and models that are taught them: shared by the tests of models."""

import gzip
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from recmodels import Example, Recommender

POPULAR = "a:tea b:tea c:tea a:jam b:jam a:pie"
"""Pairs for `learn`, after which the popular items are tea, jam and pie in this order."""

CHANGE = 6_000
"""Event at which `a_stream_that_changes` changes."""


def teach(model: Recommender, pairs: Iterable[tuple[str, str]], start: float = 0.0) -> None:
    """Learn pairs of user and item in one batch, one a second."""
    model.step_many([Example(user, item, 1.0, start + n) for n, (user, item) in enumerate(pairs)], n=0)


def learn(model: Recommender, pairs: str) -> None:
    """Learn "user:item user:item ..." event by event, one a minute."""
    start = getattr(model, "minutes", 0)
    for minute, pair in enumerate(pairs.split(), start):
        user, _, item = pair.partition(":")
        model.learn_one(user, item, 1.0, {"timestamp": 60.0 * minute})
    model.minutes = start + len(pairs.split())  # type: ignore[attr-defined]


def listed(model: Recommender, user: str, n: int = 10) -> list[str]:
    """Return the items of a user's list."""
    return [item for item, _ in model.top(user, n)]


def checkerboard(seed: int, users: int = 60, count: int = 20, each: int = 8) -> list[Example]:
    """Even users take even items and odd users odd ones: `each` of them, in any order."""
    draw = random.Random(seed)
    events = []
    for user in range(users):
        for item in draw.sample(range(user % 2, count, 2), each):
            events.append((draw.random(), f"u{user}", f"i{item}"))
    return [Example(user, item, 1.0, 60.0 * k) for k, (_, user, item) in enumerate(sorted(events))]


def a_stream_that_changes() -> list[Example]:
    """Users take popular items. From `CHANGE` on each user repeats five items of their own."""
    draw = np.random.default_rng(11)
    log = []
    for k in range(2 * CHANGE):
        user = int(draw.integers(40))
        item = int(draw.zipf(1.6)) % 300 if k < CHANGE else 300 + user * 5 + k % 5
        log.append(Example(f"u{user}", f"i{item}", 1.0, 30.0 * k))
    return log


def examples(log: Path) -> Iterator[Example]:
    """Return the events of a gzipped CSV log as models take them."""
    with gzip.open(log, "rt", encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            user, item, time, event, _ = line.split(",")
            yield Example(user, item, -1.0 if event == "return" else 1.0, float(time))
