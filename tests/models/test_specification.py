"""Specifications of models: valid ones, and hostile ones that are refused."""

import sys
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmodels import (
    Blend,
    CoVisitation,
    Factorization,
    History,
    Popularity,
    RiverModel,
    SpecificationError,
    build_model,
)
from recmodels.specification import BY_NAME, parse


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("blend", ("blend", [], {})),
        (" blend( ) ", ("blend", [], {})),
        ("blend(max_users=50_000)", ("blend", [], {"max_users": 50_000})),
        ("river:reco.BiasedMF(8, l2_bias=-0.5)", ("river:reco.BiasedMF", [8], {"l2_bias": -0.5})),
        ("mine.models:Mine(name='a(b)', sizes=(1, 2))", ("mine.models:Mine", [], {"name": "a(b)", "sizes": (1, 2)})),
    ],
)
def test_a_specification_is_a_call_with_literals(text: str, parsed: tuple[str, list[Any], dict[str, Any]]) -> None:
    assert parse(text) == parsed


@pytest.mark.parametrize("text", ["popularity+covisitation", "river:reco.BiasedMF(n_factors=4)+popularity"])
def test_only_a_blend_has_members(text: str) -> None:
    with pytest.raises(SpecificationError, match=r"expected a blend in front of the first \+.* Write blend\+"):
        build_model(text)


def test_models_are_made_with_their_arguments() -> None:
    blend = build_model("blend(max_users=50)", repeats="exclude")
    assert isinstance(blend, Blend)
    assert (blend.max_users, blend.repeats) == (50, "exclude")
    river = build_model("river:reco.BiasedMF(n_factors=3)")
    assert isinstance(river, RiverModel)
    assert river.model.n_factors == 3


@pytest.mark.parametrize(
    ("specification", "model", "arguments"),
    [
        ("blend", Blend, {}),
        (" blend ( ) ", Blend, {}),
        ("blend(max_users=50_000, half_lives=(1.0, 2.0, 3.0, 4.0, 5.0))", Blend, {"max_users": 50_000}),
        ("popularity(12.5)", Popularity, {"half_life": 12.5}),
        ("popularity(half_life=\n1e3,\n)", Popularity, {"half_life": 1000.0}),
        ("covisitation(seed=+3)", CoVisitation, {"seed": 3}),
        ("history", History, {}),
        ("factorization(l2=0)", Factorization, {"l2": 0}),
        ("recmodels:Blend(recent=3)", Blend, {"recent": 3}),
        ("recmodels.fused.members:Popularity", Popularity, {}),
        ("river:reco.BiasedMF(n_factors=3, seed=1)", RiverModel, {}),
        ("river:facto.FMClassifier", RiverModel, {}),
        ("river:tree.HoeffdingTreeClassifier(grace_period=10)", RiverModel, {}),
    ],
)
def test_valid_specification_makes_its_model(specification: str, model: type, arguments: dict[str, Any]) -> None:
    made = build_model(specification, repeats="exclude")
    assert type(made) is model
    assert made.repeats == "exclude"
    for name, value in arguments.items():
        assert getattr(made, name) == value
    made.learn_one("u", "i", 1.0, {"timestamp": 1.4e9, "value": 1.0})
    assert made.top("v", 1)[0][0] == "i"


def test_the_specification_outweighs_the_setting() -> None:
    assert build_model("blend(repeats='exclude')", repeats="allow").repeats == "exclude"


def test_arguments_reach_river() -> None:
    made = build_model("river:reco.BiasedMF(7, l2_bias=0.5)")
    assert isinstance(made, RiverModel)
    assert (made.model.n_factors, made.model.l2_bias) == (7, 0.5)


def test_every_name_is_a_model() -> None:
    for name in BY_NAME:
        if name.startswith("deep:") and not (find_spec("jax") and find_spec("keras")):
            continue  # test_deep_missing.py holds what is said then
        assert build_model(name).top("u") == []


