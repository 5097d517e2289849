"""Rules and diversity around a model, each with a planted answer."""

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from recmodels import Blend, Example, Popularity, Recommender, checks
from recmodels.base import Context
from recmodels.exploration.explorer import Explorer
from recmodels.rules import Rule, Ruled, rules_of
from recmodels.storage.records import Records
from tests.support.teach import learn, listed

BRANDS = {"tea": "own", "jam": "acme", "pie": "acme", "oil": "acme", "gin": "best"}
ORDER = ["tea", "jam", "pie", "oil", "gin"]
"""Items by falling popularity."""
TAUGHT = " ".join(f"u{user}:{item}" for place, item in enumerate(ORDER) for user in range(6 - place))


class Counts(Recommender):
    """Scores an item by the number of its events."""

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        if self.register(user, item, y):
            self.catalogue[item] = (self.catalogue[item] or 0) + max(y, 0.0)

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        return float(self.catalogue.get(item) or 0.0)


def is_brand(name: str) -> Any:
    return lambda features: features.get("brand") == name


def taught(*rules: Rule, model: Recommender | None = None, **arguments: Any) -> Ruled:
    """Return a model that ranks as `ORDER` says, under rules."""
    ruled = Ruled(model or Counts(), rules, **arguments)
    for item, brand in BRANDS.items():
        ruled.learn_item(item, {"brand": brand})
    learn(ruled, TAUGHT)
    return ruled


def test_the_model_itself_ranks_as_planted() -> None:
    assert listed(taught(), "eve") == ORDER == listed(taught().model, "eve")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule(name="r", action="exclude", where=is_brand("acme")), ["tea", "gin"]),
        (Rule(name="r", action="require", where=is_brand("acme")), ["jam", "pie", "oil"]),
        (Rule(name="r", action="at_most", per="brand", number=1), ["tea", "jam", "gin"]),
        (Rule(name="r", action="at_most", per="brand", number=2), ["tea", "jam", "pie", "gin"]),
        (Rule(name="r", action="pin", item="gin", place=2), ["tea", "gin", "jam", "pie", "oil"]),
        (Rule(name="r", action="pin", item="nowhere", place=1), ORDER),
        (Rule(name="r", action="boost", where=is_brand("best"), by=1e6), ["gin", "tea", "jam", "pie", "oil"]),
        (Rule(name="r", action="boost", where=is_brand("own"), by=1e-6), ["jam", "pie", "oil", "gin", "tea"]),
    ],
)
def test_each_action_changes_the_list_as_it_says(rule: Rule, expected: Sequence[str]) -> None:
    assert listed(taught(rule), "eve") == expected


def test_rules_work_together() -> None:
    model = taught(
        Rule(name="no tea", action="exclude", where=lambda features: features["item"] == "tea"),
        Rule(name="brands", action="at_most", per="brand", number=1),
        Rule(name="first", action="pin", item="oil", place=1),
    )
    assert listed(model, "eve") == ["oil", "gin"], "the pinned item counts as one of its brand"
    assert model.tally.removed == {"no tea": 1, "brands": 2}


def test_an_item_keeps_the_models_own_score() -> None:
    model = taught(Rule(name="r", action="boost", where=is_brand("best"), by=9.0))
    assert dict(model.top("eve")) == dict(model.model.top("eve"))


@pytest.mark.parametrize("action", ["exclude", "pin"])
def test_a_rule_waits_for_its_context(action: Any) -> None:
    rule = Rule(
        name="night",
        action=action,
        item="gin",
        place=1,
        where=is_brand("own"),
        when=lambda x: x.get("hour", 0) >= 22,
    )
    model = taught(rule)
    at_night = [item for item, _ in model.top("eve", 5, {"timestamp": 23 * 3600.0})]
    assert at_night == (ORDER[1:] if action == "exclude" else ["gin", *ORDER[:-1]])
    assert [item for item, _ in model.top("eve", 5, {"timestamp": 8 * 3600.0})] == ORDER == listed(model, "eve")


def test_a_rule_gives_way_to_the_one_that_it_names() -> None:
    night = Rule(name="night", action="exclude", where=is_brand("best"), when=lambda x: x.get("hour") == 23)
    day = Rule(name="day", action="exclude", where=is_brand("own"), unless="night")
    model = taught(night, day)
    assert "gin" in listed(model, "eve")
    assert "tea" not in listed(model, "eve")
    assert "gin" not in [item for item, _ in model.top("eve", 5, {"timestamp": 23 * 3600.0})]


