"""Reliability of the probabilities in lists: predicted against observed frequencies."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from flows.messages import FALLBACK_USER, Decided, Interaction, Request
from recmodels.evaluation.metrics import Calibration


class Reliability:
    """Compares the probabilities of each list on the topic with the next event of its user.

    It uses the list that a reader has: the last one emitted for the user, or else the fallback list, at any age. Events
    that are not scored are ignored.

    Attributes:
        calibration: The calibration error and its bins.
        held: The list and the probabilities on the topic, by user.

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
        """Compare the list on the topic with an event, then note the list emitted after it."""
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

    def numbers(self, users: Collection[str]) -> dict[str, Any]:
        """Return the sums, and the lists of some users, as plain numbers and lists."""
        sums = vars(self.calibration).items()
        return {
            "calibration": {n: value.tolist() if isinstance(value, np.ndarray) else value for n, value in sums},
            "held": [[user, self.held.get(user)] for user in users],
        }

    def take_over(self, numbers: Mapping[str, Any]) -> None:
        """Take over what `numbers` returned."""
        for name, value in numbers["calibration"].items():
            own = getattr(self.calibration, name)
            setattr(self.calibration, name, np.array(value, own.dtype) if isinstance(own, np.ndarray) else value)
        for user, held in numbers["held"]:
            if held is None:
                self.held.pop(user, None)
            else:
                self.held[user] = (held[0], held[1])
