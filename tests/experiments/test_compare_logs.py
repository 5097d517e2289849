"""`compare` on every kind of log and with every protocol: its metrics are those of a replay."""

import shlex
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from flows.cli import WRONG
from flows.commands.log_options import GivenLog
from flows.evaluation.protocol import Protocol
from flows.experiments.cache import ReplayCache
from flows.experiments.job import Job, job_settings
from flows.formats.file_format import FileOptions
from flows.sample import EVENTS
from flows.settings import Settings
from tests.support.cli import freshrank
from tests.support.compare_fixtures import TWO, Compare

SWITCHES = [
    "--where value>=5 --positive value>=8 --warmup 0.2 --k 3,20 --window 500",
    "--candidates catalogue --score-every 5 --seed 3 --k 10,5 --repeats exclude",
    "--target session --positive value>=7 --top 4",
]


def test_a_log_that_is_not_sorted_is_refused_with_its_line(compare: Compare, faithful_log: Path) -> None:
    with faithful_log.open("a") as log:
        log.write("\nu1,i1,5\n")
    done = compare(faithful_log, "--model", "popularity", "--model", "history")
    assert done.returncode == 2, done.stderr
    assert "events.csv:1202: expected a log sorted by time" in " ".join(done.stderr.split())


def measured_by(compare: Compare, said: Path, *arguments: object) -> dict[str, Any]:
    """Return what a comparison says, without what is of the machine."""
    assert compare(*arguments, "--json", said).returncode == 0
    told: dict[str, Any] = orjson.loads(said.read_bytes())
    return {
        "values": {one["model"]: one["values"] for one in told["models"]},
        "differences": told["differences"],
        "kept": [one["was_kept"] for one in told["models"]],
        "reports": {one["model"]: one["report"] for one in told["models"]},
    }


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("switches", SWITCHES)
def test_compare_equals_a_replay_with_the_same_options(compare: Compare, tmp_path: Path, switches: str) -> None:
    said, asked = tmp_path / "said.json", (EVENTS, "--limit", 2_000, *shlex.split(switches))
    found = measured_by(compare, said, *asked, *TWO)
    for model in ("popularity", "history"):
        assert freshrank("replay", *asked, "--model", model, "--report", said).returncode == 0
        report: dict[str, Any] = orjson.loads(said.read_bytes())
        assert {name: found["values"][model][name] for name in report["metrics"]} == report["metrics"]
        for told in ("scored", "protocol", "left_out", "series"):
            assert found["reports"][model].get(told) == report.get(told)
    assert len(found["differences"]) == 7 * len(report["protocol"]["ks"])


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_cached_results_are_used_for_the_same_protocol_only(compare: Compare, tmp_path: Path) -> None:
    asked = (tmp_path / "said.json", EVENTS, *TWO, "--limit", 500)
    all_of_it = measured_by(compare, *asked)
    part = measured_by(compare, *asked, "--where", "value>=8")
    assert part["kept"] == [False, False]
    assert part["values"] != all_of_it["values"]
    again = measured_by(compare, *asked, "--seed", 5)
    assert again["kept"] == [False, False], "the models draw with the seed, too"
    assert again["differences"] != all_of_it["differences"]


@pytest.mark.slow
def test_the_key_of_a_result_knows_all_that_changes_it(tmp_path: Path) -> None:
    for name, text in (("a.csv", "1"), ("b.csv", "2"), ("same-as-a.csv", "1")):
        (tmp_path / name).write_text(text)
    first, second, same = (str(tmp_path / name) for name in ("a.csv", "b.csv", "same-as-a.csv"))
    job = Job(logs=(first, second), settings=job_settings(Settings(model="history")), protocol=Protocol())
    others: list[dict[str, Any]] = [
        *({"logs": logs} for logs in ((first,), (second, first), (first, second, same))),
        *(
            {"sort": True},
            {"limit": 5},
            {"file_options": (("*", FileOptions(fields={"user": "u"})),)},
            {"watched": True},
        ),
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


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_log_in_any_order_and_several_logs_are_the_one_log_in_order(
    compare: Compare, faithful_log: Path, tmp_path: Path
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
        measured_by(compare, *asked, *log)
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


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_parquet_is_a_log_too(compare: Compare, faithful_log: Path, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="Parquet's reader is not here; pip install 'freshrank[parquet]'")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = [row.split(",") for row in faithful_log.read_text().splitlines()[1:]]
    users, items, times = zip(*columns, strict=True)
    table = pa.table({"who": users, "item": items, "timestamp": [float(time) for time in times]})
    pq.write_table(table, tmp_path / "events.parquet")
    asked = (tmp_path / "said.json", *TWO)
    found = measured_by(compare, *asked, tmp_path / "events.parquet", "--map", "user=who")
    assert found["values"] == measured_by(compare, *asked, faithful_log)["values"]


@pytest.mark.usefixtures("in_this_process")
def test_the_page_of_a_protocol_has_its_measures(compare: Compare, faithful_log: Path, tmp_path: Path) -> None:
    pytest.importorskip("altair", reason="the report's libraries are not here; pip install 'freshrank[report]'")
    page = tmp_path / "page.html"
    assert compare(faithful_log, *TWO, "--k", "3,20", "--warmup", 0.5, "--window", 100, "--html", page).returncode == 0
    text = page.read_text().replace("<wbr>", "")
    assert "history is better than popularity by 0." in text
    assert "in hit_rate@3." in text
    for name in ("hit_rate@3", "mrr@20", "coverage@3"):
        assert f">{name}<" in text, "a row of the table"


@pytest.mark.usefixtures("in_this_process")
def test_a_topic_is_recorded_before_anything_is_compared(
    compare: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that cannot run records nothing. test_kafka_record tests the recordings."""
    asked: list[str | None] = []
    monkeypatch.setattr(GivenLog, "find", lambda log, *_: asked.append(log.topic) or (str(EVENTS),))
    topic = ("--from-topic", "events", "--since", "2026-11-01", "--limit", 100)
    assert compare(*topic, "--model", "history").returncode == WRONG
    assert compare(*topic, *TWO, "--metric", "auc").returncode == WRONG
    assert compare(*topic, *TWO, "--json", "/no/such/place").returncode == WRONG
    assert asked == []
    done = compare(*topic, *TWO)
    assert done.returncode == 0, done.stderr
    assert asked == ["events"]
    assert "100 events" in done.stderr