def test_hidden_items_stay_hidden_from_their_user_alone() -> None:
    model = taught(hide=["hide"], unhide=["unhide"])
    model.learn_one("eve", "tea", -1.0, {"event": "hide"})
    assert "tea" not in listed(model, "eve")
    assert "tea" in listed(model, "bob")
    assert not model.may_list("eve", "tea")
    assert model.may_list("bob", "tea")
    before = model.model.dump()
    model.learn_one("eve", "tea", 0.0, {"event": "unhide"})
    assert "tea" in listed(model, "eve")
    assert before["pickle"].tobytes() == model.model.dump()["pickle"].tobytes()


def test_a_hide_that_is_taken_back_hides_no_more() -> None:
    model = taught(hide=["hide"])
    model.learn_one("eve", "tea", -1.0, {"event": "hide"})
    model.undo_one("eve", "tea", "hide")
    assert model.hidden_by("eve") == []


def test_a_forgotten_user_has_hidden_nothing() -> None:
    model = taught(hide=["hide"])
    model.learn_one("eve", "tea", -1.0, {"event": "hide"})
    model.dump()
    model.forget_one("eve")
    assert model.hidden_by("eve") == []
    assert "tea" in listed(model, "eve")
    dumps = [model.dump_changes(), model.dump()]
    assert not any(b"eve" in array.tobytes() for dump in dumps for name, array in dump.items() if "hidden" in name)


def test_hidden_items_and_their_users_are_bounded() -> None:
    model = taught(hide=["hide"], hidden_users=2)
    for user in ("ann", "bob", "eve"):
        model.learn_one(user, "tea", -1.0, {"event": "hide"})
    assert [model.hidden_by(user) for user in ("ann", "bob", "eve")] == [[], ["tea"], ["tea"]]
    for n in range(300):
        model.learn_one("eve", f"i{n}", -1.0, {"event": "hide"})
    assert model.hidden_by("eve") == [f"i{n}" for n in range(44, 300)]


def test_lists_stay_full_although_few_items_are_allowed() -> None:
    """Of 2,000 items every hundredth is allowed. None of them is popular."""
    rule = Rule(name="few", action="require", where=lambda features: features["item"].endswith("00"))
    model = Ruled(Counts(), [rule])
    learn(model, " ".join(f"u{n % 7}:i{n}" for n in range(2_000)))
    learn(model, " ".join(f"u{n % 7}:i{n % 90 + 1}" for n in range(500)))
    assert len(listed(model, "eve")) == 10
    step = model.step_many([*_clicks("u1:i5")], n=10)[0]
    assert len(step.items) == 10
    assert all(item.endswith("00") for item in step.items)
    assert model.tally.deepened
    assert not model.tally.short


def test_a_rule_that_empties_lists_is_told() -> None:
    model = taught(Rule(name="none", action="require", where=is_brand("nobody")))
    steps = model.step_many([*_clicks("u1:tea u2:jam")], n=3)
    assert [step.items for step in steps] == [[], []]
    assert model.tally.emptied == 2
    (note,) = model.tally.take_notes()
    assert "rules have emptied 1 list" in note
    assert "none" in note


def test_reasons_name_the_rules_and_diversity_first() -> None:
    model = taught(
        Rule(name="first", action="pin", item="gin", place=1),
        Rule(name="ours", action="boost", where=is_brand("own"), by=2.0),
    )
    whys = model.explain("eve", 3)
    assert [why.item for why in whys] == listed(model, "eve", 3)
    assert whys[0].parts["rule first"] == 1.0
    assert whys[1].parts["rule ours"] == pytest.approx(np.log(2.0))
    assert next(iter(whys[1].parts)) == "rule ours"
    assert len(whys[1].parts) > 1
    assert "rule ours" not in whys[2].parts


def test_reasons_say_which_items_diversity_has_moved_up() -> None:
    model = taught(diversity=0.9)
    moved = {why.item: why.parts.get("diversity") for why in model.explain("eve", 5)}
    assert moved["gin"]
    assert not moved["tea"]


@pytest.mark.parametrize("model", [Counts, Blend])
def test_diversity_takes_one_of_each_brand_first(model: Any) -> None:
    ruled = taught(model=model(), diversity=0.9)
    plain = listed(ruled.model, "eve")
    spread = listed(ruled, "eve")
    assert sorted(spread) == sorted(plain)
    assert spread[0] == plain[0]
    assert len({BRANDS[item] for item in spread[:3]}) == 3
    assert ruled.similarity(spread[:3]) < ruled.similarity(ORDER[1:4])


