"""Every public model against every rule of the contract, found by discovery."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from river import compose, linear_model, preprocessing, reco

import recmodels
from recmodels import Blend, Recommender, RiverModel, checks

SMALL = {"max_users": 1_000, "max_items": 1_000, "max_pairs": 5_000}
BIASED = "river:reco.BiasedMF"
PIPELINE = "river:compose.Pipeline"


def models() -> Iterator[tuple[str, checks.Maker]]:
    """Name every public model, with a maker; River's own by two of its kinds."""
    for name in recmodels.__all__:
        found = getattr(recmodels, name)
        if not (inspect.isclass(found) and issubclass(found, Recommender)) or inspect.isabstract(found):
            continue
        if found is RiverModel:
            yield BIASED, lambda **k: RiverModel(reco.BiasedMF(n_factors=4, seed=1), **k)
            yield PIPELINE, lambda **k: RiverModel(one_hot_logit(), **k)
        else:
            known = inspect.signature(found).parameters
            sizes = {name: size for name, size in SMALL.items() if name in known}
            yield name, lambda found=found, sizes=sizes, **k: found(**sizes, **k)


def one_hot_logit() -> compose.Pipeline:
    return compose.Pipeline(
        compose.Select("user", "item"), preprocessing.OneHotEncoder(), linear_model.LogisticRegression()
    )


MODELS = dict(models())
PAIRS = [(name, check) for name, make in MODELS.items() for check in checks.for_model(make())]


def test_discovery_finds_the_models_and_the_rules() -> None:
    assert {"Blend", "Popularity", "CoVisitation", "History", "Factorization", BIASED, PIPELINE} <= set(MODELS)
    assert len(checks.ALL) >= 20


@pytest.mark.parametrize(("name", "check"), PAIRS, ids=[f"{name}-{check.__name__}" for name, check in PAIRS])
def test_contract(name: str, check: Callable[[checks.Maker], None]) -> None:
    check(MODELS[name])


def broken(**changes: Callable[..., Any]) -> checks.Maker:
    """Make a maker of blends with other methods."""
    kind = type("Broken", (Blend,), changes)
    return lambda **k: kind(**SMALL, **k)


def _writes(self: Blend, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
    self.learn_one(user, "read")
    return Blend.top(self, user, n, x)


def _reversed(self: Blend, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
    return Blend.top(self, user, n, x)[::-1]


def _nothing(self: Blend, *_: object, **__: object) -> None:
    return None


def _deaf(self: Blend, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
    return [] if user == "stranger" else Blend.top(self, user, n, x)


def _longer(self: Blend, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
    return Blend.top(self, user, n + 1, x)


def _other_score(self: Blend, user: str, item: str, x: Any = None) -> float:
    return 17.0


def _batchwise(self: Blend, examples: Any, n: int = 10, score: bool = True) -> Any:
    return Blend.step_many(self, examples[::-1], n, score)[::-1]


def _forgets_to_exclude(self: Blend, user: str, item: str) -> bool:
    return False


BITES = [
    (checks.reads_never_write, broken(top=_writes)),
    (checks.a_list_is_sorted_and_has_no_item_twice, broken(top=_reversed)),
    (checks.a_list_is_sorted_and_has_no_item_twice, broken(top=_longer)),
    (checks.a_list_agrees_with_predict_one_and_rank, broken(predict_one=_other_score)),
    (checks.excluded_repeats_are_left_out, broken(has_seen=_forgets_to_exclude)),
    (checks.a_stranger_gets_a_list, broken(top=_deaf)),
    (checks.an_unavailable_item_is_not_listed, broken(learn_item=_nothing)),
    (checks.forget_makes_a_stranger, broken(forget_one=_nothing)),
    (checks.batches_never_show, broken(step_many=_batchwise)),
    (checks.a_dump_goes_on_where_the_model_was, broken(load=_nothing)),
    (checks.changes_add_up, broken(dump_changes=lambda self: {**Blend.dump_changes(self), **Blend().dump()})),
    (checks.a_step_ends_with_the_users_new_list, broken(top=_reversed)),
    (
        checks.n_may_be_larger_than_the_catalogue,
        broken(top=lambda self, u, n=10, x=None: Blend.top(self, u, min(n, 5))),
    ),
]


@pytest.mark.parametrize(("check", "make"), BITES, ids=[check.__name__ for check, _ in BITES])
def test_a_check_bites(check: Callable[[checks.Maker], None], make: checks.Maker) -> None:
    with pytest.raises(AssertionError):
        check(make)
