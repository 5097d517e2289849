"""Observed replays: the observer's data, that it changes nothing, and the frame for a notebook."""

import sys
from pathlib import Path

import numpy as np
import pytest

from flows.cli import WRONG
from flows.evaluation.model_observer import FIRST_STRIDE, MOST_LOOKS, ModelObserver
from flows.replay import replay
from flows.sample import EVENTS, ITEMS
from flows.settings import Settings
from recmodels import Example, Recommender
from recmodels.base import Context
from tests.support.cli import freshrank


class Weighing(Recommender):
    """Its one weight is the number of events it has learned."""

    learned = 0

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        self.register(user, item)
        self.learned += 1

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        return 1.0

    def member_weights(self) -> dict[str, float]:
        return {"learned": float(self.learned)}


@pytest.mark.parametrize("batch", [1, 8, 1_000])
def test_looks_are_spread_over_the_log_and_bounded(batch: int) -> None:
    model, watch, events = Weighing(), ModelObserver(), 3 * FIRST_STRIDE * MOST_LOOKS
    examples = [Example("ann", "tea")] * batch
    for _ in range(0, events, batch):
        watch.after(model, examples, model.step_many(examples, n=1))
    assert MOST_LOOKS // 3 < len(watch.looks) <= MOST_LOOKS or batch > FIRST_STRIDE
    assert all(look.weights == {"learned": float(look.learned)} for look in watch.looks)
    steps = np.diff([look.learned for look in watch.looks])
    assert steps.min() > 0
    assert steps.max() <= 2 * max(steps.min(), batch)


@pytest.mark.slow
def test_a_watch_changes_no_list(tmp_path: Path) -> None:
    settings = Settings(repeats="exclude")
    watch = ModelObserver()
    for name, watching in (("alone", None), ("watched", watch)):
        replay(EVENTS, settings, limit=3_000, out=tmp_path / name, watch=watching)
    assert (tmp_path / "alone").read_bytes() == (tmp_path / "watched").read_bytes()
    assert watch.touched.total() == 3_000
    assert watch.listed.total() > 25_000
    assert watch.model is not None
    assert watch.looks[-1].learned > 2_900
    assert set(watch.looks[0].weights) == set(watch.looks[-1].weights)
    assert watch.looks[0].weights != watch.looks[-1].weights


def test_a_frame_has_a_row_for_each_scored_event() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not here; pip install 'freshrank[pandas]'")
    result = replay(EVENTS, Settings(model="popularity", repeats="exclude"), limit=2_000)
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == len(result.outcomes)
    assert frame.hit.mean() == pytest.approx(result.hit_rate)
    assert frame.served_hit.mean() == pytest.approx(result.served_hit_rate)
    assert frame.hit.dtype.kind == "b"
    assert (frame.user_events == frame.groupby(_users(2_000)).cumcount()).all()


def _users(count: int) -> list[str]:
    import csv
    import gzip

    with gzip.open(EVENTS, "rt") as file:
        return [row["user"] for row, _ in zip(csv.DictReader(file), range(count), strict=False)]


def test_missing_pandas_is_one_line_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    result = replay(EVENTS, Settings(model="popularity"), limit=100)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'freshrank\[pandas\]'"):
        result.to_pandas()


@pytest.mark.slow
def test_the_command_writes_the_page(tmp_path: Path) -> None:
    pytest.importorskip("altair", reason="the report's libraries are not here; pip install 'freshrank[report]'")
    page = tmp_path / "report.html"
    done = freshrank("replay", EVENTS, "--limit", 2000, "--repeats", "exclude", "--items", ITEMS, "--html", page)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert f"<pre><code>freshrank replay {EVENTS} --limit 2000 --repeats exclude" in text
    assert "(2013)" in text.partition('id="lists"')[2]
    assert '"weights":{' in text, "the blend's weights are drawn"
    assert '<span class="why">' in text


def test_a_page_that_cannot_be_written_is_refused_before_the_replay() -> None:
    done = freshrank("replay", EVENTS, "--html", "/no/such/place.html")
    assert done.returncode == WRONG
    assert "/no/such/place.html: expected a file to write" in done.stderr
    assert "learned" not in done.stderr
