"""Features: gives each interaction its reward and its context, and imputes missing fields."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream

from flows.messages import Event, Interaction, Prepared
from flows.monitoring.counters import Counters
from flows.state.stateful import StoreFor
from flows.steps.conditions import Condition
from flows.steps.impute import Filling, impute
from recmodels.base import Example


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """Configuration of `features`."""

    rewards: Mapping[str, float]
    """Reward by type of event. Other types have 1. At 0 or below, the event counts against the item, unscored."""
    by_value: Collection[str] = ()
    """Types of event whose reward is multiplied by the value, or by 0 if the value is negative."""
    fill: Mapping[str, Filling] = field(default_factory=dict)
    """Imputation of missing fields, by name (`flows.steps.impute`)."""
    undo: Mapping[str, str] = field(default_factory=dict)
    """Types of event that take another type back, by type."""
    is_positive: Condition | None = None
    """Condition for a positive reward. Other interactions get at most 0. None: no condition."""


@operator
def features(
    step_id: str, up: KeyedStream[Event], meaning: Meaning, counters: Counters, store: StoreFor
) -> KeyedStream[Prepared]:
    """Give every interaction its reward and context, and count it by type of event.

    Args:
        step_id: Id of the step. It names stored state.
        up: Events by shard.
        meaning: Configuration.
        counters: Counts interactions by type.
        store: Opens the stored state of a step.
    """

    def prepare_batch(batch: list[tuple[str, Event]]) -> list[tuple[str, Prepared]]:
        for _, event in batch:
            if isinstance(event, Interaction):
                counters.note_type(event.event)
        return [(key, prepare(event, meaning)) for key, event in batch]

    prepared = op.flat_map_batch("examples", up, prepare_batch)
    return impute("fill", prepared, meaning.fill, store) if meaning.fill else prepared


def prepare(event: Event, meaning: Meaning) -> Prepared:
    """Add the model's `Example` to an event.

    >>> prepare(Interaction("u1", "i1", 5.0, event="return", value=2.0), Meaning(rewards={"return": -1.0})).example
    Example(user='u1', item='i1', y=-1.0, timestamp=5.0, x={'event': 'return', 'value': 2.0}, undoes=None)
    >>> prepare(Interaction("u1", "i1", 5.0, event="unlike"), Meaning(rewards={}, undo={"unlike": "like"})).example
    Example(user='u1', item='i1', y=-1.0, timestamp=5.0, x={'event': 'unlike', 'value': 1.0}, undoes='like')
    """
    if not isinstance(event, Interaction):
        return Prepared(event, None)
    undoes = event.event if event.is_deleted else meaning.undo.get(event.event)
    x = {"event": event.event, "value": event.value}
    if event.session is not None:
        x["session"] = event.session
    if event.context:
        x = {**event.context, **x}
    kind = event.event if undoes is None else undoes
    reward = meaning.rewards.get(kind, 1.0)
    if kind in meaning.by_value:
        reward *= max(event.value, 0.0)
    if undoes is not None:
        return Prepared(event, Example(event.user, event.item, -abs(reward), event.timestamp, x, undoes))
    if meaning.is_positive is not None and not meaning.is_positive(event):
        reward = min(reward, 0.0)
    return Prepared(event, Example(event.user, event.item, reward, event.timestamp, x))
