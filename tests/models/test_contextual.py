"""The contextual pipeline: the effect of each feature, and calibrated probabilities."""

import random
from collections.abc import Callable
from math import log
from pathlib import Path

import numpy as np
import pytest
from river import linear_model, optim

from bench.calibration import Said, events_of, expected_calibration_error, log_loss, reliability, say
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from recmodels import Contextual, Example, build_model
from recmodels.contextual.item_features import MOST_TAGS, ItemFeatures
from recmodels.platt import PlattScaling, logit, shifted

HOUR = 3_600.0


def first(model: Contextual, user: str, **x: object) -> str:
    return model.top(user, 1, x)[0][0]


def test_the_device_decides() -> None:
    model = Contextual()
    draw = random.Random(0)
    for k in range(400):
        device = draw.choice(["phone", "desk"])
        item = f"{device} {draw.randrange(3)}"
        model.learn_one(f"u{k % 40}", item, 1.0, {"timestamp": 60.0 * k, "device": device})
    for device in ("phone", "desk"):
        listed = [item for item, _ in model.top("eve", 3, {"timestamp": 60.0 * k, "device": device})]
        assert all(item.startswith(device) for item in listed), f"{device}: {listed}"


def test_the_time_of_day_decides() -> None:
    model = Contextual()
    for k in range(400):
        time = k * 7 * HOUR
        model.learn_one(f"u{k % 40}", "coffee" if time % (24 * HOUR) < 12 * HOUR else "wine", 1.0, {"timestamp": time})
    assert first(model, "eve", timestamp=1_000 * 24 * HOUR + 7 * HOUR) == "coffee"
    assert first(model, "eve", timestamp=1_000 * 24 * HOUR + 19 * HOUR) == "wine"


def tastes(kind: str, count: int = 900) -> tuple[Contextual, float]:
    """Every user has one taste, in tags or in prices, and takes any item of it: of so many that few are met twice."""
    model = Contextual(repeats="exclude")
    draw = random.Random(3)
    for item in range(600):
        taste = item % 4
        x = {"tags": [f"t{taste}", "all"]} if kind == "tags" else {"price": 10.0**taste} if kind == "price" else {}
        model.learn_item(f"i{item}", x)
    had: dict[int, set[int]] = {}
    scored = right = 0
    for turn in range(count):
        user = draw.randrange(150)
        left = [item for item in range(user % 4, 600, 4) if item not in had.setdefault(user, set())]
        item = draw.choice(left)
        if turn >= count // 2 and had[user]:
            listed = [int(name[1:]) % 4 == user % 4 for name, _ in model.top(f"u{user}", 5, {"timestamp": 60.0 * turn})]
            right, scored = right + sum(listed), scored + len(listed)
        had[user].add(item)
        model.learn_one(f"u{user}", f"i{item}", 1.0, {"timestamp": 60.0 * turn})
    return model, right / scored


@pytest.mark.slow
def test_tags_and_prices_tell_a_users_taste() -> None:
    nothing, tags, price = (tastes(kind)[1] for kind in ("nothing", "tags", "price"))
    assert tags > nothing + 0.15, f"right with tags {tags}, without {nothing}"
    assert price > nothing + 0.15, f"right with prices {price}, without {nothing}"


@pytest.mark.slow
def test_a_probability_is_how_often_it_comes() -> None:
    """Users choose at random, each of ten items with a chance that is known."""
    chances = np.array([0.3, 0.2, 0.15, 0.1, 0.08, 0.06, 0.05, 0.03, 0.02, 0.01])
    rng = np.random.default_rng(0)
    model = Contextual(negatives=20)
    events = [Example(f"u{k}", f"i{item}", 1.0, 60.0 * k) for k, item in enumerate(rng.choice(10, 4_000, p=chances))]
    for event in events:
        model.learn_one(event.user, event.item, 1.0, {"timestamp": event.timestamp})
    said = dict(model.top("eve", 10))
    assert sum(said.values()) == pytest.approx(1.0, abs=0.15)
    for item, chance in enumerate(chances):
        assert said[f"i{item}"] == pytest.approx(chance, rel=0.3, abs=0.01), said


