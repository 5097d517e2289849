"""Comparisons: planted differences are found, equal models are not told apart, and nothing is run twice."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.cli import FAILED, WRONG
from flows.evaluation.protocol import Protocol
from flows.experiments import worker as replay_child
from flows.experiments.job import Job, job_settings
from flows.sample import EVENTS
from flows.settings import Settings
from tests.support.cli import freshrank
from tests.support.compare_fixtures import FAITHFUL, TWO, Compare


@pytest.mark.process
def test_a_planted_difference_is_found_and_kept(compare: Compare, faithful_log: Path, tmp_path: Path) -> None:
    said = tmp_path / "said.json"
    asked = (faithful_log, "--model", "popularity", "--model", "history", "--json", said)
    assert compare(*asked, "--processes", 2).returncode == 0
    told: dict[str, Any] = orjson.loads(said.read_bytes())
    first, second = told["models"]
    assert second["values"]["hit_rate@10"] == pytest.approx(1 - FAITHFUL / 1_200), "all but each user's first event"
    assert first["values"]["hit_rate@10"] < 0.5
    found = next(one for one in told["differences"] if one["metric"] == "hit_rate@10")
    assert found["low"] > 0.4
    assert found["sentence"].startswith("history is better than popularity by 0.")
    assert found["mean"] == pytest.approx(second["values"]["hit_rate@10"] - first["values"]["hit_rate@10"])
    assert second["report"]["cpu_seconds"] > 0
    assert not first["was_kept"]
    assert set(first["values"]) >= {"coverage@10", "novelty@10", "popularity_lift@10", "gini@10", "served_hit_rate@10"}

    assert compare(*asked).returncode == 0
    again: dict[str, Any] = orjson.loads(said.read_bytes())
    assert [one["was_kept"] for one in again["models"]] == [True, True]
    assert again["models"][0]["report"] == first["report"]

    with faithful_log.open("a") as log:
        log.write("\nu1,i1,5000")
    assert compare(*asked[:5], "--json", said).returncode == 0
    other: dict[str, Any] = orjson.loads(said.read_bytes())
    assert [one["was_kept"] for one in other["models"]] == [False, False], "another log"
    assert other["log"]["events"] == 1_201


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_the_page_shows_all_models_and_says_which_is_better(
    compare: Compare, faithful_log: Path, tmp_path: Path
) -> None:
    pytest.importorskip("altair", reason="the report's libraries are not here; pip install 'freshrank[report]'")
    page = tmp_path / "page.html"
    asked = (faithful_log, "--model", "popularity", "--model", "history")
    assert compare(*asked, "--html", page).returncode == 0
    first = page.read_text()
    assert "history is better than popularity by 0." in first
    assert "popularity_lift@10" in first.replace("<wbr>", "")  # where a phone may break it
    for figure in ("time", "served", "cpu", "ranks", "latency", "users", "popularity"):
        assert f'data-figure="{figure}"' in first
    assert compare(*asked, "--html", page).returncode == 0
    assert page.read_text() == first, "from results that were kept"


@pytest.mark.process
def test_a_model_that_fails_says_why(compare: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_model.py").write_text(
        "from recmodels import Recommender\n"
        "class Bad(Recommender):\n"
        "    def learn_one(self, user, item, y=1.0, x=None):\n"
        "        print('no message')\n"
        "        raise RuntimeError('no more paper')\n"
        "    def predict_one(self, user, item, x=None):\n"
        "        return 0.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    models = ("--model", "popularity", "--model", "failing_model:Bad")
    done = compare(EVENTS, *models, "--limit", 200)
    assert done.returncode == FAILED, done.stderr
    assert "RuntimeError: no more paper" in done.stderr


BAD: list[tuple[str, tuple[object, ...], str]] = [
    ("one model", (EVENTS, "--model", "blend"), "expected two models or more"),
    ("twice the same", (EVENTS, "--model", "blend", "--model", "blend"), "each once"),
    ("unknown model", (EVENTS, *TWO, "--model", "nope"), "there is no model 'nope'"),
    ("unknown metric", (EVENTS, *TWO, "--metric", "auc"), "metric 'auc': there is no such metric. There are: hit_rate"),
    ("metric of longer lists", (EVENTS, *TWO, "--top", 5, "--metric", "mrr@10"), "There are: hit_rate@5"),
    ("unwritable JSON", (EVENTS, *TWO, "--json", "/no/such/place"), "/no/such/place: expected a file to write"),
    ("missing log", ("no-such.csv", *TWO), "there is no such file"),
    ("missing column", (EVENTS, *TWO, "--map", "user=uid"), "there is no column 'uid'"),
    ("no log", TWO, "expected a log: either files, or --from-topic"),
    ("range of no topic", (EVENTS, *TWO, "--since", "2026-11-01"), "--since: it belongs to --from-topic"),
    ("pattern of nothing", ("no-such-*.csv", *TWO), "no file matches the pattern"),
    ("twice a log", (EVENTS, EVENTS, *TWO), "expected each log once"),
    ("list of no items", (EVENTS, *TWO, "--k", "0"), "--k: expected different lengths of list"),
    ("metric of another list", (EVENTS, *TWO, "--k", "5,20", "--metric", "mrr@10"), "There are: hit_rate@5"),
    ("expression", (EVENTS, *TWO, "--positive", "value>="), "--positive: column"),
    ("all is warm-up", (EVENTS, *TWO, "--warmup", "1"), "--warmup: expected a share of the log"),
]


@pytest.mark.parametrize(("arguments", "told"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input(compare: Compare, arguments: tuple[object, ...], told: str) -> None:
    done = compare(*arguments)
    said = done.stderr
    assert done.returncode == WRONG, said
    assert told in said
    assert said.count("\n") == 1


def test_results_need_a_directory_that_can_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = freshrank("compare", EVENTS, *TWO, "--results", file)
    assert done.returncode == WRONG
    assert "--results DIR" in done.stderr


@pytest.mark.parametrize(
    ("settings", "is_warmed"),
    [
        ({"model": "popularity"}, True),
        ({"model": "popularity", "explore": 0.1}, True),
        ({"model": "contextual"}, True),
        ({"model": "river:reco.BiasedMF(n_factors=2)"}, False),
    ],
    ids=["fused", "explored", "contextual", "river"],
)
def test_kernels_are_ready_before_the_first_event(
    settings: dict[str, Any], is_warmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmed = list[str]()
    monkeypatch.setattr(replay_child, "warm_up", lambda takes_back: warmed.append("warm"))
    asked = job_settings(Settings(**settings))
    replay_child.run(Job(logs=(str(EVENTS),), settings=asked, protocol=Protocol(), limit=5), lambda told: None)
    assert bool(warmed) == is_warmed