def mmr_of(scores: Sequence[float], similarity: Mapping[tuple[str, str], float], d: float) -> list[int]:
    """Return the order of maximal marginal relevance, by its formula."""
    left, taken = list(range(len(scores))), []
    while left:
        best = max(
            left,
            key=lambda c: (1 - d) * scores[c] / max(scores) - d * max((similarity[p, c] for p in taken), default=0.0),  # type: ignore[index]
        )
        taken.append(best)
        left.remove(best)
    return taken


@pytest.mark.parametrize("diversity", [0.2, 0.5, 0.8])
def test_order_is_that_of_the_formula(diversity: float) -> None:
    draw = np.random.default_rng(4)
    model = Ruled(Counts(), diversity=diversity)
    tags = {f"i{k}": [f"t{t}" for t in draw.choice(12, 3, replace=False)] for k in range(20)}
    for item, names in tags.items():
        model.learn_item(item, {"tags": names})
    learn(model, " ".join(f"u{n}:i{k}" for k in range(20) for n in range(40 - k)))
    carriers = {t: sum(t in names for names in tags.values()) for t in set(itertools.chain(*tags.values()))}
    weight = {t: float(np.float32(1.0 / np.log2(1.0 + n))) for t, n in carriers.items()}
    plain = model.model.top("eve", 20)

    def alike(a: str, b: str) -> float:
        sums = [sum(weight[t] for t in names) for names in (set(tags[a]) & set(tags[b]), tags[a], tags[b])]
        return float(sums[0] / np.sqrt(sums[1] * sums[2]))

    names = [item for item, _ in plain]
    similarity = {(p, c): alike(names[p], names[c]) for p in range(20) for c in range(20)}
    expected = mmr_of([score for _, score in plain], similarity, diversity)  # type: ignore[arg-type]
    assert listed(model, "eve", 20) == [names[c] for c in expected]
    pairs = list(itertools.combinations(range(10), 2))
    assert model.similarity(names[:10]) == pytest.approx(np.mean([similarity[pair] for pair in pairs]))


def _clicks(text: str) -> Any:
    return [
        Example(user, item, 1.0, 60.0 * n, {"event": "click"})
        for n, (user, item) in enumerate(pair.split(":") for pair in text.split())
    ]


def many(count: int = 300) -> Any:
    """Clicks, and now and then an item that is hidden."""
    draw = np.random.default_rng(7)
    for n in range(count):
        user, item = f"u{draw.integers(9)}", f"i{draw.zipf(1.4) % 80}"
        kind = "hide" if n % 11 == 10 else "unhide" if n % 37 == 36 else "click"
        yield Example(user, item, {"hide": -1.0, "unhide": 0.0}.get(kind, 1.0), 60.0 * n, {"event": kind})


SOME = (
    Rule(name="odd", action="exclude", where=lambda f: f["item"].endswith("7"), when=lambda x: x.get("hour", 0) < 3),
    Rule(name="brands", action="at_most", per="brand", number=2),
    Rule(name="first", action="pin", item="i2", place=2),
)


def ruled(rules: Sequence[Rule] = SOME, **arguments: Any) -> Ruled:
    model = Ruled(Blend(), rules, hide=["hide"], unhide=["unhide"], **{"diversity": 0.3, **arguments})
    for n in range(80):
        model.learn_item(f"i{n}", {"brand": f"b{n % 9}", "tags": [f"t{n % 5}"]})
    return model


@pytest.mark.parametrize("rules", [SOME, ()])
@pytest.mark.parametrize("diversity", [0.0, 0.3])
@pytest.mark.parametrize("score", [False, True])
def test_batches_do_not_show(rules: Sequence[Rule], diversity: float, score: bool) -> None:
    one, other = ruled(rules, diversity=diversity), ruled(rules, diversity=diversity)
    events = list(many())
    alone = [step for each in events for step in one.step_many([each], 10, score)]
    together = [step for at in range(0, len(events), 13) for step in other.step_many(events[at : at + 13], 10, score)]
    assert alone == together


def test_scored_positions_are_those_of_the_list_just_before() -> None:
    model = ruled()
    for example in many():
        x = {**example.x, "timestamp": example.timestamp}
        before = [item for item, _ in model.top(example.user, 10, x)]
        (step,) = model.step_many([example], 10, score=True)
        if step.position is not None:
            assert step.position == (before.index(example.item) if example.item in before else -1)
    told = model.tally.numbers()
    assert told["diversity"] > told["diversity_without"]  # type: ignore[operator]
    assert model.tally.hits_without > 0


