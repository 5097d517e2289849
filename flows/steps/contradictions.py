"""Contradictions between rules that can be seen before there is any item."""

import ast
from collections.abc import Sequence
from itertools import combinations
from math import inf
from typing import Any, NamedTuple

from flows.steps.feature_conditions import Bound, FeatureCondition
from recmodels.rules.rule import Rule


class Worded(NamedTuple):
    """A rule with the conditions that it was made from."""

    rule: Rule
    where: FeatureCondition | None
    when: FeatureCondition | None

    @property
    def context(self) -> tuple[str, str]:
        """When the rule is in force, as text."""
        return "" if self.when is None else self.when.text, self.rule.unless


def expect_consistent(rules: Sequence[Worded]) -> str | None:
    """Return what is wrong with rules that can be in force together, as a sentence. None: nothing is seen.

    Two rules are compared if they have the same `when`, or one of them is always in force.

    >>> from flows.steps.feature_conditions import parse_features
    >>> ours, theirs = parse_features("brand == 'own'"), parse_features("brand in ['a', 'b']")
    >>> rules = [Rule(name=name, action="require", where=where) for name, where in (("x", ours), ("y", theirs))]
    >>> expect_consistent([Worded(rule, rule.where, None) for rule in rules])
    'x and y require different values of brand, so that every list is empty. Take one out, or give them a `when`.'
    """
    for one, other in combinations(rules, 2):
        meet = one.context == other.context or one.rule.is_always or other.rule.is_always
        if meet and (fault := _pair(one, other)) is not None:
            return fault
    for each in rules:
        if each.rule.action == "require" and each.where is not None and (name := _impossible(each.where.bounds)):
            return f"{each.rule.name} requires of {name} what no value can be. Correct its condition."
    return None


def _pair(one: Worded, other: Worded) -> str | None:
    a, b = one.rule, other.rule
    together = f"{a.name} and {b.name}"
    actions = {a.action, b.action}
    if one.where is not None and other.where is not None:
        if actions == {"exclude", "require"} and one.where.text == other.where.text:
            return f"{together} exclude and require the same, so that every list is empty. Take one out."
        if actions == {"require"} and (name := _impossible([*one.where.bounds, *other.where.bounds])):
            return (
                f"{together} require different values of {name}, so that every list is empty. Take one out, or give "
                "them a `when`."
            )
        if actions == {"boost"} and one.where.text == other.where.text:
            return f"{together} boost the same. Take one out."
    if actions == {"pin"} and one.context == other.context:
        if a.place == b.place:
            return f"{together} pin two items at place {a.place}. Give one another place, or a `when` to each."
        if a.item == b.item:
            return f"{together} pin {a.item!r} at two places. Take one out."
    if "pin" in actions and actions & {"exclude", "require"}:
        pin, rule = (a, other) if a.action == "pin" else (b, one)
        is_known = rule.where is not None and set(rule.where.names) == {"item"}
        if rule.where is not None and is_known and rule.where({"item": pin.item}) is (rule.rule.action == "exclude"):
            return f"{rule.rule.name} keeps out {pin.item!r}, which {pin.name} pins. Take one out."
    if actions == {"at_most"} and a.per == b.per and one.context == other.context:
        return f"{together} both limit items per {a.per}. Take one out."
    return None


def _impossible(bounds: Sequence[Bound]) -> str | None:
    """Return a name of which no single value can meet all the bounds. Features are taken to have one value."""
    for name in dict.fromkeys(bound.name for bound in bounds):
        low, high, allowed = -inf, inf, None
        for bound in (each for each in bounds if each.name == name):
            if bound.link in (ast.Eq, ast.In):
                values: set[Any] = set(bound.value if isinstance(bound.value, tuple) else (bound.value,))
                allowed = values if allowed is None else allowed & values
            elif isinstance(bound.value, int | float):
                if bound.link in (ast.Gt, ast.GtE):
                    low = max(low, bound.value)
                elif bound.link in (ast.Lt, ast.LtE):
                    high = min(high, bound.value)
        if low > high or (allowed is not None and not any(_within(value, low, high) for value in allowed)):
            return name
    return None


def _within(value: Any, low: float, high: float) -> bool:
    return not isinstance(value, int | float) or low <= value <= high
