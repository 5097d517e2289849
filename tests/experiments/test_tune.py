"""Tuning: finds a planted best setting on the first part only, and writes a configuration with the reported result."""

import shlex
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from flows.cli import WRONG
from flows.evaluation.protocol import Protocol
from flows.evaluation.ranking_metrics import mean_value
from flows.experiments.job import Job, ProgressMessage, job_settings
from flows.experiments.trials import Study
from flows.experiments.worker import run
from flows.replay import replay
from flows.sample import EVENTS, ITEMS
from flows.settings import Settings, load_settings
from tests.support.cli import freshrank

SPLIT, EVENTS_IN_ALL = 400, 1_000


@pytest.fixture
def turning_log(tmp_path: Path) -> Path:
    """In the first part each user's last item comes again. In the rest every other event is of one item."""
    random = np.random.default_rng(3)
    items = [f"i{number // 20}" for number in range(SPLIT)]
    items += [f"a{number // 40}" if number % 2 else f"b{random.integers(50)}" for number in range(SPLIT, EVENTS_IN_ALL)]
    path = tmp_path / "events.csv"
    rows = [f"u{random.integers(200)},{item},{second}" for second, item in enumerate(items)]
    path.write_text("\n".join(["user,item,timestamp", *rows]))
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_the_best_of_the_first_part_is_found_and_the_rest_tells_the_truth(turning_log: Path, tmp_path: Path) -> None:
    config, space, out = tmp_path / "base.toml", tmp_path / "space.toml", tmp_path / "tuned.toml"
    config.write_text('model = "popularity(half_life=30.0)"\ntop = 1\n')
    space.write_text('[model]\nname = "popularity"\nhalf_life = [1.0, 30.0]\n[settings]\nemit = "changed"\n')
    asked = ("tune", turning_log, "--config", config, "--space", space, "--share", SPLIT / EVENTS_IN_ALL)
    kept = ("--results", tmp_path / "results", "--out", out)
    done = freshrank(*asked, *kept, "--trials", 3, "--processes", 1)
    said = done.stderr
    assert done.returncode == 0, said
    assert "are worse than the settings as they were by 0.2" in said, "chosen on what turned, scored on what did not"
    assert "keep the settings as they were" in said

    settings = load_settings(out)
    assert settings.model == "popularity(half_life=1.0)"
    assert (settings.top, settings.emit) == (1, "changed")
    outcomes = replay(turning_log, settings).outcomes.arrays()
    first = {name: column[:SPLIT] for name, column in outcomes.items()}
    rest = {name: column[SPLIT:] for name, column in outcomes.items()}
    assert f"the tuned settings reach hit_rate@1 {mean_value('hit_rate@1', first):.4f};" in said
    assert f"that no trial has seen: {mean_value('hit_rate@1', rest):.4f};" in said
    assert f"that no trial has seen: {mean_value('hit_rate@1', rest):.4f};" in out.read_text()

    done = freshrank(*asked, *kept, "--trials", 3)
    assert done.returncode == 0, done.stderr
    assert "trial " not in done.stderr.partition("trials,")[0], "all three are kept"
    assert load_settings(out) == settings

    done = freshrank(*asked, *kept, "--trials", 3, "--metric", "mrr@1")
    assert done.returncode == WRONG
    assert "expected a study of the same metric" in done.stderr


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("switches", "protocol", "first_scored"),
    [
        (("--warmup", 0.25), {"warmup": 0.25}, 150),
        (
            tuple(shlex.split("""--where "user != 'u7'" --positive "item != 'a12'" --k 3,2 --metric mrr@2""")),
            {"where": "user != 'u7'", "positive": "item != 'a12'", "ks": (3, 2)},
            None,
        ),
    ],
    ids=["warmup", "others"],
)
def test_a_protocol_holds_in_both_parts_and_the_split_stays_in_time(
    turning_log: Path,
    tmp_path: Path,
    switches: tuple[object, ...],
    protocol: dict[str, Any],
    first_scored: int | None,
) -> None:
    """What is said of the parts is what a replay of the whole log scores before the 400th record, and from it on."""
    config, space, out = tmp_path / "base.toml", tmp_path / "space.toml", tmp_path / "tuned.toml"
    config.write_text('model = "popularity(half_life=30.0)"\ntop = 3\n')
    space.write_text('[model]\nname = "popularity"\nhalf_life = [1.0, 30.0]\n')
    kept = ("--results", tmp_path / "results", "--out", out, "--processes", 1, "--trials", 2)
    asked = ("tune", turning_log, "--config", config, "--space", space, "--share", SPLIT / EVENTS_IN_ALL, *kept)
    done = freshrank(*asked, *switches)
    said = done.stderr
    assert done.returncode == 0, said

    rules = Protocol(**{"ks": (3,), **protocol})
    users = [row.split(",")[0] for row in turning_log.read_text().splitlines()[1:]]
    gone = users[:SPLIT].count("u7") if rules.where else 0
    assert bool(rules.where) == bool(gone)
    split, metric = SPLIT - gone, "mrr@2" if rules.ks == (3, 2) else "hit_rate@3"
    values = {}
    for name, half_life in (("tuned", "1.0"), ("before", "30.0")):
        settings = Settings(model=f"popularity(half_life={half_life})", top=3)
        outcomes = replay(turning_log, settings, protocol=rules).outcomes.arrays()
        is_first = outcomes["number"] < split
        values[name] = [
            mean_value(metric, {name: column[part] for name, column in outcomes.items()})
            for part in (is_first, ~is_first)
        ]
    scored = int(is_first.sum())
    assert first_scored is None or scored == first_scored
    assert (
        f"On the first {split:,} interactions, {scored:,} scored events, which they were chosen on: the tuned settings "
        f"reach {metric} {values['tuned'][0]:.4f}; the settings as they were, {values['before'][0]:.4f}.\n"
    ) in said
    assert (
        f"On the rest, {len(is_first) - scored:,} scored events that no trial has seen: {values['tuned'][1]:.4f}; "
        f"the settings as they were, {values['before'][1]:.4f}.\n"
    ) in said
    assert shlex.join(map(str, switches)) in out.read_text(), "by which rules it was chosen stands in the file"

    done = freshrank(*asked, *switches, "--target", "session")
    assert done.returncode == WRONG
    assert "expected a study of the same protocol" in done.stderr


