"""Exposure: which users see the challenger, and the lists in which both models meet.

Users are chosen by a hash of their id, so a user stays with one model. Interleaved lists are made by team drafting. The
two models pick in turn, and a coin decides which one picks first in each round. So both have the same chance of every
place.

Source: Radlinski, Kurup and Joachims, "How does clickthrough data reflect retrieval quality?", CIKM 2008.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from flows.steps.hashing import digest

Listed: TypeAlias = tuple[Sequence[str], Sequence[float]]
"""Items of a list, the best first, and their scores."""
Mode: TypeAlias = Literal["split", "interleave"]
"""The chosen users get lists of the challenger alone, or interleaved lists."""
WORD: Final = 1 << 64


class Drafted(NamedTuple):
    """A list that two models made.

    Attributes:
        items: Its items, the best first.
        scores: Of each item the score that the model gave it which picked it.
        of_challenger: Items that the challenger picked.
    """

    items: Sequence[str]
    scores: Sequence[float]
    of_challenger: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Configuration of what users see of the challenger.

    Args:
        share: Share of users that see it.
        mode: What they see.
        seed: Seed of the choice of users, and of the coins.

    >>> exposure = Exposure(share=0.5, mode="split", seed=0)
    >>> [user for user in ("ann", "bob", "eve", "joe") if exposure.is_chosen(user)]
    ['bob', 'eve', 'joe']
    """

    share: float
    mode: Mode
    seed: int = 0

    def is_chosen(self, user: str) -> bool:
        """Say whether a user sees the challenger. The fallback list, of the empty user, is always the champion's."""
        return bool(user) and digest(f"{self.seed}/challenger/{user}") < self.share * WORD

    def list_for(self, user: str, number: int, champion: Listed, challenger: Listed) -> Drafted:
        """Return the list of a user who was chosen.

        Args:
            user: The user.
            number: Number of the event before the list. It decides the coins.
            champion: The champion's list.
            challenger: The challenger's list.
        """
        if self.mode == "split":
            return Drafted(*challenger, frozenset(challenger[0]))
        return team_draft(champion, challenger, digest(f"{self.seed}/coins/{number}/{user}"))


def team_draft(champion: Listed, challenger: Listed, coins: int) -> Drafted:
    """Interleave two lists by team drafting.

    Args:
        champion: The champion's list.
        challenger: The challenger's list.
        coins: 64 random bits. Each round takes one: 1, and the challenger picks first.

    Returns:
        A list of the length of the longer one.

    >>> champion, challenger = (["tea", "jam", "pie"], [3.0, 2.0, 1.0]), (["jam", "oil", "tea"], [9.0, 8.0, 7.0])
    >>> drafted = team_draft(champion, challenger, coins=0b01)
    >>> drafted.items, sorted(drafted.of_challenger)
    (['jam', 'tea', 'pie'], ['jam'])
    """
    ranked = (dict(zip(*champion, strict=True)), dict(zip(*challenger, strict=True)))
    length = max(len(champion[0]), len(challenger[0]))
    taken: dict[str, float] = {}
    picked: list[list[str]] = [[], []]
    turn = 0
    while len(taken) < length:
        first = coins >> (turn // 2 % 64) & 1
        team = first ^ (turn & 1)
        item = next((item for item in ranked[team] if item not in taken), None)
        if item is not None:
            taken[item] = ranked[team][item]
            picked[team].append(item)
        elif all(other in taken for other in ranked[1 - team]):
            break
        turn += 1
    return Drafted(list(taken), list(taken.values()), frozenset(picked[1]))
