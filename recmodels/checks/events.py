"""Events for the checks."""

import random
from collections.abc import Callable, Sequence
from typing import TypeAlias

from recmodels.base import Context, Example, Recommender, Step

Factory: TypeAlias = Callable[..., Recommender]
"""Makes a fresh model."""
Check: TypeAlias = Callable[[Factory], None]
"""Raises AssertionError if the model breaks a rule."""

STRANGER = "stranger"
"""A user, or an item, of no event."""


def some_events(count: int = 120, seed: int = 0, users: int = 9, items: int = 25) -> list[Example]:
    """Return events of a few users and items, some popular and some rare, with repeats, returns and odd times."""
    draw = random.Random(seed)
    events, time = [], 1_400_000_000.0
    for _ in range(count):
        time += draw.choice([0.0, 0.5, 60.0, 4_000.0, -100.0])
        item = int(items * draw.random() ** 2)
        reward = draw.choice([1.0] * 12 + [0.5, 3.0, 0.0, -1.0])
        events.append(Example(f"u{draw.randrange(users)}", f"i{item}", reward, time, {"device": draw.choice("ab")}))
    return events


def catalogue_of(events: Sequence[Example]) -> list[str]:
    """Return the items with a positive interaction, in the order of the first one."""
    return list(dict.fromkeys(event.item for event in events if event.y > 0))


def users_of(events: Sequence[Example]) -> list[str]:
    """Return the users, in order."""
    return list(dict.fromkeys(event.user for event in events))


def context_of(event: Example) -> Context:
    """Return the context with which `step_many` learns an event."""
    return {"timestamp": event.timestamp, **(event.x or {})}


def learn(model: Recommender, events: Sequence[Example]) -> None:
    """Have a model learn events one after the other."""
    for event in events:
        model.learn_one(event.user, event.item, event.y, context_of(event))


def learned(make: Factory, events: Sequence[Example], **arguments: object) -> Recommender:
    """Make a model that has learned events."""
    model = make(**arguments)
    learn(model, events)
    return model


def steps_of(model: Recommender, events: Sequence[Example], n: int = 5, batch: int = 1) -> list[Step]:
    """Return the answers of a model to events in micro-batches."""
    steps = []
    for start in range(0, len(events), batch):
        steps += model.step_many(events[start : start + batch], n, score=True)
    return steps
