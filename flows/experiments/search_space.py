"""Search space of `freshrank tune`: the model's arguments and the emission settings, from a TOML file.

    [model]
    name = "blend"                                         # as it is
    recent = { low = 5, high = 40 }                        # a whole number from 5 to 40
    learning_rate = { low = 0.02, high = 1.0, log = true } # small ones as often as large ones
    row_length = [32, 64, 128]                             # one of these

    [settings]
    emit = ["every", "changed"]

Several models are tables `[[model]]`, each with arguments of its own. `[settings]` are named as in `freshrank.toml`.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from flows.errors import UsageError
from flows.settings import Settings, all_settings, load_settings
from flows.settings import SettingsError as WrongSettingError
from recmodels.specification import SpecificationError, parse


class SpaceError(UsageError):
    """A search space cannot be used."""


class Sampler(Protocol):
    """Source of values for parameters: a trial of Optuna, or a corner of the space."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Choose a whole number."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Choose a number."""

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any:
        """Choose one of these."""


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included. It is whole if both are."""

    low: float
    high: float
    log: bool = False

    def draw(self, name: str, drawer: Sampler) -> float:
        """Choose a value."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return drawer.suggest_int(name, self.low, self.high, log=self.log)
        drawn = drawer.suggest_float(name, float(self.low), float(self.high), log=self.log)
        return min(max(float(f"{drawn:.4g}"), self.low), self.high)  # more digits than matter are hard to read


@dataclass(frozen=True)
class Choice:
    """One of several values. A single value is fixed."""

    values: tuple[Any, ...]

    def draw(self, name: str, drawer: Sampler) -> Any:
        """Choose a value."""
        if len(self.values) == 1:
            return self.values[0]
        by_label = {repr(value): value for value in self.values}  # Optuna keeps texts, not tuples
        return by_label[drawer.suggest_categorical(name, tuple(by_label))]


Parameter = Range | Choice


@dataclass(frozen=True)
class Space:
    """Models by name, each with its arguments, and settings."""

    models: Mapping[str, Mapping[str, Parameter]]
    settings: Mapping[str, Parameter]

    def draw(self, drawer: Sampler) -> dict[str, Any]:
        """Choose settings: the model with its arguments, and the others that are tuned."""
        name = Choice(tuple(self.models)).draw("model", drawer)
        arguments = {
            argument: parameter.draw(f"{name}.{argument}", drawer) for argument, parameter in self.models[name].items()
        }
        drawn = {setting: parameter.draw(setting, drawer) for setting, parameter in self.settings.items()}
        said = ", ".join(f"{argument}={_literal(value)}" for argument, value in arguments.items())
        return {"model": f"{name}({said})" if said else name, **drawn}

    @property
    def longest_choice(self) -> int:
        """The largest number of choices of a parameter. A range counts as its two ends."""
        parameters = [*self.settings.values(), *(one for many in self.models.values() for one in many.values())]
        return max([2, *(len(one.values) for one in parameters if isinstance(one, Choice))])

    @property
    def varies_models(self) -> bool:
        """Whether there are several models, or an argument of one has several values."""
        arguments = [one for many in self.models.values() for one in many.values()]
        return len(self.models) > 1 or any(isinstance(one, Range) or len(one.values) > 1 for one in arguments)

    def sentence(self) -> str:
        """Name every parameter with its values.

        >>> Space({"blend": {"recent": Range(5, 40), "row_length": Choice((32, 64))}}, {}).sentence()
        'blend: recent from 5 to 40, row_length 32 or 64'
        """
        tables = [*self.models.items(), *([("settings", self.settings)] if self.settings else [])]
        return "; ".join(
            f"{name}: {', '.join(f'{argument} {_words(one)}' for argument, one in parameters.items())}"
            for name, parameters in tables
        )

    def described(self) -> str:
        """Say all of it, to be compared."""
        return repr((self.models, self.settings))


def _words(parameter: Parameter) -> str:
    if isinstance(parameter, Range):
        return f"from {parameter.low:g} to {parameter.high:g}"
    return " or ".join(map(str, parameter.values))


def _literal(value: Any) -> str:
    """Write a value as a model's specification takes it."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))},)"
    return "1e999" if value == float("inf") else repr(value)  # infinity has no literal but a number too large