def test_lists_do_not_depend_on_the_rows_that_were_looked_up_before() -> None:
    late = Rule(name="late", action="pin", item="i79", place=2)  # the model learns it long after its features
    model = Ruled(Blend(max_items=24), [late, *SOME], diversity=0.5)
    for n in range(80):
        model.learn_item(f"i{n}", {"brand": f"b{n % 9}", "tags": [f"t{n % 5}"]})
    events = [example for example in many() if example.item != "i79"]
    for place, example in enumerate(events):
        item = "i79" if place > 200 and place % 5 == 0 else example.item
        model.learn_one(example.user, item, 1.0, {"timestamp": example.timestamp})
        if place % 7 == 0:
            assert model.top(example.user) == copy.deepcopy(model).top(example.user)  # a copy looks every row up
    assert model.unwrapped.memory.items.changes > 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("parts", [False, True])
def test_a_restored_model_goes_on_as_if_it_had_not_stopped(parts: bool) -> None:
    events = list(many())
    model = ruled()
    dumps = []
    for at in range(0, 200, 20):
        model.step_many(events[at : at + 20], 10)
        dumps.append({name: array.copy() for name, array in model.dump_changes().items()})
    if parts:
        dumps, place = [], 0
        while True:
            part, place = model.dump_part(place, 400)
            dumps.append({name: array.copy() for name, array in part.items()})
            if not place:
                break
        assert len(dumps) > 10
    other = ruled()
    for dump in dumps:
        other.load(dump)
    assert model.step_many(events[200:], 10) == other.step_many(events[200:], 10)
    assert {user: model.hidden_by(f"u{user}") for user in range(9)} == {
        user: other.hidden_by(f"u{user}") for user in range(9)
    }


def test_rules_can_begin_and_end_at_any_time() -> None:
    plain = Blend()
    plain.step_many(list(_clicks("ann:tea bob:tea ann:jam")), 10)
    model = Ruled(Blend(), [Rule(name="r", action="exclude", where=lambda f: f["item"] == "tea")])
    model.load(plain.dump())
    assert listed(model, "eve") == ["jam"]
    model.rules = ()
    assert listed(copy.deepcopy(plain), "eve") == ["tea", "jam"]


def test_a_trial_item_obeys_the_rules() -> None:
    inner = Ruled(Popularity(), [Rule(name="r", action="exclude", where=is_brand("bad"))], hide=["hide"])
    model = Explorer(inner, share=1.0)
    for item, brand in {"new": "bad", "fine": "good", "mine": "good"}.items():
        model.learn_item(item, {"brand": brand})
    learn(model, "a:tea b:tea c:jam")
    model.learn_one("eve", "mine", -1.0, {"event": "hide"})
    assert rules_of(model) is inner
    trials = {model.top("eve", 2)[-1][0] for _ in range(20) if model.learn_one("bob", "tea") is None}
    assert trials == {"fine"}


def test_lists_of_items_leave_out_what_is_excluded_always() -> None:
    model = taught(Rule(name="r", action="exclude", where=is_brand("own")), model=Popularity())
    assert [item for item, _ in model.trending(3)] == ["jam", "pie", "oil"]
    assert model.keeps_out("tea")
    assert not model.keeps_out("jam")


def test_unknown_features_are_told_once_with_the_nearest() -> None:
    model = Ruled(Popularity(), [Rule(name="r", action="at_most", per="bramd", number=1, names=("bramd",))])
    for n in range(250):
        model.learn_item(f"i{n}", {"brand": "acme"})
    (note,) = model.tally.take_notes()
    assert "rule r names the feature 'bramd'" in note
    assert "'brand'" in note


def test_features_of_a_full_table_are_dropped_oldest_first() -> None:
    records = Records("features", most=3)
    for n in range(5):
        records[f"i{n}"] = n
    records["i2"] = 9
    assert {key: records[key] for key in records} == {"i2": 9, "i3": 3, "i4": 4}
    other = Records("features", most=3)
    other.load(records.dump())
    other["i9"] = records["i9"] = 1
    assert sorted(other) == sorted(records) == ["i3", "i4", "i9"]


@pytest.mark.slow
@pytest.mark.parametrize("check", list(checks.yield_checks(lambda **more: ruled())), ids=lambda check: check.__name__)
def test_contract_of_a_ruled_model(check: checks.Check) -> None:
    def make(**arguments: Any) -> Recommender:
        return Ruled(Blend(**arguments), diversity=0.2)

    if reason := checks.reasons_to_skip(make).get(check.__name__):
        pytest.skip(reason)
    check(make)