@pytest.mark.slow
@pytest.mark.parametrize("negatives", [5, 50])
def test_the_prior_is_corrected_however_many_negatives_there_are(negatives: int) -> None:
    rng = np.random.default_rng(1)
    model = Contextual(candidates=50, negatives=negatives)
    items = rng.integers(0, 50, 2_500)
    for k, item in enumerate(items):
        model.learn_one(f"u{k}", f"i{item}", 1.0, {"timestamp": 60.0 * k})
    mean = np.mean([p for _, p in model.top("eve", 50)])
    assert mean == pytest.approx(1 / 50, rel=0.3)


def test_platt_scaling_finds_what_a_classifier_overstates() -> None:
    """Its logits are twice what they should be, and one too high."""

    class Overconfident(linear_model.LogisticRegression):
        def learn_one(self, x: dict[str, float], y: bool, w: float = 1.0) -> None:
            pass

        def predict_proba_one(self, x: dict[str, float]) -> dict[bool, float]:
            p = shifted(0.5, 2.0 * x["z"] + 1.0)
            return {True: p, False: 1.0 - p}

    draw = random.Random(0)
    model = PlattScaling(Overconfident(optim.SGD(0.0)), rate=0.02)
    for _ in range(20_000):
        z = draw.gauss(0.0, 1.5)
        model.learn_one({"z": z}, draw.random() < shifted(0.5, z))
    for z in (-2.0, 0.0, 2.0):
        assert logit(model.predict_proba_one({"z": z})[True]) == pytest.approx(z, abs=0.25)


def test_platt_scaling_sees_an_example_before_the_classifier_does() -> None:
    """A classifier that remembers is always right about what it has just learned."""

    class Memory(linear_model.LogisticRegression):
        seen: dict[str, bool] = {}  # noqa: RUF012

        def learn_one(self, x: dict[str, str], y: bool, w: float = 1.0) -> None:
            self.seen[x["id"]] = y

        def predict_proba_one(self, x: dict[str, str]) -> dict[bool, float]:
            p = {True: 0.99, False: 0.01}.get(self.seen.get(x["id"]), 0.7)  # type: ignore[arg-type]
            return {True: p, False: 1.0 - p}

    model = PlattScaling(Memory())
    for k in range(3_000):
        model.learn_one({"id": str(k)}, k % 2 == 0)
    assert model.predict_proba_one({"id": "new"})[True] == pytest.approx(0.5, abs=0.1)


def test_a_shift_of_the_logit() -> None:
    assert shifted(0.2, log(4)) == pytest.approx(0.5)
    assert 0.0 < shifted(0.0, -5.0) < shifted(1.0, 5.0) < 1.0
    assert logit(float("nan")) == -20.0


def test_a_list_costs_at_most_as_many_predictions_as_there_are_candidates() -> None:
    asked = 0

    class Counting(linear_model.LogisticRegression):
        def predict_proba_one(self, x: dict[str, float]) -> dict[bool, float]:
            nonlocal asked
            asked += 1
            return super().predict_proba_one(x)

    model = Contextual(candidates=30, negatives=5, classifier=Counting())
    for k in range(300):
        model.learn_one("u", f"i{k}")
    asked = 0
    assert len(model.top("u", 10)) == 10
    assert asked == 30
    assert len(model.top("u", 100)) == 100, "a longer list has more candidates"


def test_the_first_hundred_are_the_candidates_of_the_offers() -> None:
    model = Contextual(candidates=20, negatives=5)
    for k in range(200):
        model.learn_one(f"u{k % 9}", f"i{k * k % 61}", 1.0, {"timestamp": float(k)})
    offered = {item for item, _ in model.offers.top("u1", 20)}
    assert {item for item, _ in model.top("u1", 20)} == offered


def test_a_specification_makes_it() -> None:
    model = build_model("contextual(candidates=50, context=('device', 'country'))", repeats="exclude")
    assert isinstance(model, Contextual)
    assert (model.candidates, model.context, model.repeats) == (50, ("device", "country"), "exclude")