@pytest.mark.slow
def test_warmup_that_leaves_nothing_to_tune_on_is_refused(turning_log: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    space.write_text('[model]\nname = "popularity"\nhalf_life = [1.0, 30.0]\n')
    kept = ("--results", tmp_path / "results", "--out", tmp_path / "tuned.toml")
    asked = ("tune", turning_log, "--space", space, "--share", 0.4, "--warmup", 0.4, *kept)
    done = freshrank(*asked)
    said = done.stderr
    assert done.returncode == WRONG, said
    assert "--warmup 0.4: expected it to end within the first part" in said
    assert "it takes 400 interactions, and the part has 400." in said
    assert said.count("freshrank: ") == 1


def test_early_looks_begin_where_the_warmup_ends() -> None:
    """Each is at the mean of exactly so many interactions: what trials are held against must be alike."""
    rules, told = Protocol(warmup=0.5), list[ProgressMessage]()
    settings = job_settings(Settings(model="popularity"))
    job = Job(logs=(str(EVENTS),), settings=settings, protocol=rules, limit=2_000, interim="mrr@10")
    run(msgspec.structs.replace(job, interim_from=1_000, interim_every=150), told.append)
    outcomes = replay(EVENTS, Settings(model="popularity"), protocol=rules, limit=2_000).outcomes.arrays()
    looks = {one.step: one.value for one in told if one.step is not None}
    assert list(looks) == [1, 2, 3, 4, 5, 6]
    for step, value in looks.items():
        head = {name: column[: 150 * step] for name, column in outcomes.items()}
        assert value == mean_value("mrr@10", head) > 0.0


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_several_logs_in_any_order_are_tuned_on_as_one(turning_log: Path, tmp_path: Path) -> None:
    header, *rows = turning_log.read_text().splitlines()
    for name, some in (("part-1", rows[::2]), ("part-2", rows[1::2])):
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *some[::-1]]))
    space = tmp_path / "space.toml"
    space.write_text('[model]\nname = "popularity"\nhalf_life = [1.0, 30.0]\n')

    def tuned(name: str, *log: object) -> list[str]:
        kept = ("--results", tmp_path / "results", "--out", tmp_path / f"{name}.toml")
        asked = ("tune", *log, "--space", space, "--trials", 2, "--processes", 1, "--warmup", 0.1, *kept)
        done = freshrank(*asked)
        assert done.returncode == 0, done.stderr
        return [line for line in done.stderr.splitlines() if "hit_rate@10" in line]

    assert tuned("parts", tmp_path / "part-?.csv", "--sort") == tuned("one", turning_log)


WRONG_USE: list[tuple[str, tuple[object, ...], str]] = [
    ("unknown metric", ("--metric", "auc"), "metric 'auc': there is no such metric"),
    ("unwritable winner", ("--out", "/no/such/place"), "/no/such/place: expected a file to write"),
    ("unwritable study", ("--study", "/no/such/place"), "/no/such/place: expected a file to write"),
    ("missing space", ("--space", "no-such.toml"), "no-such.toml: expected a TOML file of what to tune"),
    ("a study that is none", ("--study", ITEMS), "expected a study of Optuna"),
    ("metric of another list", ("--k", "5,20", "--metric", "mrr@10"), "There are: hit_rate@5"),
    ("expression", ("--where", "valu>3"), "--where: column 1"),
    ("twice a log", (EVENTS,), "expected each log once"),
    ("missing column", ("--map", "user=uid"), "there is no column 'uid'"),
    ("a topic beside a log", ("--from-topic", "events"), "expected a log: either files, or --from-topic"),
]


@pytest.mark.parametrize(("arguments", "told"), [case[1:] for case in WRONG_USE], ids=[case[0] for case in WRONG_USE])
def test_bad_input(
    tmp_path: Path,
    arguments: tuple[object, ...],
    told: str,
) -> None:
    space = tmp_path / "space.toml"
    space.write_text("[model]\nrecent = [10, 20]\n")
    before = EVENTS.read_bytes()
    usual = ("--space", space, "--out", tmp_path / "tuned.toml", "--results", tmp_path / "results")
    done = freshrank("tune", EVENTS, *usual, *arguments)
    said = done.stderr
    assert done.returncode == WRONG, said
    assert told in said
    assert len([line for line in said.splitlines() if not line.startswith("read as: ")]) == 1
    assert EVENTS.read_bytes() == before


def test_missing_optuna_is_one_line_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match=r"pip install 'freshrank\[tune\]'"):
        Study(tmp_path / "study", {})
