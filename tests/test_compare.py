"""Comparisons: planted differences are found, equal models are not told apart, and nothing is run twice."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from flows import cli, replay_child
from flows.compare import Difference, difference
from flows.log_options import GivenLog
from flows.protocol import Protocol
from flows.replay_cache import ReplayCache
from flows.replay_job import NOT_OF_A_REPLAY, Job, job_settings
from flows.sample import EVENTS
from flows.settings import Settings
from recmodels.bootstrap import Interval

Command = Callable[..., int]

FAITHFUL = 40
"""Users who each come back to the one item of theirs."""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run the command in this process, with results of its own, and return its exit status."""

    def run(*arguments: object) -> int:
        kept = ["--results", str(tmp_path / "results")] if arguments[0] == "compare" else []
        monkeypatch.setattr(sys, "argv", ["freshrank", *map(str, arguments), *kept])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0)

    return run


@pytest.fixture
def faithful_log(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    random = np.random.default_rng(2)
    rows = [f"u{user},i{user},{second}" for second, user in enumerate(random.integers(FAITHFUL, size=1_200))]
    path.write_text("\n".join(["user,item,timestamp", *rows]))
    return path


def test_a_planted_difference_is_found_and_kept(command: Command, faithful_log: Path, tmp_path: Path) -> None:
    said = tmp_path / "said.json"
    asked = ("compare", faithful_log, "--model", "popularity", "--model", "history", "--json", said)
    assert command(*asked, "--processes", 2) == 0
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

    assert command(*asked) == 0
    again: dict[str, Any] = orjson.loads(said.read_bytes())
    assert [one["was_kept"] for one in again["models"]] == [True, True]
    assert again["models"][0]["report"] == first["report"]

    with faithful_log.open("a") as log:
        log.write("\nu1,i1,5000")
    assert command(*asked[:6], "--json", said) == 0
    other: dict[str, Any] = orjson.loads(said.read_bytes())
    assert [one["was_kept"] for one in other["models"]] == [False, False], "another log"
    assert other["log"]["events"] == 1_201


def test_the_page_shows_all_models_and_says_which_is_better(
    command: Command, faithful_log: Path, tmp_path: Path
) -> None:
    pytest.importorskip("altair", reason="the report's libraries are not here; pip install 'freshrank[report]'")
    page = tmp_path / "page.html"
    asked = ("compare", faithful_log, "--model", "popularity", "--model", "history", "--processes", 2)
    assert command(*asked, "--html", page) == 0
    first = page.read_text()
    assert "history is better than popularity by 0." in first
    assert "popularity_lift@10" in first.replace("<wbr>", "")  # where a phone may break it
    for figure in ("time", "served", "cpu", "ranks", "latency", "users", "popularity"):
        assert f'data-figure="{figure}"' in first
    assert command(*asked, "--html", page) == 0
    assert page.read_text() == first, "from results that were kept"


def test_a_model_that_fails_says_why(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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
    assert command("compare", EVENTS, *models, "--limit", 200) == cli.FAILED
    assert "RuntimeError: no more paper" in capsys.readouterr().err


TWO = ("--model", "popularity", "--model", "history")
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

SWITCHES = [
    "--where value>=5 --positive value>=8 --warmup 0.2 --k 3,20 --window 500",
    "--candidates catalogue --score-every 5 --seed 3 --k 10,5 --repeats exclude",
    "--target session --positive value>=7 --top 4",
]


@pytest.mark.parametrize(("arguments", "told"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input(
    command: Command, arguments: tuple[object, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("compare", *arguments) == cli.WRONG
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_results_need_a_directory_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(sys, "argv", ["freshrank", "compare", str(EVENTS), *TWO, "--results", str(file)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == cli.WRONG
    assert "--results DIR" in capsys.readouterr().err


def outcomes(hits: "np.ndarray[Any, Any]") -> dict[str, Any]:
    events = np.arange(len(hits))
    return {"number": events, "position": np.where(hits, 0, -1), "item_digest": events.astype(np.uint32)}


def test_a_worse_model_is_told_from_an_equal_one() -> None:
    random = np.random.default_rng(1)
    first, equal = random.random((2, 20_000)) < 0.2
    worse = first & (random.random(20_000) < 0.9)
    told = {
        name: difference("hit_rate@10", outcomes(first), outcomes(other))
        for name, other in (("equal", equal), ("worse", worse), ("itself", first))
    }
    events, interval = told["worse"]
    assert events == 20_000
    assert interval.low < -0.02 < interval.high < 0.0
    assert told["equal"][1].holds_zero
    assert told["itself"][1] == Interval(0.0, 0.0, 0.0)
    assert "worse than a by 0.02" in Difference("b", "a", "hit_rate@10", events, interval).sentence()
    assert "No difference" in Difference("b", "a", "hit_rate@10", *told["itself"]).sentence()


def test_nothing_in_common_is_no_difference() -> None:
    first = outcomes(np.ones(3, bool))
    events, interval = difference("hit_rate@10", first, {**first, "number": np.arange(3) + 10})
    assert events == 0
    assert "nothing can be told" in Difference("b", "a", "hit_rate@10", events, interval).sentence()


def test_what_one_item_decides_makes_a_difference_less_sure() -> None:
    random = np.random.default_rng(3)
    hits, items = random.random(400) < 0.125, random.integers(100, size=400)
    halves = {}
    for name, item in {"many": items, "one": np.where(hits, 0, items)}.items():
        first, second = (outcomes(hit) | {"item_digest": item} for hit in (np.zeros(400, np.bool_), hits))
        _, interval = difference("hit_rate@10", first, second)
        assert interval.mean == hits.mean()
        halves[name] = interval.half_width
    assert halves["one"] > 2 * halves["many"]


def test_every_setting_is_known_to_decide_the_lists_or_not() -> None:
    """A new setting must be put on one of the two sides: one of Kafka may be secret, one of the model must be kept."""
    decides = {
        "model",
        "top",
        "repeats",
        "rewards",
        "by_value",
        "domain",
        "dedup_window",
        "hold_back",
        "fill",
        "explore",
    }
    decides |= {"emit", "emit_interval", "min_score", "refresh", "refreshes", "strangers", "why", "max_users"}
    assert set(job_settings(Settings())) == decides
    assert decides | NOT_OF_A_REPLAY == set(Settings.model_fields)


def test_a_log_that_is_not_sorted_is_refused_with_its_line(
    command: Command, faithful_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with faithful_log.open("a") as log:
        log.write("\nu1,i1,5\n")
    assert command("compare", faithful_log, "--model", "popularity", "--model", "history") == 2
    assert "events.csv:1202: expected a log sorted by time" in " ".join(capsys.readouterr().err.split())


def measured_by(command: Command, said: Path, *arguments: object) -> dict[str, Any]:
    """Return what a comparison says, without what is of the machine."""
    assert command("compare", *arguments, "--json", said) == 0
    told: dict[str, Any] = orjson.loads(said.read_bytes())
    return {
        "values": {one["model"]: one["values"] for one in told["models"]},
        "differences": told["differences"],
        "kept": [one["was_kept"] for one in told["models"]],
        "reports": {one["model"]: one["report"] for one in told["models"]},
    }


@pytest.mark.parametrize("switches", SWITCHES)
def test_it_measures_what_a_replay_with_the_same_switches_measures(
    command: Command, tmp_path: Path, switches: str
) -> None:
    said, asked = tmp_path / "said.json", (EVENTS, "--limit", 2_000, *shlex.split(switches))
    found = measured_by(command, said, *asked, *TWO)
    for model in ("popularity", "history"):
        assert command("replay", *asked, "--model", model, "--report", said) == 0
        report: dict[str, Any] = orjson.loads(said.read_bytes())
        assert {name: found["values"][model][name] for name in report["metrics"]} == report["metrics"]
        for told in ("scored", "protocol", "left_out", "series"):
            assert found["reports"][model].get(told) == report.get(told)
    assert len(found["differences"]) == 6 * len(report["protocol"]["ks"])


def test_no_other_protocol_is_answered_from_results_that_are_kept(command: Command, tmp_path: Path) -> None:
    asked = (tmp_path / "said.json", EVENTS, *TWO, "--limit", 500)
    all_of_it = measured_by(command, *asked)
    part = measured_by(command, *asked, "--where", "value>=8")
    assert part["kept"] == [False, False]
    assert part["values"] != all_of_it["values"]
    again = measured_by(command, *asked, "--seed", 5)
    assert again["kept"] == [True, True], "the seed is the intervals' alone, as nothing else is drawn"
    assert again["values"] == all_of_it["values"]
    assert again["differences"] != all_of_it["differences"]


def test_the_key_of_a_result_knows_all_that_changes_it(tmp_path: Path) -> None:
    for name, text in (("a.csv", "1"), ("b.csv", "2"), ("same-as-a.csv", "1")):
        (tmp_path / name).write_text(text)
    first, second, same = (str(tmp_path / name) for name in ("a.csv", "b.csv", "same-as-a.csv"))
    job = Job(logs=(first, second), settings=job_settings(Settings(model="history")), protocol=Protocol())
    others: list[dict[str, Any]] = [
        *({"logs": logs} for logs in ((first,), (second, first), (first, second, same))),
        *({"sort": True}, {"limit": 5}, {"columns": {"user": "u"}}, {"watched": True}),
        *(
            {"protocol": protocol}
            for protocol in (Protocol(warmup=0.1), Protocol(ks=(10, 5)), Protocol(where="value>1"))
        ),
        *({"protocol": protocol} for protocol in (Protocol(positive="value>1"), Protocol(candidates="catalogue"))),
        *({"protocol": protocol} for protocol in (Protocol(target="session"), Protocol(score_every=2, seed=1))),
        {"protocol": Protocol(score_every=2, seed=2)},
        {"protocol": Protocol(window=10)},
    ]
    cache = ReplayCache(tmp_path / "results")
    paths = {cache.path(msgspec.structs.replace(job, **other)) for other in [{}, *others]}
    assert len(paths) == 1 + len(others)
    for alike in ({"logs": (same, second)}, {"logs": (str(tmp_path / "[ab].csv"),)}, {"interim": "mrr@10"}):
        assert cache.path(msgspec.structs.replace(job, **alike)) == cache.path(job)


def test_a_log_in_any_order_and_several_logs_are_the_one_log_in_order(
    command: Command, faithful_log: Path, tmp_path: Path
) -> None:
    header, *rows = faithful_log.read_text().splitlines()

    def write(name: str, some: list[str]) -> Path:
        path = tmp_path / name
        path.write_text("\n".join([header, *some]))
        return path

    shuffled = write("shuffled.csv", [rows[n] for n in np.random.default_rng(3).permutation(len(rows))])
    write("part-1.csv", rows[::3])
    write("part-2.csv", [row for n, row in enumerate(rows) if n % 3])
    asked = (tmp_path / "said.json", *TWO, "--warmup", 0.25)
    plain, *others = (
        measured_by(command, *asked, *log)
        for log in (
            (faithful_log,),
            (shuffled, "--sort"),
            (tmp_path / "part-?.csv",),
            (tmp_path / "part-2.csv", tmp_path / "part-1.csv"),
        )
    )
    assert plain["reports"]["history"]["scored"] == 900
    for other in others:
        assert not any(other["kept"])
        assert other["values"] == plain["values"]
        assert other["differences"] == plain["differences"]


def test_parquet_is_a_log_too(command: Command, faithful_log: Path, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet's reader is not here; pip install 'freshrank[parquet]'")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = [row.split(",") for row in faithful_log.read_text().splitlines()[1:]]
    users, items, times = zip(*columns, strict=True)
    table = pa.table({"who": users, "item": items, "timestamp": [float(time) for time in times]})
    pq.write_table(table, tmp_path / "events.parquet")
    asked = (tmp_path / "said.json", *TWO)
    found = measured_by(command, *asked, tmp_path / "events.parquet", "--map", "user=who")
    assert found["values"] == measured_by(command, *asked, faithful_log)["values"]


def test_the_page_of_a_protocol_has_its_measures(command: Command, faithful_log: Path, tmp_path: Path) -> None:
    pytest.importorskip("altair", reason="the report's libraries are not here; pip install 'freshrank[report]'")
    page = tmp_path / "page.html"
    assert command("compare", faithful_log, *TWO, "--k", "3,20", "--warmup", 0.5, "--window", 100, "--html", page) == 0
    text = page.read_text().replace("<wbr>", "")
    assert "history is better than popularity by 0." in text
    assert "in hit_rate@3." in text
    for name in ("hit_rate@3", "mrr@20", "coverage@3"):
        assert f">{name}<" in text, "a row of the table"


def test_a_topic_is_recorded_before_anything_is_compared(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the recording holds is for test_kafka_record; here: nothing is recorded for a command that cannot be."""
    asked: list[str | None] = []
    monkeypatch.setattr(GivenLog, "find", lambda log, *_: asked.append(log.topic) or (str(EVENTS),))
    topic = ("--from-topic", "events", "--since", "2026-11-01", "--limit", 100)
    assert command("compare", *topic, "--model", "history") == cli.WRONG
    assert command("compare", *topic, *TWO, "--metric", "auc") == cli.WRONG
    assert command("compare", *topic, *TWO, "--json", "/no/such/place") == cli.WRONG
    assert asked == []
    assert command("compare", *topic, *TWO) == 0
    assert asked == ["events"]
    assert "100 events" in capsys.readouterr().err


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
    monkeypatch.setattr(replay_child, "warm_up", lambda: warmed.append("warm"))
    asked = job_settings(Settings(**settings))
    replay_child.run(Job(logs=(str(EVENTS),), settings=asked, protocol=Protocol(), limit=5), lambda told: None)
    assert bool(warmed) == is_warmed
