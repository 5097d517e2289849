"""Filter of a replay (`--where`): drops interactions that do not meet a condition."""

import bytewax.operators as op
from bytewax.dataflow import Stream, operator

from flows.messages import Event, Interaction
from flows.monitoring.counters import Counters
from flows.steps.conditions import Condition


@operator
def filter_events(step_id: str, up: Stream[Event], is_selected: Condition, counters: Counters) -> Stream[Event]:
    """Drop the interactions that do not meet the condition, and count them. Other events pass.

    Args:
        step_id: Id of the step.
        up: Decoded events.
        is_selected: The condition.
        counters: Counts the dropped events as `left_out`.
    """

    def pass_on(batch: list[Event]) -> list[Event]:
        passed = [event for event in batch if not isinstance(event, Interaction) or is_selected(event)]
        counters.left_out += len(batch) - len(passed)
        return passed

    return op.flat_map_batch("met", up, pass_on)
