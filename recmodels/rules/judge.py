"""Sentences about rules that cannot do what they say, for the log."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Final

from recmodels.rules.rule import Rule
from recmodels.rules.tally import Tally

ITEM_EVENTS: Final = 100
"""Number of item events after which a feature that none of them had is told."""
EVENTS: Final = 1_000
"""Number of events without any item event after which rules over features are told to be idle."""


def unknown_features(rules: Sequence[Rule], known: Collection[str]) -> list[str]:
    """Return a sentence for each feature that a rule names and no item has had.

    Args:
        rules: The rules.
        known: Names of the features of the item events so far.

    >>> unknown_features([Rule(name="brands", action="at_most", per="bramd", names=("bramd",))], ["brand", "price"])
    ["rule brands names the feature 'bramd', which none of the first 100 item events has. The nearest is 'brand'"]
    """
    said = []
    for rule in rules:
        for name in rule.names:
            if name != "item" and name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"The nearest is {near[0]!r}" if near else f"They have: {', '.join(list(known)[:10]) or 'none'}"
                said.append(
                    f"rule {rule.name} names the feature {name!r}, which none of the first {ITEM_EVENTS} item events "
                    f"has. {hint}"
                )
    return said


def without_item_events(rules: Sequence[Rule]) -> list[str]:
    """Return a sentence if rules name features, for a job without item events.

    >>> without_item_events([Rule(name="mine", action="pin", item="tea")])
    []
    """
    for rule in rules:
        for name in rule.names:
            if name != "item":
                return [
                    f"rule {rule.name} names the feature {name!r}, but none of the first {EVENTS:,} events was an item "
                    'event. Send the features: {"kind": "item", "item": "i1", "timestamp": 0, "features": {...}}'
                ]
    return []


def note_short(tally: Tally, user: str, length: int) -> None:
    """Count a list that rules have made too short. Tell the first, the tenth … that they have emptied.

    Args:
        tally: The counts.
        user: Whose list it is.
        length: Number of items that are left.
    """
    tally.short += 1
    if length:
        return
    tally.emptied += 1
    if str(tally.emptied).rstrip("0") == "1":
        most = ", ".join(f"{name} ({count:,})" for name, count in tally.removed.most_common(3) if count)
        whose = f"user {user!r}" if user else "the fallback list"
        tally.notes.append(
            f"rules have emptied {tally.emptied:,} {'list' if tally.emptied == 1 else 'lists'}, now that of {whose}. "
            f"Most items were left out by {most or 'hide'}. Loosen these rules, or give them a `when`"
        )
