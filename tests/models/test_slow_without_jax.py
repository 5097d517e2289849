"""The slow member where JAX is not installed: its weights serve, and only trainings need it."""

import sys
from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.inspection.stored_model import read_stored
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from flows.trainer.beside import Beside
from flows.trainer.limits import Limits
from recmodels import Blend, Example, build_model
from recmodels.slow.options import SlowOptions
from recmodels.slow.trainer import AtOnce, UntrainableError, has_jax, short
from recmodels.slow.work import Trained, Work

SLOW = "blend+slow(width=8, first=100, growth=4.0, epochs=1, least_steps=1, shadow=50, least_gain=0)"


class Given(AtOnce):
    """Gives back the weights that it gets: they stand for weights that were trained elsewhere."""

    def begin(self, work: Work, options: SlowOptions) -> None:
        self._done = {short(work.digest()): Trained(work.names, work.weights, 1.0, 1)}


@pytest.fixture
def jax_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recmodels.slow.trainer.find_spec", lambda name: name)


@pytest.fixture
def jax_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    assert not has_jax()


def events(count: int) -> list[Example]:
    return [Example(f"u{k % 7}", f"i{k * k % 31}", timestamp=float(k)) for k in range(count)]


def taught(count: int) -> Blend:
    """A model with weights, as a job has them whose trainer is in another image."""
    model = build_model(SLOW)
    assert isinstance(model, Blend)
    assert model.slow_member is not None
    model.slow_member.trainer = Given()
    model.step_many(events(count))
    assert model.slow_member.figures()["swaps"] > 0
    return model


@pytest.mark.usefixtures("jax_is_missing")
def test_model_can_be_built_and_looked_at() -> None:
    model = build_model(SLOW)
    assert model.version == "blend+slow/1"
    assert model.top("a stranger") == []


@pytest.mark.usefixtures("jax_is_missing")
def test_replay_without_weights_is_refused_before_the_first_event(tmp_path: Path) -> None:
    out = tmp_path / "lists.jsonl"
    with pytest.raises(UsageError, match=r"blend\+slow/1: .*JAX, which is not installed: .*freshrank\[deep\]"):
        replay(EVENTS, Settings(model="blend+slow"), limit=50, out=out)
    assert not out.exists() or not out.read_bytes()


@pytest.mark.usefixtures("jax_is_there")
def test_weights_serve_and_a_due_training_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    record = taught(150).dump()
    monkeypatch.setattr("recmodels.slow.trainer.find_spec", lambda name: None)
    model = build_model(SLOW)
    model.load(record)
    assert model.explain("u1", 3)[0].parts["slow"] != 0.0
    model.step_many(events(100))
    with pytest.raises(UntrainableError, match="not installed"):  # the training after 400 events
        model.step_many(events(300))


@pytest.mark.usefixtures("jax_is_there")
def test_job_goes_on_with_its_weights_and_puts_trainings_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = taught(150)
    monkeypatch.setattr("recmodels.slow.trainer.find_spec", lambda name: None)
    member, beside = model.slow_member, Beside(tmp_path, Limits())
    assert member is not None
    member.trainer = beside
    model.step_many(events(450))
    assert (beside.failures, member.figures()["swaps"]) == (2, 1.0)  # after 400 and 500 events
    assert beside.pid is None
    assert not list(tmp_path.iterdir()), "no work is written that nobody will do"


@pytest.mark.usefixtures("jax_is_there")
def test_state_is_read_and_resumed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("recmodels.fused.slow_member.AtOnce", Given)
    settings = Settings(model=SLOW, repeats="exclude", recovery=tmp_path / "state")
    replay(EVENTS, settings, limit=300)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "jax", None)
    stored = read_stored(tmp_path / "state").model.unwrapped
    assert isinstance(stored, Blend)
    assert stored.slow_member is not None
    assert stored.slow_member.swaps() == [(100, 100)]
    assert len(stored.top("a stranger")) == 10
    assert replay(EVENTS, settings, limit=390).counters.learned == 390
