"""Roles: which of the models in one state is the champion, whose lists are sent, and which the challenger.

Each model of a state has a number for good, its slot, and the names of its arrays begin with it. So a challenger can
come, go or become the champion, and no array is written anew. Arrays of a slot without a role are not loaded. The
arrays of slot 0 have no prefix, as in the state of a job that never had a challenger.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from flows.state.stateful import Snapshot

OF_A_ROLE: Final = re.compile(r"(slot|pair)\d+\.")
"""Prefix of arrays of a slot, or of what was measured of a pair."""
ROLES: Final = "slot of the champion"
"""Name of the array that says which model was the champion. It is missing where that is slot 0."""


class Roles(NamedTuple):
    """The numbers of the models with a role.

    Attributes:
        champion: Slot of the champion.
        challenger: Slot of the challenger, if there is one.
        pair: Number of what is measured of the two. It changes whenever one of them changes.
    """

    champion: int = 0
    challenger: int = 1
    pair: int = 1

    @property
    def newest(self) -> int:
        """The largest number that was given."""
        return max(self)

    def with_new_challenger(self) -> "Roles":
        """Return the roles with a challenger that has learned nothing.

        >>> Roles(champion=3, challenger=0, pair=4).with_new_challenger()
        Roles(champion=3, challenger=5, pair=5)
        """
        return Roles(self.champion, self.newest + 1, self.newest + 1)

    def swapped(self) -> "Roles":
        """Return the roles in which the challenger is the champion, and the champion the challenger.

        >>> Roles(champion=0, challenger=1, pair=1).swapped()
        Roles(champion=1, challenger=0, pair=2)
        """
        return Roles(self.challenger, self.champion, self.newest + 1)


FIRST_ROLES: Final = Roles()
"""Roles in the state of a job that had at most one challenger."""


def arrays_of_slot(snapshot: Snapshot, slot: int) -> Snapshot:
    """Return the arrays of one model, by the names that the model gave them.

    >>> sorted(arrays_of_slot({"weights": 1, "slot2.weights": 2, "pair2.numbers": 3, "lists.now": 4}, 0))
    ['weights']
    """
    if slot:
        return arrays_with(snapshot, f"slot{slot}.")
    own = (name for name in snapshot if not name.startswith("lists.") and not OF_A_ROLE.match(name))
    return {name: snapshot[name] for name in own if name != ROLES}


def arrays_with(snapshot: Snapshot, prefix: str) -> Snapshot:
    """Return the arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in snapshot.items() if name.startswith(prefix)}


def named_by_slot(arrays: Mapping[str, Any], slot: int) -> Snapshot:
    """Return the arrays of one model by their names in the state."""
    return {f"slot{slot}.{name}": array for name, array in arrays.items()} if slot else arrays
