"""One rule over lists."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Condition: TypeAlias = Callable[[Mapping[str, Any]], bool]
"""Function of the features of an item, or of the fields of a context. It never raises."""
Action: TypeAlias = Literal["exclude", "require", "at_most", "pin", "boost"]
"""What a rule does with the items that it is about."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule.

    Attributes:
        name: Name of the rule, in logs, metrics and reasons.
        action: `exclude` leaves out the items that meet `where`, and `require` all others. `boost` multiplies their
            scores by `by`. `at_most` allows `number` items with the same value of the feature `per`. `pin` puts the
            item `item` at `place`.
        where: Condition on the item's features and its id, as `item`.
        when: Condition on the context: the event's fields, `user`, and `hour` and `weekday` in UTC. None: always.
        unless: Name of another rule. Where that one is in force, this one is not. Empty: no other.
        names: Features that `where` and `per` name.

    >>> Rule(name="brands", action="at_most", per="brand", number=2).is_always
    True
    """

    name: str
    action: Action
    where: Condition | None = None
    when: Condition | None = None
    unless: str = ""
    per: str = ""
    number: int = 0
    item: str = ""
    place: int = 0
    """From 1."""
    by: float = 1.0
    names: tuple[str, ...] = ()

    @property
    def is_always(self) -> bool:
        """Whether the rule is in force in every context."""
        return self.when is None and not self.unless
