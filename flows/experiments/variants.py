"""Settings to compare: `--vary refresh=0,86400` gives a contender for each value."""

import tomllib
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from flows.errors import UsageError
from flows.settings import all_settings


def read_variants(given: Sequence[str]) -> dict[str, list[Any]]:
    """Read what `--vary` names: the values of each setting.

    Values are written as in `freshrank.toml`, with commas between them. Words need no quotes.

    Raises:
        UsageError: It is no such text, or no setting that can be compared.

    >>> read_variants(["refresh=0,86400", "emit=every,changed"])
    {'refresh': [0, 86400], 'emit': ['every', 'changed']}
    """
    known = {each.name for each in all_settings()}
    may = sorted(each.name for each in all_settings() if each.is_tuned)
    found: dict[str, list[Any]] = {}
    for text in given:
        name, is_there, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not is_there or not values.strip():
            raise UsageError(f"--vary {text!r}: expected a setting and its values, such as 'refresh=0,86400'.")
        if name not in may:
            reason = (
                "it decides which events exist or are scored, or is an option of its own"
                if name in known
                else "there is no such setting"
            )
            raise UsageError(f"--vary {name}: {reason}. There are: {', '.join(may)}.")
        if name in found:
            raise UsageError(f"--vary {name}: expected each setting once, with all its values.")
        found[name] = _values(values)
    return found


def _values(text: str) -> list[Any]:
    try:
        values: list[Any] = tomllib.loads(f"values = [{text}]")["values"]
    except tomllib.TOMLDecodeError:
        values = [word.strip() for word in text.split(",")]
    return values


def contenders_of(models: Sequence[str], variants: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Return the settings of each contender by its name: every model with every combination of values.

    Raises:
        UsageError: There are fewer than two contenders, or one twice.

    >>> contenders_of(["blend"], {"refresh": [0, 86400]})
    {'blend refresh=0': {'model': 'blend', 'refresh': 0}, 'blend refresh=86400': {'model': 'blend', 'refresh': 86400}}
    """
    found: dict[str, dict[str, Any]] = {}
    combinations = [dict(zip(variants, values, strict=True)) for values in product(*variants.values())]
    for model, changed in product(models, combinations):
        name = " ".join([model, *(f"{setting}={_written(value)}" for setting, value in changed.items())])
        if name in found:
            raise UsageError(f"expected contenders, each once; got {name} twice.")
        found[name] = {"model": model, **changed}
    if len(found) < 2:
        raise UsageError(
            "expected two models or more, each once: --model a --model b; or values of a setting, such as "
            f"--vary refresh=0,86400; got {', '.join(found)}."
        )
    return found


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
