"""How a setting is described: once, where it is defined. Files, help and documentation are made from that."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo

Scope: TypeAlias = Literal["lists", "input", "kafka", "job"]
"""Scope of a setting. `lists` and `input` decide the lists of a log. `kafka` and `job` do not."""

TITLES: Final[Mapping[Scope, str]] = {
    "lists": "The model and its lists",
    "input": "Fields and times of the input",
    "kafka": "Kafka",
    "job": "State, logs and metrics",
}

RENAMED: Final[Mapping[str, str]] = {"strangers": "fallback"}
"""Settings that had another name, by the old one."""


def setting(
    scope: Scope,
    text: str,
    *,
    unit: str = "",
    example: str = "",
    see: str = "",
    is_tuned: bool = False,
    **constraints: Any,
) -> Any:
    """Describe a setting, as the metadata of a field of `flows.settings.Settings`.

    Args:
        scope: Scope of the setting.
        text: Description of the setting, in one to three sentences. It is the help of the option, too.
        unit: Unit of a number, such as "s".
        example: A value in TOML, for a setting without a default.
        see: A page of the documentation, such as "docs/scores.md".
        is_tuned: Whether `freshrank tune` may vary it: a metric of two of its values can be compared.
        constraints: Constraints of pydantic: `ge`, `le`, `gt`, `allow_inf_nan`.

    >>> field = setting("lists", "Number of items in a list.", ge=1)
    >>> field.description, field.json_schema_extra["scope"]
    ('Number of items in a list.', 'lists')
    """
    extra: dict[str, Any] = {"scope": scope, "unit": unit, "example": example, "see": see, "is_tuned": is_tuned}
    return Field(description=text, json_schema_extra=extra, **constraints)


@dataclass(frozen=True)
class Setting:
    """A setting as everything that shows it sees it.

    Attributes:
        name: In the file, and in capitals behind `FRESHRANK_`.
        kind: The type of its value, without None.
        default: None if it has none.
        choices: Its values, if there are few.
        lowest: The lowest value, and whether that is allowed itself.
        highest: The highest value.
    """

    name: str
    text: str
    scope: Scope
    unit: str
    example: str
    see: str
    is_tuned: bool
    kind: Any
    default: Any
    choices: tuple[str, ...]
    lowest: tuple[float, bool] | None
    highest: float | None

    @property
    def is_table(self) -> bool:
        """Whether its value is a table or a list, which no option takes."""
        return get_origin(self.kind) in (dict, list)

    @property
    def is_secret(self) -> bool:
        """Whether its value must not appear in a command."""
        return self.kind is SecretStr

    @property
    def decides_lists(self) -> bool:
        """Whether another value may give other lists."""
        return self.scope in ("lists", "input")

    def values(self) -> str:
        """Say which values there are.

        >>> from flows.settings import Settings
        >>> [setting_of(name, Settings.model_fields[name]).values() for name in ("top", "emit", "refresh", "group")]
        ['whole number, 1 to 1,000', '"every" or "changed" or "requests"', 'number, from 0, in s', 'text']
        """
        if self.choices:
            return " or ".join(f'"{choice}"' for choice in self.choices)
        words = {bool: "true or false", int: "whole number", float: "number", str: "text", SecretStr: "text"}
        word = "path" if self.kind.__name__ == "Path" else {dict: "table", list: "list"}.get(get_origin(self.kind))
        parts = [word or words[self.kind]]
        if self.lowest is not None:
            low, is_allowed = self.lowest
            start = f"{low:,g}" if is_allowed else f"above {low:,g}"
            end = None if self.highest is None else f"{self.highest:,.0f}"
            parts.append(f"{start} to {end}" if end else f"from {start}" if is_allowed else start)
        return ", ".join([*parts, *([f"in {self.unit}"] if self.unit else [])])


def setting_of(name: str, field: FieldInfo) -> Setting:
    """Read the description of a setting from its field."""
    extra = field.json_schema_extra
    assert isinstance(extra, dict), f"setting {name} is not described: use flows.setting_fields.setting"
    kind = _without_none(field.annotation)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    bounds = {
        bound: getattr(rule, bound) for rule in field.metadata for bound in ("ge", "gt", "le") if hasattr(rule, bound)
    }
    lowest = (bounds["ge"], True) if "ge" in bounds else (bounds["gt"], False) if "gt" in bounds else None
    known: dict[str, Any] = {**extra, "text": field.description or "", "default": field.get_default()}
    return Setting(name=name, kind=kind, choices=choices, lowest=lowest, highest=bounds.get("le"), **known)


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        return _without_none(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        [kind] = [each for each in get_args(annotation) if each is not NoneType] or [annotation]
        return _without_none(kind)
    return annotation
