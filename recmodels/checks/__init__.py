"""Contract of `recmodels.base.Recommender` as small checks, each named for its rule.

A check takes a *factory*: something that makes a fresh model, with whatever arguments it is given, such as
`repeats="exclude"`. It raises AssertionError where the rule is broken. Read them by subject:

- `read_only`: reads never write.
- `listing`: the items of a list, and their order.
- `learning`: events in order, odd events, micro-batches.
- `state`: dump and load, erasure, bounded memory.
- `estimator`: River's conventions for estimators.
- `determinism`: the same lists in every process.

`yield_models` finds every public model, those of `recmodels.deep` too if that extra is installed, and `yield_checks`
every check that holds for one. A model opts out of a check in its method `_unit_test_skips`, which returns the reason
by name of the check. River's own checks (`river.checks`) use this method, too.

>>> from recmodels import Popularity
>>> for check in yield_checks(Popularity):
...     if check.__name__.startswith("check_top"):
...         check(Popularity)
"""

import importlib
import inspect
from collections.abc import Iterator
from contextlib import suppress

import recmodels
from recmodels.base import Recommender
from recmodels.checks import determinism, estimator, learning, listing, read_only, state
from recmodels.checks.events import Check, Factory

__all__ = ["ALL", "Check", "Factory", "reasons_to_skip", "yield_checks", "yield_models"]

ALL: tuple[Check, ...] = tuple(
    check
    for subject in (read_only, listing, learning, state, estimator, determinism)
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
