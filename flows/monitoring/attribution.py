"""Attribution: what came of the lists that were sent, for metrics, logs and the report."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from recmodels.evaluation.bootstrap import Interval
from recmodels.evaluation.confidence_sequence import ConfidenceSequence

MOST_POSITIONS: Final = 50
"""Number of positions with figures of their own."""
MOST_NAMES: Final = 50
"""Number of variants, or of members, with figures of their own. Further ones share one name."""
OTHER: Final = "(others)"
VARIANTS: Final = ("champion", "challenger", "interleaved")
"""Variants of lists, where users see a challenger."""
PART: Final = 0.975
"""Level of two intervals whose difference has a level of 0.95."""
RATES: Final = {
    "click_rate": "Share of shown items that were taken.",
    "hit_rate": "Share of shown lists of which an item was taken.",
    "served_hit_rate": "Share of taken items that were in the user's list.",
}
"""The rates, with their descriptions."""
OUTCOMES: Final = {
    "shown": "impression of an item of a list",
    "taken": "item of a list that was taken",
    "repeated": "outcome that came before",
    "late": "outcome after the window of its list",
    "not_in_list": "outcome of an item that is not in the list",
}
"""Outcomes that were joined to a list, with their descriptions."""
REASONS: Final = {
    "unknown_list": "`list` names no record of the input",
    "list_to_come": "`list` names a record that was not read yet",
    "list_gone": "the list was never sent, or is remembered no more",
    "other_user": "the list is another user's",
    "before_list": "the outcome is older than its list",
    "no_list": "there is no `list`, and no list was sent to the user within the window",
}
"""Reasons for which an outcome is joined to no list, with their descriptions."""


class Attribution:
    """Figures of lists and their outcomes. The flow's thread writes them, and others read them.

    Attributes:
        lists: Number of lists that were sent.
        closed: Number of lists whose window is over.
        shown_lists: Number of these of which an item was shown.
        unanswered: Number of these without any outcome.
        outcomes: Number of outcomes by kind: the names of `OUTCOMES`.
        unattributed: Number of outcomes that belong to no list, by reason: the names of `REASONS`.
        rates: Rates with always-valid intervals, by rate and variant. The variant "all" has all lists.
        shown, taken: Number of shown items, and of taken ones among them, by position.
        members: Number of shown items, and of taken ones among them, by the member that spoke most for the item. They
            are known if the setting `why` is on.
        preference: Of each interleaved list with a taken item, 1 if more of the taken items are the challenger's, -1 if
            fewer are, and else 0.
        wins, losses: Number of lists with 1, and with -1.

    >>> attribution = Attribution()
    >>> for number in range(1_000):
    ...     attribution.add_shown(position=number % 2, is_taken=number % 10 == 0, member="", variants=["own"])
    >>> attribution.shown[:2], attribution.taken[:2], attribution.rates["click_rate", "own"].interval().mean
    ([500, 500], [100, 0], 0.1)
    """

    name = "attribution"

    def __init__(self) -> None:
        self.lists = 0
        self.closed = 0
        self.shown_lists = 0
        self.unanswered = 0
        self.outcomes: Counter[str] = Counter()
        self.unattributed: Counter[str] = Counter()
        self.rates: dict[tuple[str, str], ConfidenceSequence] = {}
        self.shown = [0] * MOST_POSITIONS
        self.taken = [0] * MOST_POSITIONS
        self.members: dict[str, list[int]] = {}
        self.begin_comparison()

    def begin_comparison(self) -> None:
        """Forget what was measured of champion and challenger."""
        self.preference = ConfidenceSequence(-1.0, 1.0)
        self.wins = self.losses = 0
        self.rates = {key: found for key, found in self.rates.items() if key[1] not in VARIANTS}

    def prefer(self, of_champion: int, of_challenger: int) -> None:
        """Add an interleaved list.

        Args:
            of_champion, of_challenger: Number of taken items that each model picked.
        """
        if of_champion or of_challenger:
            self.wins += of_challenger > of_champion
            self.losses += of_challenger < of_champion
            self.preference.update(float(of_challenger > of_champion) - float(of_challenger < of_champion))

    def difference(self, rate: str) -> Interval | None:
        """Return a rate of the challenger's lists minus that of the champion's, with an always-valid interval of 95 %.

        Args:
            rate: One of `RATES`.
        """
        both = [self.rates.get((rate, variant)) for variant in ("champion", "challenger")]
        if both[0] is None or both[1] is None:
            return None
        champion, challenger = (each.interval(PART) for each in both if each is not None)
        mean = challenger.mean - champion.mean
        return Interval(mean, challenger.low - champion.high, challenger.high - champion.low)

    def add(self, rate: str, is_success: bool, variants: list[str]) -> None:
        """Add one event to a rate.

        Args:
            rate: One of `RATES`.
            is_success: Whether it counts 1 or 0.
            variants: Variants that it belongs to.
        """
        for variant in ("all", *variants):
            is_known = (rate, variant) in self.rates or len(self.rates) < MOST_NAMES
            key = (rate, variant if is_known else OTHER)
            self.rates.setdefault(key, ConfidenceSequence()).update(float(is_success))

    def add_shown(self, position: int, is_taken: bool, member: str, variants: list[str]) -> None:
        """Add one item that was shown.

        Args:
            position: Its place in the list, from 0.
            is_taken: Whether it was taken within the window.
            member: The member that spoke most for it. Empty: unknown.
            variants: Variants that the list belongs to.
        """
        self.add("click_rate", is_taken, variants)
        if position < MOST_POSITIONS:
            self.shown[position] += 1
            self.taken[position] += is_taken
        if member:
            name = member if member in self.members or len(self.members) < MOST_NAMES else OTHER
            counts = self.members.setdefault(name, [0, 0])
            counts[0] += 1
            counts[1] += is_taken

    def sentence(self) -> str:
        """Return the most important figures in one line."""
        rates = []
        for rate in RATES:
            if (sequence := self.rates.get((rate, "all"))) is not None:
                found = sequence.interval()
                rates.append(f"{rate.replace('_', ' ')} {found.mean:.4f} ({found.low:.4f} to {found.high:.4f})")
        parts = [
            f"{self.lists:,} lists sent",
            *(f"{self.outcomes[name]:,} {name}" for name in ("shown", "taken")),
            *rates,
        ]
        if self.preference.count:
            found, count = self.preference.interval(), self.preference.count
            parts.append(
                f"of {count:,} interleaved lists {self.wins:,} prefer the challenger and {self.losses:,} the champion, "
                f"preference {found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
            )
        for rate in RATES:
            if (between := self.difference(rate)) is not None:
                name = rate.replace("_", " ")
                parts.append(
                    f"{name} of the challenger's users {between.mean:+.4f} ({between.low:+.4f} to {between.high:+.4f})"
                )
        if lost := self.unattributed.total():
            parts.append(f"{lost:,} outcomes without a list")
        return f"attribution: {', '.join(parts)}."

    def report(self) -> dict[str, Any]:
        """Return everything as the report of a replay says it."""
        last = max((place for place in range(MOST_POSITIONS) if self.shown[place]), default=-1) + 1
        rates: dict[str, Any] = {}
        for (rate, variant), sequence in self.rates.items():
            told = {**sequence.interval()._asdict(), "level": 0.95, "of": sequence.count}
            rates.setdefault(rate, {})[variant] = told
        return {
            "lists": self.lists,
            "closed": self.closed,
            "shown_lists": self.shown_lists,
            "unanswered": self.unanswered,
            "outcomes": {name: self.outcomes[name] for name in OUTCOMES},
            "unattributed": {name: self.unattributed[name] for name in REASONS},
            **rates,
            **self._comparison(),
            "positions": [{"shown": self.shown[n], "taken": self.taken[n]} for n in range(last)],
            "members": {name: {"shown": shown, "taken": taken} for name, (shown, taken) in self.members.items()},
        }

    def _comparison(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if self.preference.count:
            lists = {"of": self.preference.count, "wins": self.wins, "losses": self.losses}
            told["preference"] = {**self.preference.interval()._asdict(), "level": 0.95, **lists}
        between = {rate: self.difference(rate) for rate in RATES}
        found = {rate: {**each._asdict(), "level": 0.95} for rate, each in between.items() if each is not None}
        return {**told, **({"difference": found} if found else {})}

    def numbers(self) -> dict[str, Any]:
        """Return the state as plain numbers, lists and texts."""
        counts = {name: getattr(self, name) for name in ("lists", "closed", "shown_lists", "unanswered")}
        return {
            **counts,
            "outcomes": dict(self.outcomes),
            "unattributed": dict(self.unattributed),
            "rates": [[*key, sequence.numbers()] for key, sequence in self.rates.items()],
            "shown": self.shown,
            "taken": self.taken,
            "members": self.members,
            "preference": [self.preference.numbers(), self.wins, self.losses],
        }

    def take_over(self, numbers: Mapping[str, Any]) -> None:
        """Take over what `numbers` returned."""
        for name in ("lists", "closed", "shown_lists", "unanswered", "shown", "taken", "members"):
            setattr(self, name, numbers[name])
        self.outcomes, self.unattributed = Counter(numbers["outcomes"]), Counter(numbers["unattributed"])
        for rate, variant, sums in numbers["rates"]:
            self.rates.setdefault((rate, variant), ConfidenceSequence()).take_over(sums)
        if "preference" in numbers:
            sums, self.wins, self.losses = numbers["preference"]
            self.preference.take_over(sums)