def test_many_are_predicted_as_each_is() -> None:
    model = Contextual()
    for k in range(100):
        model.learn_one(f"u{k % 9}", f"i{k * k % 23}", 1.0, {"timestamp": float(k)})
    items = ["i0", "nothing", "i4"]
    assert model.predict_many("u1", items) == [model.predict_one("u1", item) for item in items]


def test_contextual_model_is_a_member_of_the_blend() -> None:
    """And is trusted where it alone knows: the device decides."""
    model, without = build_model("blend+contextual(candidates=20)"), build_model("blend")
    draw = random.Random(0)
    hits = {True: 0, False: 0}
    for k in range(500):
        device = draw.choice(["phone", "desk"])
        example = Example(f"u{k % 60}", f"{device} {draw.randrange(3)}", 1.0, 60.0 * k, {"device": device})
        for is_with, each in ((True, model), (False, without)):
            (step,) = each.step_many([example], 3, score=True)
            hits[is_with] += k > 250 and step.position not in (None, -1)
    assert hits[True] > 1.4 * hits[False], hits
    assert model.member_weights()["contextual"] > 0.3


@pytest.mark.parametrize(
    "wrong", [{"candidates": 0}, {"negatives": 101}, {"negatives": 0}, {"n_features": 0}, {"max_items": -1}]
)
def test_arguments_that_cannot_work_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)) + ".* got "):
        Contextual(**wrong)  # type: ignore[arg-type]


def test_facts_keep_what_an_item_event_does_not_name() -> None:
    facts = ItemFeatures(10)
    facts.learn("a", {"tags": ["x", "y", "x"], "price": 9.0})
    facts.learn("a", {"title": "A"})
    facts.learn("a", {"price": 99.0})
    facts.learn("b", {"tags": "x"})
    assert len(facts.tags("a")) == 2
    assert facts.tags("b") == facts.tags("a")[:1]
    assert facts.price("a") == pytest.approx(log(100.0))
    facts.learn("a", {"tags": []})
    assert facts.tags("a") == ()
    facts.learn("c", {"tags": [f"t{k}" for k in range(50)]})
    assert len(facts.tags("c")) == MOST_TAGS


def test_facts_are_bounded_and_outlive_the_process() -> None:
    facts, loaded = ItemFeatures(64), ItemFeatures(64)
    loaded.load(facts.dump())
    for k in range(1_000):
        facts.learn(f"i{k}", {"price": float(k + 1), "tags": [str(k % 5)]})
        if k % 100 == 0:
            loaded.load(facts.dump_changes())
    loaded.load(facts.dump_changes())
    for each in (facts, loaded):
        assert len(each) == 64
        assert each.price("i999") == pytest.approx(log(1_001.0))
        assert each.price("i900") is None
    assert facts.dump_part(0, 1 << 20)[0]["facts.price"].tolist() == loaded.dump()["facts.price"].tolist()


def test_the_measures_of_reliability_by_hand() -> None:
    said = Said(np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, False, True, False]), 0.0)
    assert reliability(said, bins=2) == [(0.1, 0.0, 2), (0.9, 0.5, 2)]
    assert expected_calibration_error(said, bins=2) == pytest.approx((2 * 0.1 + 2 * 0.4) / 4)
    assert log_loss(said) == pytest.approx(-(3 * log(0.9) + log(0.1)) / 4)


def test_probabilities_hold_on_a_real_log(real_log: Callable[[str], Path]) -> None:
    said = say(Contextual(repeats="exclude"), events_of(real_log("ml-100k"), 1_200), {})
    assert said.probability.mean() == pytest.approx(said.chosen.mean(), rel=0.2)
    assert expected_calibration_error(said) < 0.4 * said.chosen.mean()
    uninformed = Said(np.full(len(said.chosen), said.chosen.mean()), said.chosen, 0.0)
    assert log_loss(said) < log_loss(uninformed)


@pytest.mark.slow
def test_replay_with_the_contextual_model(tmp_path: Path) -> None:
    settings = Settings(model="contextual(candidates=20)", repeats="exclude")
    for batch in (1, 50):
        replay(EVENTS, settings, limit=200, out=tmp_path / f"{batch}.jsonl", batch=batch)
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "50.jsonl").read_bytes()
    assert '"model":"contextual/1"' in (tmp_path / "1.jsonl").read_text()
