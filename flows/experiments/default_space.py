"""The search space of `freshrank tune` where none is given."""

import importlib
import inspect
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from flows.experiments.search_space import (
    Choice,
    CornerSampler,
    Parameter,
    Range,
    Space,
    SpaceError,
)
from flows.settings import Settings, SettingsError, load_settings
from recmodels.specification import BY_NAME, SpecificationError, parse

BLEND: Final[Mapping[str, Parameter]] = {
    "recent": Range(5, 40),
    "row_length": Choice((32, 64, 128)),
    "learning_rate": Range(0.02, 1.0, log=True),
    "factor_rate": Range(0.01, 0.2, log=True),
}
"""Arguments of the blend that changed its hit rate in experiments."""
FACTOR: Final = 4
"""Other numbers are tried from a quarter of their default to four times it."""
NEVER: Final = ("seed", "max_users", "max_items", "max_pairs", "max_history", "max_tags", "top")
"""Arguments that bound memory, or that only draw."""


def default_space(settings: Settings) -> Space:
    """Return a search space for the model of the settings.

    For the blend these are the arguments that matter most. For any other model it is every argument whose default is a
    number above 0, from a quarter of it to four times it. Arguments that the model is given stay as they are.

    Args:
        settings: With the model.

    Raises:
        SpaceError: The model has no such argument.

    >>> default_space(Settings(model="popularity")).models
    {'popularity': {'half_life': Range(low=75.0, high=1200.0, log=True)}}
    """
    name, positional, given = parse(settings.model)
    found = {} if positional else {**(BLEND if name == "blend" else _numbers(name))}
    free = {argument: parameter for argument, parameter in found.items() if argument not in given}
    fixed = {argument: Choice((value,)) for argument, value in given.items()}
    usable = {argument: one for argument, one in free.items() if _can_be_used(name, {**fixed, argument: one})}
    if not usable:
        raise SpaceError(
            f"--space: expected a file of values to try, since the model {settings.model} has no numbers to try by "
            "default. docs/tune.md shows one."
        )
    return Space({name: {**fixed, **usable}}, {})


def _numbers(name: str) -> dict[str, Parameter]:
    module, _, path = BY_NAME.get(name, name).partition(":")
    if module == "river":
        module, _, path = f"river.{path}".rpartition(".")
    try:
        parameters = inspect.signature(getattr(importlib.import_module(module), path)).parameters
    except (ImportError, AttributeError, ValueError, TypeError):
        return {}  # a pipeline of River
    return {
        argument: _around(parameter.default)
        for argument, parameter in parameters.items()
        if argument not in NEVER and type(parameter.default) in (int, float) and 0 < parameter.default < 1e9
    }


def _around(value: float) -> Range:
    if isinstance(value, int):
        return Range(max(1, value // FACTOR), max(value + 1, value * FACTOR), log=True)
    return Range(value / FACTOR, value * FACTOR, log=True)


def _can_be_used(name: str, arguments: Mapping[str, Parameter]) -> bool:
    space: Space = Space({name: arguments}, {})
    with suppress(SettingsError, SpecificationError, ValueError):
        for place in range(2):
            drawn: dict[str, Any] = space.draw(CornerSampler(name, place))
            load_settings(None, **drawn)
        return True
    return False
