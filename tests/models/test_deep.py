"""The deep models: planted truths, live inputs between trainings, and what they learn from."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recmodels import Example, Recommender, build_model

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.deep

pytest.importorskip("recmodels.deep", reason="needs the extra: pip install 'freshrank[deep]'", exc_type=ImportError)

from recmodels.deep import MLP, SASRec, network  # noqa: E402
from recmodels.deep.examples import Examples  # noqa: E402
from recmodels.deep.histories import Entries  # noqa: E402
from recmodels.deep.online_inputs import SPANS  # noqa: E402
from recmodels.deep.retrained import RetrainedModel  # noqa: E402
from recmodels.deep.sequences import cut  # noqa: E402

CIRCLE = 12
QUICK: dict[str, Any] = {"width": 16, "learning_rate": 0.01, "least_steps": 300, "batch_size": 16}
SMALL: dict[type[RetrainedModel], dict[str, Any]] = {
    MLP: {**QUICK, "recent": 3, "batch_size": 64, "dropout": 0.0},
    SASRec: {**QUICK, "length": 8, "blocks": 1, "dropout": 0.0},
}
deep = pytest.mark.parametrize("kind", [MLP, SASRec])


def circle(users: int, steps: int) -> list[Example]:
    """Users who walk round a circle of items, each from somewhere else: what comes next is known, but not at first."""
    return [Example(f"u{user}", f"i{(5 * user + step) % CIRCLE}") for step in range(steps) for user in range(users)]


def learn(model: Recommender, events: list[Example]) -> None:
    for event in events:
        model.learn_one(event.user, event.item, event.y)


@pytest.fixture(scope="module")
def walked() -> dict[type[RetrainedModel], RetrainedModel]:
    """Models that were trained once, on a circle."""
    events = circle(users=24, steps=10)
    models: dict[type[RetrainedModel], RetrainedModel] = {}
    for kind in (MLP, SASRec):
        models[kind] = kind(retrain_every=len(events), **SMALL[kind])
        learn(models[kind], events)
    return models


@deep
def test_deep_models_learn_the_next_item_from_live_inputs(kind: Any, walked: Any) -> None:
    model = walked[kind]
    weights = {name: array.copy() for name, array in model._weights.items()}
    right = 0
    for step in range(CIRCLE):
        model.learn_one("new", f"i{(3 + step) % CIRCLE}")
        right += model.top("new", 1)[0][0] == f"i{(4 + step) % CIRCLE}"
    assert right >= CIRCLE - 1, "a user who came after the training is followed from event to event"
    assert all(np.array_equal(weights[name], array) for name, array in model._weights.items())


@deep
def test_weights_are_trained_by_the_number_of_events(kind: Any) -> None:
    model = kind(retrain_every=20, epochs=1, **{**SMALL[kind], "least_steps": 1})
    trained = []
    for number, event in enumerate(circle(users=5, steps=13), 1):
        before = model._weights
        learn(model, [event])
        if model._weights is not before:
            trained.append(number)
    assert trained == [20, 40, 60]


@deep
def test_a_window_without_anything_liked_ends(kind: Any) -> None:
    model = kind(retrain_every=2, epochs=1, window=1, **{**SMALL[kind], "least_steps": 1})
    learn(
        model, [Example("ann", "tea"), Example("ann", "tea", -1.0), Example("bob", "tea"), Example("bob", "jam", 0.0)]
    )
    assert [item for item, _ in model.top("stranger")] == ["tea"]


@deep
def test_a_seed_decides(kind: Any) -> None:
    lists = []
    for seed in (1, 1, 2):
        model = kind(retrain_every=40, epochs=1, seed=seed, **{**SMALL[kind], "least_steps": 5})
        learn(model, circle(users=5, steps=10))
        lists.append(model.top("u0", CIRCLE))
    assert lists[0] == lists[1] != lists[2]


@deep
def test_new_items_rank_below_trained_items_by_popularity(kind: Any, walked: Any) -> None:
    model = kind(**walked[kind]._get_params())
    model.load(walked[kind].dump())
    for number, item in enumerate(["rare", "often", "often", "often"]):
        model.learn_one(f"visitor {number}", item)
    listed = [item for item, _ in model.top("stranger", 100)]
    assert len(listed) == CIRCLE + 2
    assert listed[-2:] == ["often", "rare"]


@deep
def test_before_the_first_training_the_most_taken_come_first(kind: Any) -> None:
    model = kind()
    learn(model, [Example(f"u{k}", item) for k, item in enumerate(["tea", "jam", "pie", "jam", "pie", "pie"])])
    assert [item for item, _ in model.top("stranger")] == ["pie", "jam", "tea"]


@deep
def test_networks_grow_and_keep_what_they_know(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "FIRST_ROWS", CIRCLE + 1)
    events = circle(users=12, steps=10)
    model = kind(retrain_every=len(events), epochs=1, **SMALL[kind])
    learn(model, events)
    shapes = {name: array.shape for name, array in model._weights.items()}
    model.least_steps, model.learning_rate = 1, 0.0
    learn(model, [Example(f"other {k}", f"new {k}") for k in range(len(events))])
    for name, array in model._weights.items():
        assert (array.shape[0] > shapes[name][0]) == (name in model.by_item | model.by_user), name
    learn(model, [Example("walker", "i4")])
    assert model.top("walker", 1)[0][0] == "i5"


def test_an_erased_users_weights_are_gone(walked: Any) -> None:
    model = MLP(**walked[MLP]._get_params())
    model.load(walked[MLP].dump())
    row = model._live.users.row("u3")
    assert model._weights["users/embeddings"][row].any()
    model.dump()
    model.forget_one("u3")
    assert not model.dump_changes()["weights.users/embeddings"][row].any()


def test_state_of_another_shape_is_refused_by_deep_models(walked: Any) -> None:
    record = walked[SASRec].dump()
    with pytest.raises(ValueError, match=r"items/embeddings: expected the shape \(1024, 8\); got \(1024, 16\)"):
        walked[SASRec].clone({"width": 8}).load(record)
    with pytest.raises(ValueError, match="history/embeddings"):
        MLP().load(record)


def test_vectors_that_are_kept_do_not_outlive_an_item() -> None:
    """A full catalogue forgets an item, and so it is gone from what the transformer reads: at once, too."""
    model = SASRec(retrain_every=20, epochs=1, max_items=CIRCLE, **{**SMALL[SASRec], "least_steps": 1})
    learn(model, circle(users=2, steps=10))
    model.learn_one("keeper", "i3")
    before = model.predict_one("keeper", "i3")
    learn(model, [Example("other", f"i{(4 + k) % CIRCLE}") for k in range(CIRCLE - 1)])
    assert model.predict_one("keeper", "i3") == before
    learn(model, [Example("other", "new")])
    loaded = model.clone()
    loaded.load(model.dump())
    assert not model.has_seen("keeper", "i3")
    assert model.predict_one("keeper", "i5") == model.predict_one("stranger", "i5")
    assert model.predict_one("keeper", "i5") == loaded.predict_one("keeper", "i5")


def test_the_names_of_weights_do_not_depend_on_what_was_made_before() -> None:
    first, second = SASRec(length=5, width=4, heads=1), SASRec(length=6, width=4, heads=1)
    names = [model._network(1_024).names for model in (first, second)]
    assert names[0] == names[1]
    assert len(set(names[0])) == len(names[0])


def test_a_cut_holds_every_item_once_and_in_order() -> None:
    draw = np.random.default_rng(3)
    sizes = draw.integers(1, 40, size=30)
    users = np.repeat(np.arange(1, 31), sizes).astype(np.int32)
    items = np.arange(1, len(users) + 1, dtype=np.int32)
    rewards = draw.choice([1.0, 1.0, -1.0], size=len(users)).astype(np.float32)
    entries = Entries(users, items, items.astype(np.int64), rewards)
    target, weight = cut(entries, since=100, length=7, draw=draw)
    expected = (rewards > 0) & (items >= 100)
    assert target[target > 0].tolist() == items[expected].tolist()
    for sequence, counts in zip(target, weight, strict=True):
        filled = np.count_nonzero(sequence)
        assert len(set(users[sequence[:filled] - 1])) == 1, "a sequence is of one user"
        assert not counts[filled:].any()
        assert counts[1:filled].all()
        before = (users == users[sequence[0] - 1]) & (rewards > 0) & (items < sequence[0])
        assert (counts[0] == 1.0) == (not before.any()), "only a user's first item follows on nothing"


def test_examples_are_what_was_asked_at_the_time() -> None:
    """What the perceptron learns from is, to the bit, what it would have been asked with just before each event."""
    model = MLP(recent=4)
    draw = np.random.default_rng(5)
    asked = []
    for _ in range(max(SPANS) + 300):
        event = Example(f"u{draw.integers(40)}", f"i{draw.integers(60)}", float(draw.choice([1.0, 1.0, -1.0])))
        asked.append(model._query(model._live.users.row(event.user), 61))
        learn(model, [event])
    examples = Examples(model._live.histories.entries(), recent=4)
    candidates = np.arange(61, dtype=np.int32)[None]
    for place in range(0, len(asked), 7):
        number = int(examples.entries.number[place])
        then = asked[number - 1]
        now = examples.at(np.array([place]), candidates)
        assert np.array_equal(now.history, then.history)
        assert np.array_equal(now.activity, then.activity)
        assert np.array_equal(now.taken[:, 1:], then.taken[:, 1:])


@deep
def test_a_blend_is_told_nothing_of_what_came_after_the_training(kind: Any, walked: Any) -> None:
    model = kind(**walked[kind]._get_params())
    assert np.isnan(model.predict_many("u0", ["i0"])).all(), "before any training there is nothing to say"
    model.load(walked[kind].dump())
    model.learn_one("u0", "new")
    said = model.predict_many("u0", ["new", "i1", "i2", "never seen"])
    assert np.isnan(said).tolist() == [True, False, False, True]
    assert said[1:3] == [model.predict_one("u0", "i1"), model.predict_one("u0", "i2")]


@pytest.mark.parametrize("name", ["mlp", "sasrec"])
def test_members_of_a_blend(name: str) -> None:
    """The blend learns how far to trust the member, and a blend that was saved goes on as it would have."""
    kind = {"mlp": MLP, "sasrec": SASRec}[name]
    events = circle(users=12, steps=30)
    arguments = ", ".join(f"{key}={value!r}" for key, value in {**SMALL[kind], "least_steps": 100}.items())
    live, loaded = (build_model(f"blend+deep:{name}(retrain_every=120, {arguments})") for _ in range(2))
    learn(live, events[:250])
    loaded.load(live.dump())
    assert live.version.startswith(f"blend+{name}/")
    assert live.member_weights()[name] > 0.0, "what it says is right, and so it counts"
    assert live.step_many(events[250:], 5) == loaded.step_many(events[250:], 5)


def test_specifications_name_them() -> None:
    assert isinstance(build_model("deep:mlp"), MLP)
    model = build_model("deep:sasrec(retrain_every=100, width=32)", repeats="exclude")
    assert isinstance(model, SASRec)
    assert (model.retrain_every, model.width, model.repeats) == (100, 32, "exclude")


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        (SASRec, {"width": 10, "heads": 3}, "width 10 and 3 heads"),
        (SASRec, {"retrain_every": 0}, "retrain_every"),
        (SASRec, {"dropout": 1.0}, "dropout"),
        (MLP, {"epochs": 0}, "epochs"),
        (MLP, {"negatives": -1}, "negatives"),
        (MLP, {"learning_rate": 2.0}, "learning_rate"),
    ],
)
def test_wrong_arguments_are_refused(kind: Any, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**arguments)


def test_another_backend_is_refused() -> None:
    code = (
        "import keras.src.backend.config as config, keras\n"
        "keras.backend.backend = lambda: 'torch'\n"
        "import recmodels.deep\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "imported before with the backend 'torch'" in done.stderr.splitlines()[-1]


def test_transformer_of_0_1_0_loads_with_open_gates() -> None:
    events = circle(users=24, steps=10)
    old = SASRec(retrain_every=len(events), gated=False, **SMALL[SASRec])
    learn(old, events)
    new = SASRec(retrain_every=len(events), **SMALL[SASRec])
    new.load(old.dump())
    for user in ("u1", "u5", "a stranger"):
        assert [item for item, _ in new.top(user)] == [item for item, _ in old.top(user)]
        assert np.allclose([score for _, score in new.top(user)], [score for _, score in old.top(user)], atol=1e-4)
