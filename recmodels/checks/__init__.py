"""Contract of `recmodels.base.Recommender` as small checks, each named for its rule.

A check takes a *factory*: something that makes a fresh model, with whatever arguments it is given, such as
`repeats="exclude"`. It raises AssertionError where the rule is broken. Read them by subject:

- `read_only`: reads never write.
- `listing`: the items of a list, and their order.
- `learning`: events in order, odd events, micro-batches.
- `state`: dump and load, erasure, bounded memory.
- `estimator`: River's conventions for estimators.
- `determinism`: the same lists in every process.
- `sharing`: deltas between processes.

`run_checks` runs them and says what came of each, as `freshrank check-model` shows. `yield_models` finds every public
model, those of `recmodels.deep` too if that extra is installed, and `yield_checks` every check that holds for one. A
model opts out of a check in its method `_unit_test_skips`, which returns the reason by name of the check. River's own
checks (`river.checks`) use this method, too.

>>> from recmodels import Popularity
>>> for check in yield_checks(Popularity):
...     if check.__name__.startswith("check_top"):
...         check(Popularity)
"""

import importlib
import inspect
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Literal, NamedTuple

import recmodels
from recmodels.base import Recommender
from recmodels.checks import determinism, estimator, learning, listing, read_only, sharing, state
from recmodels.checks.events import Check, Factory
from recmodels.own_code import library_line, own_line

__all__ = ["ALL", "Check", "CheckResult", "Factory", "reasons_to_skip", "run_checks", "yield_checks", "yield_models"]

ALL: tuple[Check, ...] = tuple(
    check
    for subject in (read_only, listing, learning, state, estimator, determinism, sharing)
    for name, check in vars(subject).items()
    if name.startswith("check_")
)
"""Every check."""


def reasons_to_skip(make: Factory) -> dict[str, str]:
    """Return the checks that a model opts out of, each with the reason."""
    return dict(make()._unit_test_skips())


def yield_checks(make: Factory) -> Iterator[Check]:
    """Yield the checks that a model must pass."""
    skipped = reasons_to_skip(make)
    for check in ALL:
        if check.__name__ not in skipped:
            yield check


class CheckResult(NamedTuple):
    """What came of one check."""

    name: str
    """Of the rule, without `check_`."""
    state: Literal["kept", "broken", "left out"]
    rule: str
    """What is expected, in a sentence or two."""
    said: str = ""
    """What came instead, or why the model opts out."""


def run_checks(make: Factory, only: Collection[str] = ()) -> Iterator[CheckResult]:
    """Run the checks on a model, and yield what came of each.

    Args:
        make: Makes a fresh model of its arguments, such as `repeats="exclude"`.
        only: Names of checks, with or without `check_`. Empty: all.

    >>> from recmodels import Popularity
    >>> [(found.name, found.state) for found in run_checks(Popularity, ["version_is_a_word"])]
    [('version_is_a_word', 'kept')]
    """
    skipped, wanted = reasons_to_skip(make), {f"check_{name.removeprefix('check_')}" for name in only}
    for check in ALL:
        if wanted and check.__name__ not in wanted:
            continue
        name, rule = check.__name__.removeprefix("check_"), " ".join((check.__doc__ or "").split())
        if check.__name__ in skipped:
            yield CheckResult(name, "left out", rule, skipped[check.__name__])
            continue
        try:
            check(make)
        except AssertionError as error:
            yield CheckResult(name, "broken", rule, str(error))
        except Exception as error:  # a model may raise anything
            said = own_line(error) or library_line(error) or f"{type(error).__name__}: {error}"
            yield CheckResult(name, "broken", rule, f"expected no error; {said}")
        else:
            yield CheckResult(name, "kept", rule)


def yield_models() -> Iterator[tuple[str, Factory]]:
    """Yield a name and a factory for every public model, and for each of its `_unit_test_params`."""
    public = [(name, getattr(recmodels, name)) for name in recmodels.__all__]
    with suppress(ImportError):  # an optional extra
        deep = importlib.import_module("recmodels.deep")
        public += [(name, getattr(deep, name)) for name in deep.__all__]
    for name, found in public:
        if inspect.isclass(found) and issubclass(found, Recommender) and not inspect.isabstract(found):
            for place, params in enumerate(found._unit_test_params()):
                yield _name(name, place, params), _factory(found, place)


def _name(name: str, place: int, params: dict[str, object]) -> str:
    kinds = [type(value).__name__ for value in params.values() if not isinstance(value, int | float)]
    return "-".join([name, *([str(place)] if place else []), *kinds])


def _factory(model: type[Recommender], place: int) -> Factory:
    def make(**arguments: object) -> Recommender:
        # Anew each time: an argument may be an estimator that learns.
        params = list(model._unit_test_params())[place]
        return model(**{**params, **arguments})

    return make
