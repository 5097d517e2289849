"""Features: what an interaction means for the model, its reward and its context."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import bytewax.operators as op
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream

from flows.messages import Event, Interaction, Refresh
from recmodels.base import Example


class Prepared(NamedTuple):
    """An event or a request, and what a model learns from it: None for what is no interaction."""

    event: Event | Refresh
    example: Example | None


@operator
def features(
    step_id: str, up: KeyedStream[Event], rewards: Mapping[str, float], by_value: Collection[str]
) -> KeyedStream[Prepared]:
    """Give every interaction its reward and its context."""

    def prepare_batch(batch: list[tuple[str, Event]]) -> list[tuple[str, Prepared]]:
        return [(key, prepare(event, rewards, by_value)) for key, event in batch]

    return op.flat_map_batch("examples", up, prepare_batch)


def prepare(event: Event, rewards: Mapping[str, float], by_value: Collection[str] = ()) -> Prepared:
    """Make an event ready for the model.

    Args:
        event: Any event.
        rewards: Reward by type of event; 1 for a type that is not there. At 0 or below the event speaks against the
            item: it is learned as such and not scored.
        by_value: Types whose reward is multiplied by the event's value; by 0 if that is negative.

    >>> prepare(Interaction("u1", "i1", 5.0, event="return", value=2.0), {"return": -1.0}).example
    Example(user='u1', item='i1', y=-1.0, timestamp=5.0, x={'event': 'return', 'value': 2.0})
    """
    if not isinstance(event, Interaction):
        return Prepared(event, None)
    x = {"event": event.event, "value": event.value}
    if event.session is not None:
        x["session"] = event.session
    if event.context:
        x = {**event.context, **x}
    reward = rewards.get(event.event, 1.0)
    if event.event in by_value:
        reward *= max(event.value, 0.0)
    return Prepared(event, Example(event.user, event.item, reward, event.timestamp, x))
