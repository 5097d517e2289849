"""What rules did to the lists, and what they cost and gained."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

SAID: Final = {
    "hit_rate": "hit rate with rules",
    "hit_rate_without": "hit rate without rules",
    "diversity": "diversity with rules",
    "diversity_without": "diversity without rules",
}
"""How tables name what rules cost and gain, by the names in `Tally.numbers`."""


@dataclass
class Tally:
    """Counts of a process. They are no state of the model.

    Attributes:
        lists: Lists that were made.
        short: Lists with fewer items than asked for, although the model had more.
        emptied: Lists, among these, without any item.
        deepened: Times that the model was asked for more candidates, as the rules left too few.
        removed: Items that would have been in a list, by the rule that left them out. `hide` counts hidden ones.
        scored: Events that were scored.
        hits, hits_without: Hits, among them, in the list with rules, and in the model's own list.
        compared: Lists whose diversity was measured.
        similarity, similarity_without: Sums of the mean similarities of their items, with and without rules.
    """

    lists: int = 0
    short: int = 0
    emptied: int = 0
    deepened: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    scored: int = 0
    hits: int = 0
    hits_without: int = 0
    compared: int = 0
    similarity: float = 0.0
    similarity_without: float = 0.0
    notes: list[str] = field(default_factory=list)
    """Sentences for the log, until they are taken."""

    def take_notes(self) -> Sequence[str]:
        """Return the sentences since the last call."""
        notes, self.notes = self.notes, []
        return notes

    def counts(self) -> dict[str, Any]:
        """Return the counts, for `take_over`.

        >>> earlier, tally = Tally(lists=4, removed=Counter(adult=3)), Tally()
        >>> tally.take_over(earlier.counts())
        >>> tally.lists, tally.removed["adult"]
        (4, 3)
        """
        return {name: value for name, value in vars(self).items() if name != "notes"}

    def take_over(self, counts: Mapping[str, Any]) -> None:
        """Go on with the counts of an earlier process of the same replay."""
        for name, value in counts.items():
            setattr(self, name, Counter(value) if name == "removed" else value)

    def numbers(self) -> dict[str, object]:
        """Return the counts as a report has them.

        `diversity` is 1 minus the mean similarity of two items of a list.

        >>> Tally(lists=4, scored=4, hits=1, hits_without=2, removed=Counter(adult=3)).numbers()["removed"]
        {'adult': 3}
        """
        scored, compared = max(self.scored, 1), max(self.compared, 1)
        return {
            "lists": self.lists,
            "short": self.short,
            "emptied": self.emptied,
            "deepened": self.deepened,
            "removed": dict(self.removed.most_common()),
            **({"hit_rate": self.hits / scored, "hit_rate_without": self.hits_without / scored} if self.scored else {}),
            **(
                {
                    "diversity": 1.0 - self.similarity / compared,
                    "diversity_without": 1.0 - self.similarity_without / compared,
                }
                if self.compared
                else {}
            ),
        }
