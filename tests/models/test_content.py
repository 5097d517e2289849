"""Tags of items and interests of users, on data whose right answer is known, and on item events of all sorts."""

import random
from math import log2, sqrt
from typing import Any

import numpy as np
import pytest

from recmodels import Blend, Content, Example
from recmodels.checks.consistency import expect_whole
from recmodels.checks.equality import expect_same_state
from recmodels.fused.model import FusedModel
from recmodels.fused.tags import price_bucket, tags_of
from recmodels.fused.warm_up import warm_up
from recmodels.kernels import forgetting, item_events
from recmodels.kernels.members.content import INTEREST_DECAY, ITEM_TAGS, NEWEST, USER_TAGS
from recmodels.kernels.shared import EVENTS, TAGGED
from recmodels.kernels.state import columns_of

COLOURS = ("red", "blue")


def listed(model: FusedModel, user: str, n: int = 10) -> list[str]:
    return [item for item, _ in model.top(user, n)]


def teach(model: FusedModel, pairs: str) -> None:
    """Learn "user:item user:item …", a minute apart."""
    start = int(model.memory.state.shared.counters[EVENTS])
    events = [pair.partition(":") for pair in pairs.split()]
    model.step_many([Example(user, item, 1.0, 60.0 * k) for k, (user, _, item) in enumerate(events, start)], n=0)


