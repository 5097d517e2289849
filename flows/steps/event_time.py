"""Watermark: the newest trusted event time. Clocks that jump ahead are rejected."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.steps.hashing import digest

MAX_JUMP_SECONDS: Final = 7 * 86_400.0
"""Seconds. A time further ahead of the watermark is not trusted on its own."""
MIN_AGREEING_EVENTS: Final = 10
"""Number of consecutive events far ahead that are trusted even if all are of one user."""


class EventTime:
    """Tracks the newest trusted time. It never moves backwards, and one wrong clock cannot move it far.

    The exception is the very first event: its time counts until another user's event proves it wrong.

    An event more than `MAX_JUMP_SECONDS` ahead is trusted when the next event, of another user, has about that time:
    then the log had a gap. Else the sender's clock is wrong, and the event gets the newest trusted time.

    >>> clock = EventTime()
    >>> [clock.place(time, user) for time, user in [(10.0, "ann"), (12.0, "bob"), (11.0, "ann"), (4e9, "eve")]]
    [10.0, 12.0, 11.0, 12.0]
    >>> [clock.place(time, user) for time, user in [(13.0, "ann"), (3e9, "ann"), (3e9 + 1, "bob")]], clock.newest
    ([13.0, 13.0, 3000000001.0], 3000000001.0)

    Attributes:
        newest: In Unix seconds; minus infinity before the first event.
    """

    def __init__(self) -> None:
        self.newest = -math.inf
        self._first_user = 0
        """Digest of the only user seen so far; 0 once a second user's event confirms the time."""
        self._ahead = -math.inf
        self._ahead_user = 0
        self._in_a_row = 0

    def place(self, time: float, user: str) -> float:
        """Return the time at which an event is learned: its own, or the newest trusted one.

        Args:
            time: The event's own time in Unix seconds.
            user: Id of its user.
        """
        if self.newest == -math.inf:
            self.newest, self._first_user = time, digest(user)
            return time
        if time - self.newest <= MAX_JUMP_SECONDS:
            if self._first_user and self._first_user != digest(user):
                self._first_user = 0
                if self.newest - time > MAX_JUMP_SECONDS:
                    self.newest = time
            self._in_a_row = 0
            self.newest = max(self.newest, time)
            return time
        sender = digest(user)
        agrees = self._in_a_row > 0 and abs(time - self._ahead) <= MAX_JUMP_SECONDS
        self._in_a_row = self._in_a_row + 1 if agrees else 1
        if agrees and (sender != self._ahead_user or self._in_a_row >= MIN_AGREEING_EVENTS):
            self.newest, self._in_a_row, self._first_user = max(time, self._ahead), 0, 0
            return time
        self._ahead, self._ahead_user = time, sender
        return self.newest

    def trusted(self, time: float) -> float:
        """Return the time at which a request is answered: its own, or the newest trusted one if that is far ahead.

        A request does not move the watermark.

        >>> clock = EventTime()
        >>> clock.place(10.0, "ann"), clock.trusted(60.0), clock.trusted(4e9), clock.newest
        (10.0, 60.0, 10.0, 10.0)
        """
        return self.newest if time - MAX_JUMP_SECONDS > self.newest > -math.inf else time

    def forget(self, user: str) -> None:
        """Remove a user's digest from the state."""
        if self._ahead_user == digest(user):
            self._ahead_user = self._in_a_row = 0
        if self._first_user == digest(user):
            self._first_user = 0

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as arrays."""
        return {
            "times": np.array([self.newest, self._ahead]),
            "clocks": np.array([self._first_user, self._ahead_user, self._in_a_row], np.uint64),
        }

    def load(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Load a result of `dump`."""
        self.newest, self._ahead = snapshot["times"].tolist()
        self._first_user, self._ahead_user, self._in_a_row = snapshot["clocks"].tolist()
