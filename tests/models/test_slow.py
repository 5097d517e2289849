"""The slow member: planted truths, what a swap changes, and when it happens."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recmodels import Blend, Example, build_model
from recmodels.checks.consistency import expect_whole
from recmodels.checks.equality import expect_same_record
from recmodels.fused.slow_member import swaps_of
from recmodels.kernels.members import slow
from recmodels.slow.options import SlowOptions
from recmodels.slow.trainer import AtOnce, short
from recmodels.slow.work import Trained, Work
from recmodels.specification import SpecificationError

ROOT = Path(__file__).parent.parent.parent
CIRCLE = 24
QUICK = "slow(width=16, first=200, epochs=3, least_steps=150, learning_rate=0.01, length=12, shadow=40)"


def walk(count: int, users: int = 12, seed: int = 1) -> list[Example]:
    """Users who walk round a circle of items in steps of two, or of one: only the item before tells which."""
    draw, at, step = np.random.default_rng(seed), {}, {}
    events = []
    for number in range(count):
        user = int(draw.integers(users))
        if user not in at or draw.random() < 0.02:
            at[user], step[user] = int(draw.integers(CIRCLE)), int(draw.integers(1, 3))
        at[user] = (at[user] + step[user]) % CIRCLE
        events.append(Example(f"u{user}", f"i{at[user]}", timestamp=float(number)))
    return events


def model_of(slow: str = QUICK, **arguments: Any) -> Blend:
    model = Blend(slow=slow, max_users=50, max_items=60, max_pairs=2_000, **arguments)
    model.allocate()
    return model


def member_of(model: Blend) -> Any:
    assert model.slow_member is not None
    return model.slow_member


class Later(AtOnce):
    """Has the weights of a training only after it was asked for them a number of times, as a trainer beside has."""

    def __init__(self, wait: int) -> None:
        super().__init__()
        self.wait = wait
        self.asked = 0

    def begin(self, work: Work, options: SlowOptions) -> None:
        super().begin(work, options)
        self.asked = 0

    def result(self, digest: int) -> Trained | None:
        self.asked += 1
        return super().result(digest) if self.asked > self.wait else None


class Worse(AtOnce):
    """Gives noise from its second training on."""

    trainings = 0

    def result(self, digest: int) -> Trained | None:
        trained = super().result(digest)
        if trained is None:
            return None
        self.trainings += 1
        if self.trainings > 1:
            noise = np.random.default_rng(1).standard_normal(trained.weights["vector"].shape) * 3.0
            trained = trained._replace(weights={**trained.weights, "vector": noise.astype(np.float32)})
        return trained


@pytest.fixture(scope="module")
def walked() -> Blend:
    pytest.importorskip("jax", reason="needs the extra: pip install 'freshrank[deep]'")
    model = model_of()
    model.step_many(walk(1_500), n=5)
    return model


@pytest.mark.deep
def test_net_learns_the_direction_of_a_walk_and_the_blend_trusts_it(walked: Blend) -> None:
    figures = member_of(walked).figures()
    assert figures["training_loss"] < 0.6 * np.log(CIRCLE), "a guess among all items has a loss of log(24)"
    assert figures["loss"] < 0.6 * np.log(CIRCLE)
    assert figures["trusted"] == 1.0
    weights = walked.member_weights()
    assert weights["slow"] > 0.1
    assert walked.version == "blend+slow/1"
    assert "slow" in walked.explain("u1", 3)[0].parts


@pytest.mark.deep
def test_trainings_come_after_fixed_numbers_of_events_and_double(walked: Blend) -> None:
    assert [data for data, _ in member_of(walked).swaps()] == [200, 400, 800]
    assert all(data == swap for data, swap in member_of(walked).swaps())


@pytest.mark.deep
@pytest.mark.parametrize("size", [1, 7, 300])
def test_lists_do_not_depend_on_how_events_are_cut(walked: Blend, size: int) -> None:
    model, events = model_of(), walk(1_500)
    for start in range(0, len(events), size):
        model.step_many(events[start : start + size], n=5)
    expect_same_record(model.dump(), copy.deepcopy(walked).dump())


@pytest.mark.deep
def test_state_goes_on_where_it_was_saved(walked: Blend) -> None:
    events = walk(1_500)
    model = model_of()
    model.step_many(events[:850], n=5)  # weights are in shadow
    record = model.dump()
    model.step_many(events[850:860], n=5)
    changes = model.dump_changes()
    resumed = model_of()
    resumed.load(record)
    resumed.load(changes)
    steps = [twin.step_many(events[860:], n=5) for twin in (model, resumed)]
    assert steps[0] == steps[1]
    expect_same_record(resumed.dump(), copy.deepcopy(walked).dump())


@pytest.mark.deep
def test_replay_with_recorded_swaps_gives_the_lists_of_the_run(walked: Blend) -> None:
    events, live = walk(1_500), model_of()
    member_of(live).trainer = Later(wait=30)
    lists = [live.step_many([event], n=5)[0] for event in events]
    swaps = member_of(live).swaps()
    assert len(swaps) == 3
    assert all(swap == data + 30 for data, swap in swaps)
    assert swaps_of(live.dump()) == swaps
    again = model_of(QUICK.replace("slow(", f"slow(swaps={tuple(swaps)}, "))
    assert again.step_many(events, n=5) == lists
    assert lists != model_of().step_many(events, n=5), "the moment of a swap decides"


@pytest.mark.deep
def test_worse_weights_are_rolled_back_and_change_no_list(walked: Blend) -> None:
    events, model, frozen = walk(700), model_of(), model_of(QUICK.replace("slow(", "slow(growth=100.0, "))
    member_of(model).trainer = Worse()
    lists = model.step_many(events, n=5)
    figures = member_of(model).figures()
    assert (figures["swaps"], figures["promoted"], figures["rolled_back"]) == (2, 0, 1)
    assert lists == frozen.step_many(events, n=5), "neither in shadow nor after it"


@pytest.mark.deep
def test_new_item_begins_at_the_mean_of_the_items_before_it(walked: Blend) -> None:
    model = copy.deepcopy(walked)
    model.step_many([Example("u1", f"i{k}") for k in (3, 4, 5)])
    model.step_many([Example("u1", "new")])
    items, slot = model.memory.state.slow.items, int(model.memory.state.slow.clock[slow.ACTIVE])
    before = list(model.memory.state.shared.users.recent[model.memory.users.row("u1")][1:6])
    assert [model.memory.items.names[row] for row in before[:3]] == ["i5", "i4", "i3"]
    row = model.memory.items.row("new")
    assert items.seen[row, slot] == 1
    assert np.allclose(items.vector[row, slot], items.vector[before, slot].mean(axis=0), atol=1e-5)


@pytest.mark.deep
def test_erasure_and_eviction_leave_nothing(walked: Blend) -> None:
    model = copy.deepcopy(walked)
    row = model.memory.users.row("u1")
    assert model.memory.state.slow.users.hidden[row].any()
    model.forget_one("u1")
    assert not model.memory.state.slow.users.hidden[row].any()
    model.step_many([Example(f"v{k}", f"new{k}") for k in range(200)])
    expect_whole(model)


@pytest.mark.deep
def test_undo_takes_the_item_out_of_the_state(walked: Blend) -> None:
    model, other = model_of(), model_of()
    model.enable_undo()
    other.enable_undo()
    events = walk(450)
    for each in (model, other):
        each.step_many(events, n=5)
    model.step_many([Example("u1", "i3", timestamp=450.0)])
    assert model.undo_one("u1", "i3")
    rows = [each.memory.users.row("u1") for each in (model, other)]
    assert rows[0] == rows[1]
    assert model.memory.state.slow.users.generation[rows[0], 0] == 0
    assert other.memory.state.slow.users.generation[rows[1], 0] > 0


@pytest.mark.deep
def test_lost_training_is_begun_anew() -> None:
    class Dead(AtOnce):
        def begin(self, work: Work, options: SlowOptions) -> None:
            if self.deaths:
                super().begin(work, options)
            self.deaths += 1

        deaths = 0

    pytest.importorskip("jax")
    model = model_of()
    member_of(model).trainer = Dead()
    model.step_many(walk(500))
    assert member_of(model).swaps()[0] == (400, 400)


class Noise(AtOnce):
    """Gives vectors that say nothing."""

    def can_begin(self) -> bool:
        return True

    def begin(self, work: Work, options: SlowOptions) -> None:
        self._done = {short(work.digest()): Trained(work.names, work.weights, 1.0, 1)}


def noisy(monkeypatch: pytest.MonkeyPatch, least_gain: float) -> Blend:
    monkeypatch.setattr("recmodels.slow.trainer.find_spec", lambda name: name)
    model = model_of(QUICK.replace("slow(", f"slow(least_gain={least_gain}, "), repeats="exclude")
    member_of(model).trainer = Noise()
    return model


def users_who_take_what_is_popular(count: int) -> list[Example]:
    draw = np.random.default_rng(5)
    users, items = draw.integers(40, size=count), np.minimum(draw.zipf(1.3, size=count), 50)
    return [
        Example(f"u{user}", f"i{item}", timestamp=float(k))
        for k, (user, item) in enumerate(zip(users, items, strict=True))
    ]


def test_column_that_says_nothing_changes_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    events, model = users_who_take_what_is_popular(2_500), noisy(monkeypatch, 0.01)
    without = Blend(max_users=50, max_items=60, max_pairs=2_000, repeats="exclude")
    assert model.step_many(events, n=5) == without.step_many(events, n=5)
    figures = member_of(model).figures()
    assert figures["swaps"] > 2
    assert (figures["trusted"], model.member_weights()["slow"]) == (0.0, 0.0)
    assert figures["gain"] < 0.01
    assert noisy(monkeypatch, 0.0).step_many(events, n=5) != without.step_many(events, n=5), (
        "it would, without probation"
    )


def test_a_work_survives_its_arrays() -> None:
    weights = {"vector": np.ones((3, 2), np.float32)}
    work = Work(7, 1, ["ä", "b"], np.array([1, 2], np.int32), np.array([2], np.int32), np.ones(1, np.uint8), weights)
    assert Work.of_arrays(work.arrays()).digest() == work.digest()
    trained = Trained(["ä", "b"], weights, 1.5, 3)
    again = Trained.of_arrays(trained.arrays())
    assert (again.names, again.loss, again.steps) == (["ä", "b"], 1.5, 3)


@pytest.mark.parametrize(
    ("specification", "said"),
    [
        ("slow", "there is no model 'slow'"),
        ("blend+slow+slow", "expected slow at most once"),
        ("blend+slow(width=0)", "width"),
        ("blend+slow(swaps=((5, 3),))", "expected swaps as pairs of rising numbers"),
        ("popularity+slow", "expected a blend"),
    ],
)
def test_wrong_specification_is_refused(specification: str, said: str) -> None:
    with pytest.raises(SpecificationError, match=said.replace("(", r"\(")):
        build_model(specification)


def test_blend_without_it_has_no_column_and_no_state() -> None:
    model = Blend(max_users=50, max_items=60, max_pairs=2_000)
    assert "slow" not in model.column_names()
    assert not any("slow" in name for name in model.dump())