HOSTILE = [
    "",
    " ",
    "nothing",
    "Blend",
    "__import__('os').system('x')",
    "blend(__import__('os').system('x'))",
    "blend(seed=__import__('os').getpid())",
    "blend(seed=(lambda: 1)())",
    "blend(seed=[x for x in (1,)][0])",
    "blend(seed=exit())",
    "blend(seed=f'{1}')",
    "blend(seed=1 if True else 2)",
    "blend(seed=blend())",
    "blend(seed=Blend)",
    "blend(seed=1+1)",
    "blend(seed=2**40)",
    "blend(seed=())",
    "blend(**{'seed': 1})",
    "blend(*[1])",
    "blend(seed=1, seed=2)",
    "blend(seed=1)(2)",
    "blend(seed=1).learn_one",
    "blend();exit()",
    "blend()\nexit()",
    "blend(\nexit()\n)",
    "blend(seed=1) if exit() else (2)",
    "blend(exit():=1)",
    "blend(seed=(yield))",
    "blend(seed={[]: 1})",
    "blend(seed={{}})",
    "blend(seed=1",
    "blend)(",
    "blend(#)",
    "blend(seed='\0')",
    "blend\0",
    "blend(seed='\ud800')",
    "blend(seed=" + "9" * 1_900 + ")",
    "blend(seed=" + "(" * 900 + ")" * 900 + ")",
    "blend(seed=" + "[" * 900 + "]" * 900 + ")",
    "blend(seed=" + "-" * 1_900 + "1)",
    "blend(seed=" + "1+" * 900 + "1j)",
    "blend(" + "x" * 10_000_000 + ")",
    "x" * 100_000,
    "x" * 1_000 + ":y",
    "blend(nonsense=1)",
    "blend(max_users=0)",
    "blend(max_users=1e9)",
    "blend(max_users='many')",
    "blend(max_users=10**30)",
    "blend(max_users=1000000000000000000000000000000)",
    "blend(half_lives=1)",
    "blend(half_lives=('a', 'b', 'c', 'd', 'e'))",
    "blend(repeats='sometimes')",
    "blend(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)",
    "popularity(half_life=0)",
    "popularity(half_life=-1.0)",
    "popularity(half_life=None)",
    "os:system",
    "os:system('x')",
    "os:environ",
    "subprocess:Popen(['x'])",
    "builtins:exec('1')",
    "builtins:object",
    "builtins:dict",
    "recmodels:Recommender",
    "recmodels:build_model('blend')",
    "recmodels:nothing",
    "recmodels.nothing:Blend",
    "recmodels:Blend.top",
    "..recmodels:Blend",
    "recmodels..base:Blend",
    "recmodels.:Blend",
    "recmodels:__init__",
    "no_such_module:Model",
    "river:BiasedMF",
    "river:reco.Nothing",
    "river:reco",
    "river:reco.",
    "river:nothing.BiasedMF",
    "river:reco.BiasedMF(n_factors=3)(4)",
    "river:reco.BiasedMF(nonsense=3)",
    "river:reco.base.Ranker",
    "river:reco.base.typing.Any",
    "river:datasets.Phishing",
    "river:datasets.synth.SEA",
    "river:stream.iter_csv('x')",
    "river:stream.Cache('x')",
    "river:utils.math.dot",
    "river:preprocessing.StandardScaler",
    "river:compose.Pipeline",
    "river:anomaly.HalfSpaceTrees",
    "river:cluster.KMeans",
    "river:drift.ADWIN",
    "river:base.Estimator",
    "river:reco.BiasedMF:reco.BiasedMF",
    "river:river.reco.BiasedMF",
    "blend(max_users=open('pwned', 'w'))",
    "blend(**{'max_users': 1})",
    "blend(); import os",
    "blend(max_users=1)(2)",
    "river:os.system('true')",
    "river:..os.system",
    "river:reco.base.Ranker.__subclasses__()",
    "os:system('true')",
    "builtins:eval('1')",
    "recmodels.fused.blend:FusedModel.__init__",
    "river:",
    "no such model",
    "nope",
    "blend(max_users=-5)",
    "blend(max_users=10**15)",
    "blend(half_lives=(1.0,))",
    "blend(no_such_argument=1)",
    "river:reco.BiasedMF(no_such_argument=1)",
    "river:stats.Mean",
    "blend(" + "[" * 5_000 + "]" * 5_000 + ")",
    "blend(" + "1," * 100_000 + ")",
]


@pytest.mark.parametrize("specification", HOSTILE, ids=lambda specification: ascii(specification[:40]))
def test_a_hostile_specification_is_refused_and_nothing_runs(
    specification: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> None:
        raise RuntimeError(f"it was run: {arguments}")

    for module, name in (("os", "system"), ("os", "getpid"), ("subprocess", "Popen"), ("builtins", "exit")):
        monkeypatch.setattr(f"{module}.{name}", run)
    with pytest.raises(SpecificationError) as caught:
        build_model(specification)
    said = str(caught.value)
    assert said.startswith("model ")
    assert not list(tmp_path.iterdir())
    assert len(said) < 6_000
    assert specification[:20].strip("\0\ud800")[:20] in said or not specification.isprintable()


def test_a_module_that_breaks_while_it_is_imported(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in (("broken_syntax", "def"), ("broken_value", "int('x')"), ("broken_exit", "raise SystemError")):
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(SpecificationError, match=rf"{name}.py:1: .*while model '{name}:Model' is imported"):
            build_model(f"{name}:Model")


def test_a_model_of_ones_own(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_model.py").write_text(
        "from recmodels import Popularity\nclass Mine(Popularity):\n    'Mine.'\nclass Other:\n    'No model.'\n"
    )
    assert build_model("my_model:Mine(half_life=3.0)").half_life == 3.0
    with pytest.raises(SpecificationError, match="subclass"):
        build_model("my_model:Other")
    sys.modules.pop("my_model")


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    for specification in (text, f"blend({text})", f"blend(seed={text})"):
        try:
            name, positional, named = parse(specification)
        except SpecificationError:
            continue
        assert isinstance(name, str)
        assert isinstance(positional, list)
        assert isinstance(named, dict)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_literals_come_through_as_they_are(value: Any) -> None:
    if len(repr(value)) < 1_000:
        assert parse(f"m(x={value!r})") == ("m", [], {"x": value})
