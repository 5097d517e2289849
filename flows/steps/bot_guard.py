"""Bot filter: drops interactions of users who act like bots."""

from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from typing_extensions import override

from flows.messages import Event, Forget, Interaction
from flows.monitoring.counters import Counters
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful
from flows.steps.bot_detector import BotDetector


@operator
def filter_bots(
    step_id: str, up: KeyedStream[Event], fence_factor: float, counters: Counters, store: StoreFor
) -> KeyedStream[Event]:
    """Drop the interactions of users who are outliers (`flows.steps.bot_detector`). Other events pass.

    Args:
        step_id: Id of the step. It names stored state.
        up: Events by shard.
        fence_factor: Threshold of `BotDetector`, in interquartile ranges.
        counters: Counts the dropped events.
        store: Opens the stored state.
    """
    return stateful("crowd", up, lambda: BotGuard(fence_factor, counters), store)


class BotGuard(StatefulStep[Event, Event]):
    """Drops the interactions of users while they are outliers.

    A dropped event is counted. It is not learned, and gives no list.

    Args:
        fence_factor: Threshold of `BotDetector`, in interquartile ranges.
        counters: Counts the dropped events.

    >>> guard = BotGuard(3.0, Counters())
    >>> people: list[Event] = [Interaction(f"u{n}", f"i{n}", float(n)) for n in range(1_000)]
    >>> bot: list[Event] = [Interaction("bot", "mine", 1_000 + n / 10) for n in range(100)]
    >>> len(guard.process(people)), len(guard.process(bot)) + guard.counters.held_back
    (1000, 100)
    >>> guard.counters.held_back
    78
    """

    def __init__(self, fence_factor: float, counters: Counters) -> None:
        self.counters = counters
        self._crowd = BotDetector(fence_factor)

    @override
    def process(self, batch: list[Event]) -> list[Event]:
        passed: list[Event] = []
        for event in batch:
            if isinstance(event, Interaction):
                if self._crowd.is_outlier(event.user, event.item, event.timestamp):
                    self.counters.held_back += 1
                    continue
            elif isinstance(event, Forget):
                self._crowd.forget(event.user)
            passed.append(event)
        return passed

    @override
    def dump(self) -> Snapshot:
        return self._crowd.dump()

    @override
    def dump_changes(self) -> Snapshot:
        return self._crowd.dump_changes()

    @override
    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        return self._crowd.dump_part(place, size)

    @override
    def load(self, snapshot: Snapshot) -> None:
        self._crowd.load(snapshot)