def painted(model: FusedModel, turns: int = 80, users: int = 40) -> FusedModel:
    """Even users take red items and odd users blue ones, each of the newest. Then one more of each is announced."""
    draw = random.Random(4)
    for turn in range(turns):
        for colour in COLOURS:
            model.learn_item(f"{colour} {turn}", {"tags": [colour]})
        for user in draw.sample(range(users), users // 2):
            item = f"{COLOURS[user % 2]} {max(0, turn - draw.randrange(3))}"
            model.step_many([Example(f"u{user}", item, 1.0, 9_000.0 * turn + user)], n=0)
    for colour in COLOURS:
        model.learn_item(f"new {colour}", {"tags": [colour]})
    return model


@pytest.mark.parametrize("repeats", ["allow", "exclude"])
def test_a_new_item_reaches_those_it_concerns_before_anybody_has_touched_it(repeats: str) -> None:
    model = painted(Blend(repeats=repeats))
    for user in range(40):
        own, other = COLOURS if user % 2 == 0 else COLOURS[::-1]
        assert f"new {own}" in listed(model, f"u{user}", 5), f"u{user}"
        assert f"new {other}" not in listed(model, f"u{user}", 3), f"u{user}"


def test_new_item_without_tags_is_in_no_list() -> None:
    for features in (None, {}, {"stock": 5}, {"tags": 7, "price": "dear", "title": None}):
        model = Blend()
        teach(model, "ann:tea bob:jam")
        model.learn_item("pie", features)
        model.learn_item("pie", features, available=True)
        assert listed(model, "ann") == listed(model, "ann", 100)
        assert "pie" not in listed(model, "ann")


def test_a_hidden_new_item_stays_hidden_until_it_is_shown() -> None:
    model = painted(Blend(repeats="exclude"))
    model.learn_item("secret", {"tags": ["red"]}, available=False)
    assert "secret" not in listed(model, "u0", 1_000)
    assert "secret" not in listed(model, "stranger", 1_000)
    model.learn_item("secret", available=True)
    assert "secret" in listed(model, "u0")
    expect_whole(model)
    model.learn_item("secret", available=False)
    assert "secret" not in listed(model, "u0", 1_000)


def test_old_items_that_are_hidden_take_no_room_among_the_new_ones() -> None:
    model = Content()
    for k in range(3 * NEWEST):
        model.learn_item(f"shelf {k}", {"tags": [f"own {k}"]}, available=False)
    model.learn_item("fresh", {"tags": ["red"]})
    for k in range(NEWEST - 1):
        model.learn_item(f"later {k}", {"tags": [f"later {k}"]}, available=False)
    assert listed(model, "ann", 1_000) == ["fresh"]


def test_many_others_do_not_push_a_new_item_out_for_those_it_concerns() -> None:
    model = painted(Blend(repeats="exclude"))
    for k in range(5 * NEWEST):
        model.learn_item(f"grey {k}", {"tags": [f"grey {k % 50}"]})
    assert "new red" in listed(model, "u0")


def test_an_announcement_that_is_repeated_changes_nothing() -> None:
    once, often = painted(Content()), painted(Content())
    for _ in range(5):
        often.learn_item("new red", {"tags": ["red"]})
        often.learn_item("red 0", {"tags": ["red"]})
    assert listed(once, "u0", 100) == listed(often, "u0", 100)
    tags = often.memory.state.content.tags
    assert int(tags.carriers[often.memory.tags.row("red")]) == 81
    expect_whole(often)


def test_changed_tags_take_the_place_of_those_before() -> None:
    model = painted(Content())
    red, blue = model.memory.tags.row("red"), model.memory.tags.row("blue")
    before = model.predict_one("u1", "new red")
    model.learn_item("new red", {"tags": ["blue", "loud"]})
    assert model.predict_one("u1", "new red") > before
    row = model.memory.items.row("new red")
    newest, carriers = model.memory.state.content.tags.newest, model.memory.state.content.tags.carriers
    assert row not in newest[red]
    assert row in newest[blue]
    assert (int(carriers[red]), int(carriers[blue])) == (80, 82)
    model.learn_item("new red", {"stock": 4})
    assert int(carriers[blue]) == 82, "features without a tag change nothing"
    expect_whole(model)


def test_items_that_were_known_before_their_tags_are_not_new() -> None:
    model = Content()
    teach(model, "ann:tea bob:tea")
    model.learn_item("tea", {"tags": ["hot"]})
    assert not model.memory.state.shared.items.newness.any()
    assert not model.memory.state.content.newest.any()
    assert listed(model, "eve") == ["tea"]


def test_columns_by_hand() -> None:
    model = Content(repeats="exclude")
    for item, tags in (("a", "x"), ("b", "x|y"), ("c", "y"), ("d", "z")):
        model.learn_item(item, {"tags": tags})
    teach(model, "ann:a ann:b")
    state = model.memory.state
    model.top("ann", 4)
    column = {
        str(model.memory.items.names[state.shared.candidates.item[s]]): state.shared.candidates.column[
            columns_of("content"), s
        ].tolist()
        for s in range(int(state.shared.candidates.size[0]))
    }
    # x: seen in a, which has faded once, and in b, which has two tags; two of four items have it, as have y.
    x, y, rarity = INTEREST_DECAY + 1 / sqrt(2), 1 / sqrt(2), log2(1 + 4 / 2)
    assert column["c"][0] == pytest.approx(y * rarity / (rarity * sqrt(x * x + y * y)), rel=1e-5)
    assert column["d"][0] == 0.0
    # nobody has touched c and d
    assert column["c"][2:] == [1.0, column["c"][0]]
    assert column["d"][2:] == [1.0, 0.0]
    teach(model, "bob:c")
    assert state.shared.items.newness[model.memory.items.row("c")] == 0.5
    # lift: what y has of the events, for each of its two items, against all, for each of the four.
    decay = 2 ** (1 / 3_000)
    whole = 1 + sum(decay**k for k in (1, 2, 3)) / 4
    of_y = 1 + sum(decay**k for k in (2, 3)) / 2
    model.top("eve", 4)
    place = state.shared.candidates.item[: state.shared.candidates.size[0]].tolist().index(model.memory.items.row("c"))
    assert state.shared.candidates.column[columns_of("content")[1], place] == pytest.approx(
        log2(of_y / whole), rel=1e-4
    )


def test_interests_are_bounded_and_fade() -> None:
    model = Content()
    model.learn_item("old", {"tags": ["old"]})
    for k in range(200):
        model.learn_item(f"i{k}", {"tags": [f"t{k}", "always"]})
    teach(model, "ann:old " + " ".join(f"ann:i{k}" for k in range(200)))
    interests, row = model.memory.state.content.users, model.memory.users.row("ann")
    names = [model.memory.tags.names[tag] for tag in interests.tag[row]]
    assert len(set(names)) == USER_TAGS
    assert names[int(np.argmax(interests.weight[row]))] == "always"
    assert "t199" in names
    assert "old" not in names
    expect_whole(model)


def test_erasure_clears_the_interests() -> None:
    model = painted(Blend())
    row = model.memory.users.row("u0")
    assert model.memory.state.content.users.tag[row].any()
    model.forget_one("u0")
    assert not model.memory.state.content.users.tag[row].any()
    assert model.top("u0", 20) == model.top("stranger", 20)
    expect_whole(model)


def test_content_without_item_events_has_no_effect() -> None:
    """A log without item events gives exactly the lists that a blend without the member gives."""

    class Before(Blend):
        members = Blend.members - {"content"}

    draw = random.Random(2)
    events = [Example(f"u{draw.randrange(50)}", f"i{int(draw.paretovariate(0.7)) % 90}", 1.0, k) for k in range(3_000)]
    now, before = Blend(), Before()
    assert now.step_many(events, 10) == before.step_many(events, 10)
    assert not now.memory.small["step"][:, columns_of("content")].any()
    assert not any(f"{name}.span" in now.dump() for name in ("interests", "item_tags"))


def announcing(model: FusedModel, seed: int, batch: int) -> list[Any]:
    """Events in batches of a size, with item events, availability and erasures between them at fixed places."""
    draw, steps, waiting = random.Random(seed), [], []
    for k in range(1_500):
        waiting.append(
            Example(f"u{draw.randrange(30)}", f"i{draw.randrange(60)}", draw.choice([1.0, 1.0, -1.0]), 60 * k)
        )
        deed = draw.random()
        if deed < 0.2 or len(waiting) == batch:
            steps += model.step_many(waiting, 5)
            waiting = []
        if deed < 0.15:
            tags = [f"t{draw.randrange(40)}" for _ in range(draw.randrange(6))]
            model.learn_item(f"i{draw.randrange(90)}", {"tags": tags}, draw.choice([None, None, True, False]))
        elif deed < 0.2:
            model.forget_one(f"u{draw.randrange(30)}")
    return steps + model.step_many(waiting, 5)


@pytest.mark.slow
@pytest.mark.parametrize("repeats", ["allow", "exclude"])
def test_batches_and_restarts_never_show(repeats: str) -> None:
    sizes = {"max_users": 20, "max_items": 50, "max_pairs": 120, "max_tags": 20}
    models = [Blend(repeats=repeats, **sizes) for _ in range(3)]
    steps = [announcing(model, 5, batch) for model, batch in zip(models, (1, 9, 1_000), strict=True)]
    assert steps[0] == steps[1] == steps[2]
    for model in models:
        expect_whole(model)
        expect_same_state(model, models[0])
    resumed = Blend(repeats=repeats, **sizes)
    resumed.load(models[0].dump())
    assert announcing(resumed, 6, 4) == announcing(models[0], 6, 4)
    expect_same_state(resumed, models[0])


@pytest.mark.parametrize("price", [1e9, 1e300, 10**400, 0, 0.0, 1e-300])
def test_a_price_is_a_tag(price: float) -> None:
    model = Blend()
    model.learn_item("tea", {"price": price})
    teach(model, "ann:jam")
    assert listed(model, "ann") == ["jam", "tea"]
    assert [name for name in model.memory.tags.names if name] == [f"price:{price_bucket(price)}"]


@pytest.mark.parametrize("price", [-1.0, -1e9, float("nan"), float("inf"), "12", "text", None, True, [5], {"eur": 5}])
def test_invalid_price_is_ignored(price: object) -> None:
    assert tags_of({"price": price, "tags": ["red"]}, ITEM_TAGS) == ["red"]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("red", ["red"]),
        (" Red | BLUE ||red", ["red", "blue"]),
        (["red", ["nested"], {"a": "b"}, None, 5, True, "", "  "], ["red"]),
        ({"red": True}, []),
        (5, []),
        ("x" * 10_000, ["x" * 200]),
        ([f"t{k}" for k in range(1_000)], [f"t{k}" for k in range(ITEM_TAGS)]),
        ("\0|\ud800", ["\0", "\ud800"]),
    ],
)
def test_tags_of_any_type(tags: object, expected: list[str]) -> None:
    assert tags_of({"tags": tags}, ITEM_TAGS) == expected
    model = Blend()
    model.learn_item("tea", {"tags": tags})
    restored = Blend()
    restored.load(model.dump())
    expect_same_state(model, restored)


