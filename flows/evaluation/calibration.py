"""Reliability: whether the scores of lists, where they are probabilities, come true as often as they say."""

from collections.abc import Sequence

from flows.messages import FALLBACK_USER, Decided, Interaction, Request
from recmodels.evaluation.metrics import Calibration


class Reliability:
    """Compares the scores of each list that the topic held with the event that its user came back with.

    What is measured is what a reader can rely on: the list last emitted for the user, or else the fallback list,
    however old it was. An event that is not scored says nothing about it.

    Attributes:
        calibration: What came of it.
        held: The list and the probabilities that the topic holds, by user.

    >>> from flows.messages import Ranked
    >>> reliability = Reliability()
    >>> for time, item in [(1.0, "tea"), (2.0, "jam")]:
    ...     listed = Ranked(Interaction("ann", item, time), -1, ["jam", "pie"], [0.75, 0.25])
    ...     reliability.add(Decided(listed, is_emitted=True))
    >>> reliability.calibration.bins()
    [ReliabilityBin(listed=1, score=0.25, share=0.0), ReliabilityBin(listed=1, score=0.75, share=1.0)]
    """

    def __init__(self) -> None:
        self.calibration = Calibration()
        self.held: dict[str, tuple[Sequence[str], Sequence[float]]] = {}

    def add(self, decided: Decided) -> None:
        """Compare the list that was held with an event, then note the list that goes out after it."""
        event, position, items, scores, *_ = decided.ranked
        if isinstance(event, Request) and event.is_of_replay:
            return
        if items is None or scores is None:
            self.held.pop(event.user, None)
            return
        held = self.held.get(event.user) or self.held.get(FALLBACK_USER)
        if held is not None and position is not None and isinstance(event, Interaction):
            listed, probabilities = held
            self.calibration.update(probabilities, listed.index(event.item) if event.item in listed else -1)
        if decided.is_emitted:
            self.held[event.user] = items, scores
