"""Every classifier, regressor and ranker of River at work, and those that are refused."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import river.api
from river import base, linear_model, reco

from recmodels import RiverModel, build_model
from recmodels.checks.equality import expect_same_record
from recmodels.checks.events import learn, some_events
from recmodels.specification import SpecificationError
from recmodels.word_encoder import RateEncoder

SPECIAL: dict[str, dict[str, Any]] = {
    "compose.TargetTransformRegressor": {
        "regressor": linear_model.LinearRegression(),
        "func": abs,
        "inverse_func": abs,
    },
    **{
        f"imblearn.Random{kind}": {
            "classifier": linear_model.LogisticRegression(),
            "desired_dist": {True: 0.5, False: 0.5},
        }
        for kind in ("OverSampler", "UnderSampler", "Sampler")
    },
    **{
        f"preprocessing.Target{kind}Scaler": {"regressor": linear_model.LinearRegression()}
        for kind in ("MinMax", "Standard")
    },
}
"""Arguments of classes whose own parameters for tests cannot be used."""
REFUSED = {
    "misc.ZstdClassifier": "a classifier of texts, which needs Python 3.14",
    "tree.ISOUPTreeRegressor": "it predicts several targets",
}
ONE_SCORE = {
    "dummy.NoChangeClassifier": "it repeats the last reward",
    "dummy.PriorClassifier": "it says how often anything is chosen",
    "dummy.StatisticRegressor": "likewise",
    "forest.OXTRegressor": "its trees split late",
    "tree.SGTClassifier": "it splits after 200 rows",
    "tree.SGTRegressor": "likewise",
}
"""Estimators that give all items one score after few events."""
DRAWS = {"reco.RandomNormal": "it draws its answer"}
"""Estimators whose answer differs from question to question."""


def estimators() -> Iterator[tuple[str, type[base.Estimator]]]:
    """Yield every public class of River that a recommender can be made of."""
    for module in sorted(vars(river.api)):
        if not module.startswith("_") and module != "annotations":
            found = vars(importlib.import_module(f"river.{module}"))
            for name in found.get("__all__", ()):
                kind = found.get(name)
                is_kind = inspect.isclass(kind) and issubclass(
                    kind, base.Classifier | base.Regressor | reco.base.Ranker
                )
                if is_kind and not inspect.isabstract(kind):
                    yield f"{module}.{name}", kind


ESTIMATORS = dict(estimators())


def made(name: str, seed: int = 0) -> RiverModel:
    """Make a model of River's parameters for tests, without their seed."""
    parameters = SPECIAL.get(name) or dict(next(iter(ESTIMATORS[name]._unit_test_params())))
    if name == "model_selection.SuccessiveHalvingClassifier":
        parameters["budget"] = 1_000  # River's own lack it
    parameters.pop("seed", None)
    return RiverModel(ESTIMATORS[name](**parameters), seed=seed)


def test_all_of_river_is_here() -> None:
    assert len(ESTIMATORS) > 70
    assert {*REFUSED, *ONE_SCORE, *DRAWS, *SPECIAL} <= ESTIMATORS.keys()


@pytest.mark.parametrize("name", sorted(ESTIMATORS.keys() - REFUSED.keys()))
def test_a_river_estimator_learns_and_ranks(name: str) -> None:
    model = made(name)
    learn(model, some_events(80))
    listed = model.top("u1", 30)
    assert len(listed) == 23
    if name not in ONE_SCORE:
        assert len({score for _, score in listed}) > 1, "all items have one score"
    if name not in DRAWS:
        before = model.dump()
        model.top("stranger", 30)
        model.predict_one("stranger", "new")
        expect_same_record(before, model.dump())
        again = made(name)
        learn(again, some_events(80))
        assert again.top("u1", 30) == listed, "a second model with the seed differs"


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_an_estimator_that_cannot_work_is_refused(name: str) -> None:
    with pytest.raises(SpecificationError, match=name.rpartition(".")[2]):
        build_model(f"river:{name}")