@pytest.mark.slow
def test_very_many_tags_in_a_small_table() -> None:
    """140,000 different tags, and one that keeps coming: the table is bounded, and what keeps coming stays."""
    model = Content(max_tags=1_000, max_items=500, max_users=50)
    for k in range(0, 140_000, 7):
        model.learn_item(f"i{k % 400}", {"tags": ["always", *(f"t{k + j}" for j in range(7))]})
        if k % 7_000 == 0:
            model.step_many([Example(f"u{k % 40}", f"i{k % 400}", 1.0, float(k))], 5)
    memory = model.memory
    assert len(memory.tags) <= 1_000
    assert memory.tags.row("always") > 0
    assert int(memory.state.shared.counters[TAGGED]) == len(memory.items)
    expect_whole(model)


def test_fewer_tags_than_one_item_may_have_are_refused() -> None:
    with pytest.raises(ValueError, match="max_tags"):
        Blend(max_tags=ITEM_TAGS - 1)


def test_warming_up_leaves_no_kernel_to_be_compiled_by_an_event() -> None:
    warm_up()
    kernels = (
        item_events.set_tags,
        item_events.show,
        item_events.hide,
        forgetting.drop_items,
        forgetting.drop_tags,
    )
    before = [len(kernel.signatures) for kernel in kernels]  # type: ignore[attr-defined]  # numba's dispatchers
    assert all(before)
    model = painted(Blend(max_tags=8, max_items=4), turns=6)
    model.learn_item("crowd", {"tags": [f"t{k}" for k in range(8)]})
    model.learn_item("crowd", available=False)
    model.learn_item("crowd", available=True)
    assert [len(kernel.signatures) for kernel in kernels] == before  # type: ignore[attr-defined]
