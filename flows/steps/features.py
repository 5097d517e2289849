"""Features: what an interaction means for the model, its reward and its context, with what is missing filled."""

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
    """What an interaction means for the model."""

    rewards: Mapping[str, float]
    """Reward by type of event; 1 for a type that is not there. At 0 or below the event speaks against the item: it is
    learned as such and not scored."""
    by_value: Collection[str] = ()
    """Types whose reward is multiplied by the event's value; by 0 if that is negative."""
    fill: Mapping[str, Filling] = field(default_factory=dict)
    """How missing fields are filled (`flows.steps.impute`)."""
    is_positive: Condition | None = None
    """Interactions that do not meet it have a reward of 0 at most. None: all meet it."""


@operator
def features(
    step_id: str, up: KeyedStream[Event], meaning: Meaning, counters: Counters, store: StoreFor
) -> KeyedStream[Prepared]:
    """Give every interaction its reward and its context, and count it by its type of event."""

    def prepare_batch(batch: list[tuple[str, Event]]) -> list[tuple[str, Prepared]]:
        for _, event in batch:
            if isinstance(event, Interaction):
                counters.note_type(event.event)
        return [(key, prepare(event, meaning)) for key, event in batch]

    prepared = op.flat_map_batch("examples", up, prepare_batch)
    return impute("fill", prepared, meaning.fill, store) if meaning.fill else prepared


def prepare(event: Event, meaning: Meaning) -> Prepared:
    """Make an event ready for the model.

    >>> prepare(Interaction("u1", "i1", 5.0, event="return", value=2.0), Meaning(rewards={"return": -1.0})).example
    Example(user='u1', item='i1', y=-1.0, timestamp=5.0, x={'event': 'return', 'value': 2.0})
    """
    if not isinstance(event, Interaction):
        return Prepared(event, None)
    x = {"event": event.event, "value": event.value}
    if event.session is not None:
        x["session"] = event.session
    if event.context:
        x = {**event.context, **x}
    reward = meaning.rewards.get(event.event, 1.0)
    if event.event in meaning.by_value:
        reward *= max(event.value, 0.0)
    if meaning.is_positive is not None and not meaning.is_positive(event):
        reward = min(reward, 0.0)
    return Prepared(event, Example(event.user, event.item, reward, event.timestamp, x))
