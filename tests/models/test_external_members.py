"""External members: models of any kind in the blend, with learned weights."""

import zlib
from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest

from flows.sample import EVENTS
from recmodels import Blend, Example, Recommender, build_model
from recmodels.base import Context
from recmodels.evaluation.metrics import RankingMetrics
from recmodels.specification import SpecificationError
from tests.support.teach import examples


class Noise(Recommender):
    """Says something else of every item, and means nothing."""

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        self.register(user, item)

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        return float(self.predict_many(user, [item], x)[0])

    def predict_many(self, user: str, items: Sequence[str], x: Context | None = None) -> Sequence[float]:
        salt = zlib.crc32(f"{user} {(x or {}).get('timestamp')}".encode())
        noise: list[float] = np.random.default_rng(salt).random(len(items)).tolist()
        return noise


class Oracle(Recommender):
    """Knows that whoever is called u7 takes i7 next."""

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        self.register(user, item)

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        return 1.0 if user[1:] == item[1:] else 0.0


class Broken(Oracle):
    """Says what is no number, or beyond all numbers."""

    def predict_many(self, user: str, items: Sequence[str], x: Context | None = None) -> Sequence[float]:
        return [(float("nan"), float("inf"), -1e300, 1e300)[k % 4] for k in range(len(items))]


def hit_rate(model: Recommender, examples: Sequence[Example]) -> float:
    metrics = RankingMetrics(k=10)
    for step in model.step_many(examples, n=10, score=True):
        if step.position is not None:
            metrics.update(step.position)
    return metrics.hit_rate


def bundled(count: int) -> list[Example]:
    return list(islice(examples(EVENTS), count))


@pytest.mark.slow
def test_noise_costs_less_than_a_fiftieth() -> None:
    log = bundled(12_000)
    alone = hit_rate(build_model("blend", "exclude"), log)
    noisy = hit_rate(build_model("blend+tests.models.test_external_members:Noise", "exclude"), log)
    assert alone > 0.1
    assert noisy > 0.98 * alone


@pytest.mark.slow
def test_the_weights_find_out_who_is_right() -> None:
    draw = np.random.default_rng(5)
    log = []
    for k in range(4_000):
        number = draw.integers(30)
        log.append(
            Example(f"u{number}", f"i{number}" if draw.random() < 0.9 else f"i{draw.integers(30)}", 1.0, k * 60.0)
        )
    draw.shuffle(log)  # type: ignore[arg-type]
    model = Blend(outside="tests.models.test_external_members:Noise + tests.models.test_external_members:Oracle")
    model.step_many(log)
    weights = model.member_weights()
    assert weights["oracle"] > 5 * abs(weights["noise"])
    assert next(iter(model.explain("u7")[0].parts)) == "oracle"
    assert model.explain("u7")[0].item == "i7"


def test_scores_that_are_no_numbers_have_no_effect() -> None:
    log = bundled(300)
    broken = Blend(outside="tests.models.test_external_members:Broken")
    for step in broken.step_many(log):
        assert all(0.0 <= score <= 1.0 for score in step.scores)


def test_any_river_model_is_a_member() -> None:
    model = build_model("blend(max_users=500) + river:reco.BiasedMF(n_factors=4)", "exclude")
    assert isinstance(model, Blend)
    steps = model.step_many(bundled(300), n=5)
    assert model.version == "blend+river.BiasedMF/1"
    assert model.external_members.models[0].max_users == 500  # type: ignore[attr-defined]
    assert len(steps[-1].items) == 5


def test_state_goes_in_parts_and_comes_back() -> None:
    outside = "popularity(half_life=9.0) + factorization"
    live, loaded = Blend(outside=outside), Blend(outside=outside)
    log = bundled(400)
    live.step_many(log[:300])
    place, parts = 0, 0
    while True:
        part, place = live.dump_part(place, 4_096)
        loaded.load({name: array.copy() for name, array in part.items()})
        parts += 1
        if place == 0:
            break
    assert parts > 10
    assert loaded.step_many(log[300:]) == live.step_many(log[300:])


def test_an_erased_user_is_a_stranger_to_every_member() -> None:
    model = Blend(outside="tests.models.test_external_members:Oracle + history")
    model.step_many([Example("u1", "i1", 1.0, 60.0 * k) for k in range(5)] + [Example("u2", "i2", 1.0, 400.0)])
    model.forget_one("u1")
    assert not model.external_members.models[0].has_seen("u1", "i1")
    assert not model.external_members.models[1].has_seen("u1", "i1")


@pytest.mark.parametrize(
    ("specification", "said"),
    [
        ("blend+nothing", "there is no model 'nothing'"),
        ("popularity+blend", "in front of the first"),
        ("covisitation+popularity", "learns no weights"),
        ("blend+", "expected a name"),
        ("blend(outside='x'", "expected a name"),
    ],
)
def test_wrong_members_are_refused_by_name(specification: str, said: str) -> None:
    with pytest.raises(SpecificationError, match=said):
        build_model(specification)