@pytest.mark.parametrize(
    "specification",
    [
        "river:linear_model.LogisticRegression",
        "river:linear_model.LogisticRegression(optim.SGD(0.1), l2=0.001)",
        "river:linear_model.PAClassifier()",
        "river:naive_bayes.BernoulliNB",
        "river:naive_bayes.GaussianNB",
        "river:neighbors.KNNClassifier",
        "river:forest.AMFClassifier(n_estimators=3)",
        "river:preprocessing.StandardScaler | linear_model.LogisticRegression",
        "river:preprocessing.StandardScaler() | linear_model.LinearRegression(l2=0.1)",
        "river:compose.Select('user', 'item') | linear_model.LogisticRegression()",
        "river:compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())",
        "river:compose.Pipeline(('scale', preprocessing.StandardScaler()), ('model', linear_model.Perceptron()))",
        "river:(compose.Select('user') + compose.Select('item')) | preprocessing.OneHotEncoder | rules.AMRules",
        "river:ensemble.BaggingClassifier(model=linear_model.LogisticRegression(), n_models=3)",
        "river:ensemble.BaggingClassifier(preprocessing.StandardScaler() | linear_model.LogisticRegression())",
        "river:ensemble.VotingClassifier([linear_model.LogisticRegression(), tree.HoeffdingTreeClassifier()])",
        "river:preprocessing.FeatureHasher(n_features=512) | linear_model.LogisticRegression()",
    ],
)
def test_an_item_that_all_take_rises(specification: str) -> None:
    model = build_model(specification, seed=3)
    for k in range(150):
        model.learn_one(f"u{k % 30}", "hit" if k % 3 else f"i{k % 7}", 1.0, {"timestamp": 60.0 * k})
    assert "hit" in [item for item, _ in model.top("new", 3)]


def test_a_pipeline_is_a_member_of_a_blend() -> None:
    model = build_model(
        "blend(max_users=50) + river:preprocessing.StandardScaler() | linear_model.LogisticRegression()"
    )
    model.learn_one("u", "i", 1.0, {"timestamp": 1.0})
    assert model.version == "blend+river.Pipeline/1"


def test_an_encoder_is_no_part_of_the_name() -> None:
    assert build_model("river:linear_model.LogisticRegression").version == "river.LogisticRegression/1"
    assert build_model("river:forest.AMFClassifier(n_estimators=2)").version == "river.AMFClassifier/1"


def test_numbers_of_the_context_are_scaled_and_words_encoded() -> None:
    pipeline = build_model("river:preprocessing.StandardScaler | linear_model.LogisticRegression")
    assert isinstance(pipeline, RiverModel)
    model = RiverModel(pipeline.model.clone(), context=("price", "device"))
    for k in range(300):
        device, item = [("phone", "clip"), ("desk", "film")][k % 2]
        model.learn_one(f"u{k % 7}", item, 1.0, {"price": 100.0 + k % 5, "device": device})
    weights = model.model["LogisticRegression"].weights
    assert "price" in weights
    assert sum(name.startswith("device=") for name in map(str, weights)) >= 2


def test_the_seed_reaches_every_part() -> None:
    lists = []
    for seed in (0, 0, 1):
        model = build_model("river:ensemble.BaggingClassifier(facto.FMClassifier(n_factors=3), n_models=2)", seed=seed)
        learn(model, some_events(60))
        lists.append(model.top("u1", 10))
    assert lists[0] == lists[1] != lists[2]


@pytest.mark.parametrize(
    ("specification", "said"),
    [
        ("river:LogisticRegression", "it has linear_model.LogisticRegression"),
        ("river:preprocessing.StandardScaler() |", "expected a name"),
        ("river:preprocessing.StandardScaler() | preprocessing.MinMaxScaler()", "expected a River ranker"),
        ("river:linear_model.LogisticRegression() | open('x')", "River has no 'open'"),
        ("river:linear_model.LogisticRegression(optimizer=__import__('os'))", "River has no '__import__'"),
        ("river:linear_model.LogisticRegression(**{'l2': optim.SGD()})", "not allowed"),
        ("river:linear_model.LogisticRegression(l2=lambda: 1)", "does not parse|must be literals"),
        ("river:datasets.Phishing() | linear_model.LogisticRegression()", "is neither"),
        ("river:compose.FuncTransformer(print) | linear_model.LogisticRegression()", "River has no 'print'"),
        ("river:ensemble.BaggingClassifier(1, nonsense=tree.LASTClassifier())", "BaggingClassifier: .*nonsense"),
        ("river:3 | linear_model.LogisticRegression()", "expected estimators on both sides"),
        ("river:tree.HoeffdingTreeClassifier(grace_period=optim.SGD().lr)", "River has no"),
        ("river:optim.SGD(0.1)", "expected a River ranker"),
    ],
)
def test_other_expressions_are_refused_with_the_reason(specification: str, said: str) -> None:
    with pytest.raises(SpecificationError, match=said):
        build_model(specification)


def test_encoders_take_bounded_memory() -> None:
    encoder = RateEncoder(n_features=100)
    for number in range(10_000):
        encoder.learn_one({"user": "ann", "item": f"item {number}"}, 1.0)
    assert len(encoder.counts) == 100
