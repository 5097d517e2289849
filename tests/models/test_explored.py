"""Inspection of a model behind the explorer."""

from pathlib import Path

import pytest
from river import reco

from flows.evaluation.model_observer import ModelObserver
from flows.replay import replay
from flows.report.data import measured
from flows.sample import EVENTS
from flows.settings import Settings
from recmodels import Blend, RiverModel
from recmodels.exploration.explorer import Explorer
from recmodels.inspection.trends import popular, rising
from recmodels.inspection.user_profile import user_profile
from tests.support.flow import Flow, event
from tests.support.teach import CHANGE, POPULAR, a_stream_that_changes, learn, listed


def test_reasons_and_weights_are_the_models_and_a_slot_says_that_it_is_one() -> None:
    model = Explorer(Blend(), share=1.0)
    learn(model, POPULAR)
    model.learn_item("new", {"title": "New"})
    whys = model.explain("a", 2)
    assert [(why.item, why.score) for why in whys] == model.top("a", 2)
    assert set(whys[-1].parts) == {"explore"}
    assert whys[:1] == model.model.explain("a", 2)[:1]
    assert model.member_weights() == model.model.member_weights() != {}
    assert model.scores_are_probabilities
    assert model.predict_many("a", ["tea", "new"]) == [model.predict_one("a", item) for item in ("tea", "new")]


def test_lists_that_say_why_name_the_slot() -> None:
    records = [event(f"u{k % 5}", f"i{k % 12}", k) for k in range(60)]
    said = [entry["why"] for out in Flow(records, explore=1.0, why=True, top=3).lists for entry in out["items"]]
    assert sum(set(why) == {"explore"} for why in said) > 30


def test_rivers_models_are_explored_too() -> None:
    model = Explorer(RiverModel(reco.BiasedMF(n_factors=3, seed=1)), share=1.0)
    learn(model, POPULAR)
    model.learn_item("new")
    assert listed(model, "stranger", 2)[1] in ("pie", "jam", "tea", "new")
    assert model.version == "river.BiasedMF/1+explore"


@pytest.mark.slow
def test_replay_with_exploration(tmp_path: Path) -> None:
    """The same lists whatever the batches. The price is small, and the report is of the lists that users get."""
    settings = Settings(repeats="exclude", explore=0.2)
    a = replay(EVENTS, settings, limit=3_000, out=tmp_path / "a.jsonl", batch=1)
    b = replay(EVENTS, settings, limit=3_000, out=tmp_path / "b.jsonl", batch=100)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert a.metrics == b.metrics
    assert '"model":"blend/1+explore"' in (tmp_path / "a.jsonl").read_text().splitlines()[0]
    plain = replay(EVENTS, Settings(repeats="exclude"), limit=3_000)
    assert 0.9 * plain.hit_rate < a.hit_rate < plain.hit_rate


def test_inspection_sees_the_model_behind_the_explorer() -> None:
    events = a_stream_that_changes()[: CHANGE + 1_000]
    model = Explorer(Blend(reranker=False), share=0.05)
    watch = ModelObserver()
    for start in range(0, len(events), 500):
        part = events[start : start + 500]
        watch.after(model, part, model.step_many(part, n=3))
    assert model.drift_moments
    assert model.drift_moments == model.model.drift_moments
    known = user_profile(model, events[-1].user)
    assert known.events > 100
    assert known.recent[0] == events[-1].item
    assert popular(model) == popular(model.model)
    assert rising(model) == rising(model.model)


@pytest.mark.slow
def test_the_page_marks_the_drift_that_an_explored_blend_saw(tmp_path: Path) -> None:
    log = tmp_path / "events.csv"
    rows = [f"{event.user},{event.item},{event.timestamp}" for event in a_stream_that_changes()[: CHANGE + 1_000]]
    log.write_text("\n".join(["user,item,timestamp", *rows]))
    watch = ModelObserver()
    result = replay(log, Settings(model="blend(reranker=False)", explore=0.05), watch=watch)
    found = measured(result, watch)
    assert any(moment > CHANGE for moment in found.drifts)
    assert all(sample.recent for sample in found.samples)


def test_inspection_sees_a_river_model_behind_the_explorer() -> None:
    model = Explorer(RiverModel(reco.BiasedMF(n_factors=2, seed=1), repeats="exclude"), share=0.5)
    learn(model, "ann:tea ann:jam")
    assert user_profile(model, "ann").recent == ["jam", "tea"]
