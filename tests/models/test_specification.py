"""Models by name: what is parsed, and that nothing is ever evaluated."""

import sys
from typing import Any

import pytest

from recmodels import Blend, RiverModel, SpecificationError, build_model
from recmodels.specification import parse


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


def test_models_are_made_with_their_arguments() -> None:
    blend = build_model("blend(max_users=50)", repeats="exclude")
    assert isinstance(blend, Blend)
    assert (blend.max_users, blend.repeats) == (50, "exclude")
    river = build_model("river:reco.BiasedMF(n_factors=3)")
    assert isinstance(river, RiverModel)
    assert river.model.n_factors == 3


HOSTILE = [
    "__import__('os').system('touch pwned')",
    "blend(__import__('os').system('touch pwned'))",
    "blend(max_users=open('pwned', 'w'))",
    "blend(**{'max_users': 1})",
    "blend(*[1])",
    "blend)(",
    "blend(); import os",
    "blend(max_users=1)(2)",
    "river:os.system('true')",
    "river:..os.system",
    "river:reco.base.Ranker.__subclasses__()",
    "os:system('true')",
    "builtins:eval('1')",
    "builtins:dict",
    "recmodels.fused.blend:FusedModel.__init__",
    "river:",
    "",
    "no such model",
    "nope",
    "blend(max_users='many')",
    "blend(max_users=-5)",
    "blend(max_users=10**15)",
    "blend(half_lives=(1.0,))",
    "blend(no_such_argument=1)",
    "river:reco.BiasedMF(no_such_argument=1)",
    "river:stats.Mean",
    "blend(" + "[" * 5_000 + "]" * 5_000 + ")",
    "blend(" + "1," * 100_000 + ")",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:40])
def test_anything_else_is_refused_with_what_was_expected(
    text: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    with pytest.raises(SpecificationError, match=r"model ['\"]"):
        build_model(text)
    assert not list(tmp_path.iterdir())
    assert not {name for name in set(sys.modules) - before if name.startswith("os.")}
