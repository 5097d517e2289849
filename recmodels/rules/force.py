"""Which rules are in force in a context."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from recmodels.base import Context, time_of
from recmodels.rules.rule import Rule

LATEST: Final = 4e9
"""Time in Unix seconds beyond which an hour and a weekday are not derived."""


class Force:
    """Says which rules are in force, as a number with a bit for each rule.

    Args:
        rules: The rules. `unless` names one of them, without a cycle.

    Attributes:
        always: Bits of the rules that are in force in every context.
        is_conditional: Whether there are others.

    >>> night = Rule(name="night", action="exclude", when=lambda x: x.get("hour", 12) >= 22)
    >>> day = Rule(name="day", action="exclude", unless="night")
    >>> force = Force([night, day])
    >>> [force.bits("ann", {"timestamp": hour * 3600.0}) for hour in (8, 23)]
    [2, 1]
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self.is_conditional = any(not rule.is_always for rule in rules)
        self.always = sum(1 << k for k, rule in enumerate(rules) if rule.is_always)

    def bits(self, user: str, x: Context | None) -> int:
        """Return the bits of the rules that are in force for a user in a context."""
        if not self.is_conditional:
            return self.always
        context = {**clock(time_of(x)), **(x or {}), "user": user}
        met = {name: rule.when is None or rule.when(context) for name, rule in self._rules.items()}
        return sum(1 << k for k, name in enumerate(self._rules) if self._holds(name, met))

    def _holds(self, name: str, met: Mapping[str, bool]) -> bool:
        unless = self._rules[name].unless
        return met[name] and not (unless and self._holds(unless, met))


def clock(time: float) -> dict[str, int]:
    """Return the hour, and the weekday from 1 for Monday, of a time in Unix seconds, in UTC. Empty for no time.

    >>> clock(879_360_000.0)
    {'hour': 18, 'weekday': 3}
    """
    if not 0.0 <= time < LATEST:
        return {}
    moment = datetime.fromtimestamp(time, UTC)
    return {"hour": moment.hour, "weekday": moment.isoweekday()}


def without_time(x: Context | None) -> Context:
    """Return a context without its time, in which a model makes a list for the near future."""
    return {name: value for name, value in (x or {}).items() if name != "timestamp"}
