"""Every public model is held to every check: the name of the test that fails is the rule that was broken."""

import importlib
import inspect
from collections.abc import Callable
from contextlib import suppress

import pytest
import river.checks
from river import base, facto

import recmodels
from recmodels import checks

MODELS = dict(checks.yield_models())
DEEP = {"MLP", "SASRec"}
QUICK = {"Blend", "Popularity"}
"""Models whose contract is among the quick tests. Those of the other models take minutes together."""


def marks_of(name: str) -> list[pytest.MarkDecorator]:
    """Return the markers of a model's contract."""
    return [pytest.mark.deep] if name in DEEP else [] if name in QUICK else [pytest.mark.slow]


CASES = [
    pytest.param(make, check, id=f"{name}-{check.__name__}", marks=marks_of(name))
    for name, make in MODELS.items()
    for check in checks.ALL
]


@pytest.mark.parametrize(("make", "check"), CASES)
def test_contract(make: checks.Factory, check: checks.Check) -> None:
    if reason := checks.reasons_to_skip(make).get(check.__name__):
        pytest.skip(reason)
    check(make)


def fm(**arguments: object) -> recmodels.Recommender:
    """A River model that adds whatever it is asked about."""
    return recmodels.RiverModel(facto.FMClassifier(n_factors=3, seed=1), context=("device",), **arguments)


@pytest.mark.deep
def test_deep_models_are_held_to_the_contract() -> None:
    pytest.importorskip("recmodels.deep", reason="needs the extra: pip install 'freshrank[deep]'", exc_type=ImportError)
    assert MODELS.keys() >= DEEP


@pytest.mark.slow
@pytest.mark.parametrize("check", list(checks.yield_checks(fm)))
def test_contract_of_a_river_model_that_sees_the_context(check: checks.Check) -> None:
    if check.__name__ == "check_clone_has_the_arguments_and_no_state":
        pytest.skip("River's factorization machines learn into their argument `intercept`")
    check(fm)


def test_every_public_model_is_found() -> None:
    public = [getattr(recmodels, name) for name in recmodels.__all__]
    with suppress(ImportError):
        deep = importlib.import_module("recmodels.deep")
        public += [getattr(deep, name) for name in deep.__all__]
    models = [c for c in public if inspect.isclass(c) and issubclass(c, recmodels.Recommender)]
    assert {type(make()) for make in MODELS.values()} == set(models) - {recmodels.Recommender}
    assert sum(name.startswith("RiverModel") for name in MODELS) >= 2


def test_every_check_has_a_docstring() -> None:
    assert len(checks.ALL) > 30
    assert all(check.__doc__ for check in checks.ALL)
    assert len({check.__name__ for check in checks.ALL}) == len(checks.ALL)


def test_skipped_checks_have_a_name_and_a_reason() -> None:
    known = {check.__name__ for check in checks.ALL} | {check.__name__ for check in rivers_checks(recmodels.Blend())}
    for make in MODELS.values():
        for name, reason in checks.reasons_to_skip(make).items():
            assert name in known
            assert len(reason) > 20


def rivers_checks(model: base.Estimator) -> list[Callable[..., None]]:
    with pytest.MonkeyPatch.context() as patch:
        # Its data sets are for classifiers and the like. For a ranker there are none, but scikit-learn is asked for.
        patch.setattr(river.checks, "_yield_datasets", lambda model, scale=1: iter(()))
        return list(river.checks.yield_checks(model))


@pytest.mark.parametrize("name", MODELS)
def test_rivers_own_checks(name: str) -> None:
    model = MODELS[name]()
    skipped = model._unit_test_skips()
    done = [check for check in rivers_checks(model) if check.__name__ not in skipped]
    assert len(done) > 10
    for check in done:
        check(MODELS[name]())