class CornerSampler:
    """Chooses of a model that was named before one end of every range, and of every choice the one at a place.

    >>> space = Space({"blend": {"recent": Range(5, 40), "row_length": Choice((16, 32, 64))}}, {})
    >>> [space.draw(CornerSampler("blend", place))["model"] for place in range(3)]
    ['blend(recent=5, row_length=16)', 'blend(recent=40, row_length=32)', 'blend(recent=40, row_length=64)']
    """

    def __init__(self, model: str, place: int) -> None:
        self.model = model
        self.place = place

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return the end of the range."""
        return high if self.place else low

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return the end of the range."""
        return high if self.place else low

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> Any:
        """Return the model, or the choice at the place."""
        return repr(self.model) if name == "model" else choices[min(self.place, len(choices) - 1)]


def read_space(path: Path, settings: Settings) -> Space:
    """Read a space, and see that settings from its corners can be used.

    Args:
        path: The TOML file.
        settings: Values of the settings that are not tuned.

    Raises:
        SpaceError: The file cannot be read, or names a setting that cannot be tuned.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpaceError(f"{path}: expected a TOML file of what to tune; {error}.") from None
    unknown = set(found) - {"model", "settings"}
    if unknown or not found:
        raise SpaceError(f"{path}: expected the tables [model] and [settings]; found {', '.join(unknown) or 'none'}.")
    tables = found.get("model", {})
    tables = tables if isinstance(tables, list) else [tables]
    models: dict[str, Mapping[str, Parameter]] = {}
    for table in tables:
        parameters = _parameters(path, "model", table)
        name = parameters.pop("name", Choice((settings.model,)))
        if not (isinstance(name, Choice) and len(name.values) == 1 and isinstance(name.values[0], str)):
            raise SpaceError(f"{path}: model.name: expected one name; several models are tables [[model]].")
        bare, positional, named = _model(path, name.values[0])
        if positional or bare in models:
            raise SpaceError(
                f"{path}: model.name: expected each model once, its arguments named; found {name.values[0]!r}."
            )
        models[bare] = {argument: Choice((value,)) for argument, value in named.items()} | parameters
    space = Space(models, _parameters(path, "settings", found.get("settings", {})))
    may = sorted(each.name for each in all_settings() if each.is_tuned)
    for setting in space.settings:
        if setting not in may:
            raise SpaceError(f"{path}: settings.{setting}: cannot be tuned. There are: {', '.join(may)}.")
    for model in models:
        for place in range(space.longest_choice):
            _check(path, space.draw(CornerSampler(model, place)))
    return space


def _model(path: Path, specification: str) -> tuple[str, list[Any], dict[str, Any]]:
    try:
        return parse(specification)
    except SpecificationError as error:
        raise SpaceError(f"{path}: model.name: {error}") from None


def _check(path: Path, drawn: dict[str, Any]) -> None:
    try:
        load_settings(None, **drawn)
    except WrongSettingError as error:
        raise SpaceError(f"{path}: {error}") from None


def _parameters(path: Path, place: str, table: Any) -> dict[str, Parameter]:
    if not isinstance(table, dict):
        raise SpaceError(f"{path}: {place}: expected a table; found {table!r}.")
    return {name: _parameter(f"{path}: {place}.{name}", value) for name, value in table.items()}


def _parameter(place: str, value: Any) -> Parameter:
    if isinstance(value, list):
        if not value:
            raise SpaceError(f"{place}: expected a list of choices; found none.")
        return Choice(tuple(tuple(choice) if isinstance(choice, list) else choice for choice in value))
    if not isinstance(value, dict):
        return Choice((value,))
    expected = "expected { low = 1, high = 9 } or { low = 0.01, high = 1.0, log = true }"
    if not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        raise SpaceError(f"{place}: {expected}; found {value!r}.")
    found = Range(value["low"], value["high"], value.get("log", False))
    numbers = all(type(end) in (int, float) for end in (found.low, found.high))
    if not (numbers and isinstance(found.log, bool) and found.low < found.high and (found.low > 0 or not found.log)):
        raise SpaceError(f"{place}: {expected}, low below high, above 0 if log; found {value!r}.")
    return found
