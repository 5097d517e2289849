"""State of each step: it survives a restart, and is bounded."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.messages import Forget, Interaction, Ranked
from flows.monitoring.counters import Counters
from flows.state.store import Store
from flows.steps.clean import Cleaner
from flows.steps.emit import Emission, Emitter
from flows.steps.learn import Learner, Learning
from recmodels import Blend, Example

FIXTURES = Path(__file__).parent.parent / "fixtures"


def learner(**arguments: Any) -> Learner:
    bounds = {"max_users": 50, "max_items": 40, "max_pairs": 400} | arguments
    return Learner(Learning(build_model=lambda: Blend(repeats="exclude", **bounds), top=5, score=True), Counters())


def examples(count: int) -> list[Example]:
    return [Example(f"u{n * 7 % 61}", f"i{n * n % 53}", timestamp=float(n)) for n in range(count)]


def test_a_model_goes_on_bit_for_bit_after_a_restart(tmp_path: Path) -> None:
    unbroken, first, store = learner(), learner(), Store(tmp_path)
    store.load(first, None)
    for start in range(0, 400, 4):
        for each in (unbroken, first):
            each.model.step_many(examples(600)[start : start + 4], 5)
            if start % 40 == 0:
                each.model.forget_one(f"u{start % 61}")
        pointer = store.save(first)
    assert pointer is not None
    assert pointer["segment"] > 1, "parts are read too"
    resumed = learner()
    Store(tmp_path).load(resumed, pointer)
    assert resumed.model.step_many(examples(600)[400:], 5) == unbroken.model.step_many(examples(600)[400:], 5)
    ours, theirs = resumed.dump(), unbroken.dump()
    assert {name: array.tobytes() for name, array in ours.items()} == {
        name: array.tobytes() for name, array in theirs.items()
    }


@pytest.mark.parametrize("version", ["0.1.0"])
def test_state_of_each_released_version_loads(version: str) -> None:
    kept = FIXTURES / f"state-{version}"
    said = orjson.loads((kept / "said.json").read_bytes())
    resumed = learner(**said["arguments"])
    store = Store(kept)
    store._remove_all_but = lambda needed: None  # type: ignore[method-assign]  # the fixture stays as it is
    store.load(resumed, said["pointer"])
    assert {user: resumed.model.top(user, 3) for user in said["lists"]} == {
        user: [(item, score) for item, score in items] for user, items in said["lists"].items()
    }


def test_the_cleaner_goes_on_after_a_restart(tmp_path: Path) -> None:
    cleaner = Cleaner(3, Counters())
    events = [Interaction("u", "i", float(n), id=f"e{n}") for n in range(5)]
    cleaner.process(list(events))
    store = Store(tmp_path)
    store.load(cleaner, None)
    again = Cleaner(3, Counters())
    Store(tmp_path).load(again, store.save(cleaner))
    assert again.process([events[4], events[2], events[0]]) == [events[0]], "the window holds the last three"
    assert again.counters.late == 1


def test_the_cleaner_forgets_a_users_ids() -> None:
    cleaner = Cleaner(10, Counters())
    mine, other = Interaction("u", "i", 1.0, id="mine"), Interaction("v", "i", 1.0, id="other")
    cleaner.process([mine, other, Forget("u", 2.0)])
    assert cleaner.process([mine, other]) == [mine]


def lists_of(*users: str, time: float = 1.0) -> list[Ranked]:
    return [Ranked(Interaction(user, "i", time), None, ["x"], [1.0]) for user in users]


def emitted(emitter: Emitter, *users: str) -> list[bool]:
    return [decided.is_emitted for decided in emitter.process(lists_of(*users))]


def test_the_emitter_goes_on_after_a_restart(tmp_path: Path) -> None:
    emitter, store = Emitter(Emission(policy="changed", max_users=2), Counters()), Store(tmp_path)
    store.load(emitter, None)
    assert store.save(emitter) is None
    emitter.process(lists_of("a\nb", "c"))
    store.save(emitter)
    emitter.process([Ranked(Interaction("a\nb", "i", 2.0), None, ["y"], [1.0])])
    again = Emitter(Emission(policy="changed", max_users=2), Counters())
    Store(tmp_path).load(again, store.save(emitter))
    for each in (emitter, again):
        assert emitted(each, "c", "a\nb", "new", "c") == [False, True, True, True], "c's list was the oldest"


def test_a_full_emitter_gives_up_the_oldest_and_an_erased_user_is_new() -> None:
    emitter = Emitter(Emission(policy="changed", max_users=200), Counters())
    users = [f"u{n}" for n in range(200)]
    assert emitted(emitter, *users, *users) == [True] * 200 + [False] * 200
    assert emitted(emitter, "new", "u3", "u0") == [True, False, True], "one in 64 goes: u0, u1 and u2"
    emitter.process([Ranked(Forget("u9", 2.0), None, None, None)])
    assert emitted(emitter, "u9", "u8") == [True, False]
