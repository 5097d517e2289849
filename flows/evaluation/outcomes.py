"""Outcomes: one row for each scored event, in order, in growing columns."""

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Outcomes:
    """Columns, one row for each scored event, in the order of the log. A row takes at most 48 bytes.

    Attributes:
        number: Number of the event among the interactions of the log, from 0, scored or not.
        time: Of the event, in Unix seconds.
        position: Rank of the event's item in the fresh list, from 0, or -1.
        served: Rank in the list that a reader of the topic shows who heeds the ages on the fallback list, or -1.
        any_age: Rank in the user's own list, however old, or in the fallback list if the user has none, or -1.
        with_requests: As `served`, with a list requested at the beginning of each visit. Only there if the replay made
            such requests.
        user_events: Earlier events of the user. 0 means a new user.
        item_events: Earlier events of the item. 0 means a new item.
        item_digest: Which item it was, in 32 bits (CRC-32): two of a hundred thousand items share one by chance.

    >>> outcomes = Outcomes()
    >>> outcomes.append(4, 60.0, position=0, served=-1, any_age=-1, user_events=2, item_events=7, item_digest=9)
    >>> outcomes.append(5, 61.5, position=-1, served=3, any_age=3, user_events=0, item_events=8, item_digest=9)
    >>> len(outcomes), outcomes.arrays()["served"].tolist(), outcomes.arrays()["time"].tolist()
    (2, [-1, 3], [60.0, 61.5])
    """

    def __init__(self) -> None:
        self.number = array("q")
        self.time = array("d")
        self.position = array("i")
        self.served = array("i")
        self.any_age = array("i")
        self.with_requests = array("i")
        self.user_events = array("i")
        self.item_events = array("i")
        self.item_digest = array("I")

    def append(
        self,
        number: int,
        time: float,
        position: int,
        served: int,
        any_age: int,
        user_events: int,
        item_events: int,
        item_digest: int,
        with_requests: int | None = None,
    ) -> None:
        """Add the row of one event.

        Args:
            number: Number of the event among the interactions of the log, from 0.
            time: Unix seconds.
            position, served, any_age, with_requests: Ranks from 0, or -1. See the attributes.
            user_events, item_events: Number of earlier events of the user and of the item.
            item_digest: CRC-32 of the item's id.
        """
        self.number.append(number)
        self.time.append(time)
        self.position.append(position)
        self.served.append(served)
        self.any_age.append(any_age)
        self.user_events.append(user_events)
        self.item_events.append(item_events)
        self.item_digest.append(item_digest)
        if with_requests is not None:
            self.with_requests.append(with_requests)

    def __len__(self) -> int:
        return len(self.number)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copy the columns so far, by name: shapes (rows,); int64, float64, int32 and, for `item_digest`, uint32."""
        columns = {name: np.array(column) for name, column in vars(self).items()}
        return columns if len(self.with_requests) else {n: c for n, c in columns.items() if n != "with_requests"}
