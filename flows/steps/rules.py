"""The table of rules: what each rule says, and whether they go together."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from flows.errors import UsageError
from flows.steps.conditions import ExpressionError
from flows.steps.contradictions import Worded, expect_consistent
from flows.steps.feature_conditions import FeatureCondition, parse_features
from recmodels.kernels.selection import RULES
from recmodels.rules.rule import Action, Rule

ACTIONS: Final[Mapping[Action, tuple[str, ...]]] = {
    "exclude": (),
    "require": (),
    "boost": ("by",),
    "at_most": ("per",),
    "pin": ("place",),
}
"""What a rule can do, with the keys that must be beside it."""
EVERYWHERE: Final = ("when", "unless")
"""Keys that each rule may have."""
LARGEST_FACTOR: Final = 1e6
"""Largest factor of a boost."""


class RuleError(UsageError):
    """A rule is not valid, or rules contradict each other."""


def parse_rules(table: Mapping[str, Any], top: int) -> list[Rule]:
    """Turn a table of rules into rules.

    Args:
        table: By name of the rule its keys: one of `exclude`, `require`, `boost`, `at_most` and `pin`, with what
            belongs to it, and perhaps `when` and `unless`.
        top: Length of the lists.

    Raises:
        RuleError: A rule is not valid, contradicts another, or waits for itself.

    >>> [rule.action for rule in parse_rules({"adult": {"exclude": "adult == true"}}, top=10)]
    ['exclude']
    >>> parse_rules({"brands": {"at_most": 2}}, top=10)
    Traceback (most recent call last):
    flows.steps.rules.RuleError: rules.brands: at_most needs `per` beside it, such as per = "brand". Add it.
    """
    if len(table) > RULES:
        raise RuleError(f"rules: expected at most {RULES} rules; got {len(table)}. Join some by `or`.")
    worded = [_worded(str(name), keys, top) for name, keys in table.items()]
    rules = [each.rule for each in worded]
    _expect_order(rules)
    if (fault := expect_consistent(worded)) is not None:
        raise RuleError(f"rules: {fault}")
    return rules


def _worded(name: str, keys: Any, top: int) -> Worded:
    if not name or len(name) > 100 or name == "hide":
        raise RuleError(
            f"rules: expected a name of 1 to 100 characters, other than hide; got {name!r}. Rename the rule."
        )
    if not isinstance(keys, Mapping):
        raise RuleError(f'rules.{name}: expected a table, such as {{ exclude = "adult == true" }}; got {keys!r}.')
    actions = [action for action in ACTIONS if action in keys]
    if len(actions) != 1:
        got = " and ".join(actions) or "none"
        raise RuleError(f"rules.{name}: expected one of {', '.join(ACTIONS)}; got {got}. Make one rule of each.")
    action = actions[0]
    known = (action, *ACTIONS[action], *EVERYWHERE)
    for key in keys:
        if key not in known:
            nearest = get_close_matches(str(key), known, n=1)
            hint = f"The nearest is {nearest[0]}" if nearest else f"There are: {', '.join(known)}"
            raise RuleError(f"rules.{name}.{key}: a rule of {action} has no such key. {hint}.")
    for key, example in (("by", "by = 1.5"), ("per", 'per = "brand"'), ("place", "place = 1")):
        if key in ACTIONS[action] and key not in keys:
            raise RuleError(f"rules.{name}: {action} needs `{key}` beside it, such as {example}. Add it.")
    when = _condition(name, "when", keys["when"]) if "when" in keys else None
    unless = _text(name, "unless", keys.get("unless", ""))
    where: FeatureCondition | None = None
    more: dict[str, Any] = {}
    if action in ("exclude", "require", "boost"):
        where = _condition(name, action, keys[action])
        more = {"names": where.names}
    if action == "boost":
        more["by"] = _number(name, "by", keys["by"], 1e-6, LARGEST_FACTOR)
    elif action == "at_most":
        per = _text(name, "per", keys["per"])
        more = {"per": per, "names": (per,), "number": int(_number(name, action, keys[action], 1, 1_000, whole=True))}
    elif action == "pin":
        place = int(_number(name, "place", keys["place"], 1, top, whole=True))
        more = {"item": _text(name, action, keys[action]), "place": place}
    return Worded(Rule(name=name, action=action, where=where, when=when, unless=unless, **more), where, when)


def _condition(name: str, key: str, text: Any) -> FeatureCondition:
    try:
        return parse_features(_text(name, key, text))
    except ExpressionError as error:
        raise RuleError(f"rules.{name}.{key}: {error}") from None


def _text(name: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or (not value and key != "unless"):
        raise RuleError(f"rules.{name}.{key}: expected a text; got {value!r}.")
    return value


def _number(name: str, key: str, value: Any, low: float, high: float, whole: bool = False) -> float:
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        what = "a whole number" if whole else "a number"
        raise RuleError(f"rules.{name}.{key}: expected {what} from {low:g} to {high:,g}; got {value!r}.")
    return float(value)


def _expect_order(rules: list[Rule]) -> None:
    """Raise an error if an `unless` names no rule, or rules wait for each other."""
    by_name = {rule.name: rule for rule in rules}
    for rule in rules:
        path = [rule.name]
        while unless := by_name[path[-1]].unless:
            if unless not in by_name:
                nearest = get_close_matches(unless, by_name, n=1)
                hint = f"The nearest is {nearest[0]}" if nearest else f"There are: {', '.join(by_name)}"
                raise RuleError(f"rules.{path[-1]}.unless: there is no rule {unless!r}. {hint}.")
            if unless in path:
                circle = " unless ".join([*path[path.index(unless) :], unless])
                raise RuleError(f"rules: these wait for each other: {circle}. Take one `unless` out.")
            path.append(unless)
