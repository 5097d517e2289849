"""River's models: inputs, bounds, seeds, and that reads teach nothing."""

from typing import Any

import pytest
from river import base, compose, ensemble, facto, linear_model, optim, preprocessing, reco

from recmodels import RiverModel
from recmodels.checks.determinism import check_lists_are_the_same_in_every_process, lists_of
from recmodels.checks.equality import expect_same_state
from recmodels.river_seeds import repeatable
from recmodels.specification import build_model
from tests.support.teach import checkerboard, learn, listed


def test_a_river_ranker_learns_the_checkerboard() -> None:
    estimator = reco.BiasedMF(
        n_factors=4, bias_optimizer=optim.AdaGrad(0.1), latent_optimizer=optim.AdaGrad(0.1), seed=1
    )
    model = RiverModel(estimator, repeats="exclude", negatives=2)
    for event in checkerboard(2, users=150, each=4) * 3:
        model.learn_one(event.user, event.item)
    right = sum(int(listed(model, f"u{user}", 1)[0][1:]) % 2 == user % 2 for user in range(150))
    assert right > 130, f"{right} of 150"


def test_a_river_classifier_sees_the_context_that_it_is_to_see() -> None:
    """A factorization machine takes a raw timestamp for a number, and is lost."""
    model = RiverModel(facto.FMClassifier(n_factors=4, seed=1), context=("device",))
    for k in range(600):
        device, item = [("phone", "clip"), ("desk", "film")][k % 2]
        model.learn_one(f"u{k % 7}", item, 1.0, {"timestamp": 1.4e9 + k, "device": device, "session": f"s{k}"})
    for device, first in (("phone", "clip"), ("desk", "film")):
        assert model.top("u1", 1, {"timestamp": 1.4e9, "device": device})[0][0] == first
    assert set(map(str, model.model.weights)) >= {"device_phone", "device_desk"}
    assert not any("session" in str(name) or "timestamp" in str(name) for name in model.model.weights)


def test_a_river_pipeline_may_end_in_a_regressor() -> None:
    steps = compose.Select("user", "item") | preprocessing.OneHotEncoder() | linear_model.LinearRegression()
    model = RiverModel(steps)
    learn(model, "u:tea v:tea w:tea u:jam")
    assert listed(model, "x")[0] == "tea"
    with pytest.raises(ValueError, match="got StandardScaler"):
        RiverModel(preprocessing.StandardScaler())


def test_a_user_and_an_item_may_have_one_id() -> None:
    model = RiverModel(reco.BiasedMF(n_factors=4, seed=1))
    learn(model, "42:7 7:42 42:42")
    before = model.model.i_latents["42"].copy(), model.predict_one("7", "42")
    model.forget_one("42")
    assert (model.model.i_latents["42"] == before[0]).all(), "the item went with the user of the same id"
    assert model.predict_one("7", "42") == before[1]


@pytest.mark.parametrize(
    "estimator",
    [reco.BiasedMF(n_factors=3, seed=1), facto.FMClassifier(n_factors=3, seed=1)],
    ids=lambda estimator: type(estimator).__name__,
)
def test_asking_a_river_model_for_strangers_teaches_it_nothing(estimator: base.Estimator) -> None:
    """Some of River's estimators add whatever they are asked about, and draw its first weights."""
    asked, silent = (RiverModel(estimator.clone(), context=("device",)) for _ in range(2))
    for k in range(40):
        x = {"device": "ab"[k % 2]}
        for model in (asked, silent):
            model.learn_one(f"u{k % 5}", f"i{k % 7}", 1.0, x)
        asked.predict_one(f"stranger {k}", "i0", {"device": f"new {k}"})
        asked.rank(f"stranger {k}", ["i0", f"new {k}"])
        expect_same_state(asked, silent)


def test_a_river_model_forgets_the_users_beyond_its_bound() -> None:
    model = RiverModel(reco.BiasedMF(n_factors=3, seed=1), repeats="exclude", max_users=3, max_items=4)
    for k in range(50):
        model.learn_one(f"u{k}", f"i{k % 6}")
    assert len(model.model.u_latents) <= 5
    assert len(model.catalogue) == 4
    assert not model.has_seen("u1", "i1")


UNSEEDED = [
    "river:reco.BiasedMF(n_factors=4)",
    "river:facto.FMClassifier(n_factors=3)",
    "river:tree.HoeffdingAdaptiveTreeClassifier(grace_period=10)",
    "blend+river:reco.FunkMF(n_factors=4)",
]


@pytest.mark.parametrize("specification", UNSEEDED)
@pytest.mark.slow
def test_models_named_without_a_seed_are_seeded(specification: str) -> None:
    check_lists_are_the_same_in_every_process(lambda repeats: build_model(specification, repeats))


def test_another_seed_is_another_model() -> None:
    lists = [lists_of(build_model("river:reco.BiasedMF(n_factors=4)", seed=seed)) for seed in (0, 0, 1)]
    assert lists[0] == lists[1] != lists[2]
    named = [lists_of(build_model("river:reco.BiasedMF(n_factors=4, seed=7)", seed=seed)) for seed in (0, 1)]
    assert named[0] != lists[0], "a seed that is named comes first"
    draws = [build_model("blend(seed=3)+river:reco.BiasedMF()", seed=seed).clone() for seed in (0, 1)]
    assert {model.seed for model in draws} == {3}


def test_a_pipeline_that_selects_features_is_the_same_in_every_process() -> None:
    """River's `Select` iterates over a set, and a factorization machine draws weights in the order of the features."""

    def make(**arguments: Any) -> RiverModel:
        pipeline = compose.Select("user", "item", "device") | facto.FMClassifier(n_factors=3)
        return RiverModel(pipeline, context=("device",), **arguments)

    check_lists_are_the_same_in_every_process(make)


def test_parts_of_an_ensemble_are_seeded() -> None:
    unseeded = ensemble.VotingClassifier([facto.FMClassifier(), linear_model.LogisticRegression()])
    first, second = repeatable(unseeded, seed=5).models
    assert (first.seed, first.latent_initializer.seed) == (5, 5)
    assert unseeded.models[0].seed is None, "the argument stays as it was"
    assert second is not None
