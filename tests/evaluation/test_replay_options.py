"""Options of a replay on the command line."""

from pathlib import Path

import orjson
import pytest

from flows.cli import WRONG
from flows.commands.log_options import moment
from flows.sample import EVENTS
from tests.support.cli import freshrank


def run(*arguments: object) -> tuple[int, str]:
    """Return a command's exit status and what it printed."""
    done = freshrank(*arguments)
    told = " ".join(done.stderr.split())
    assert "Traceback" not in told
    return done.returncode, told


def test_a_protocol_reaches_the_report(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    protocol = ["--where", "value>=6", "--positive", "value >= 8", "--warmup", "0.2", "--k", "5,10", "--window", "500"]
    drawn = ["--score-every", "2", "--seed", "3", "--candidates", "catalogue", "--target", "session"]
    status, told = run("replay", EVENTS, "--limit", 3_000, "--model", "history", *protocol, *drawn, "--report", report)
    assert status == 0, told
    said = orjson.loads(report.read_bytes())
    assert said["protocol"] == {
        "positive": "value >= 8", "warmup": 0.2, "ks": [5, 10], "candidates": "catalogue", "score_every": 2, "seed": 3,
        "window": 500, "target": "session", "where": "value>=6", "requests": "none",
    }  # fmt: skip
    assert set(said["metrics"]) == {
        f"{name}@{k}"
        for name in ("hit_rate", "ndcg", "mrr", "served_hit_rate", "served_hit_rate_any_age")
        for k in (5, 10)
    }
    assert said["left_out"] == 3_000 - said["log"]["events"] > 0
    assert 0 < said["scored"] < said["log"]["events"] / 2
    assert [point["scored"] for point in said["series"]][:-1] == [500] * (said["scored"] // 500)
    assert "left out by --where" in told
    assert "hit_rate@5" in told


def test_the_defaults_are_written_out(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert run("replay", EVENTS, "--limit", 100, "--model", "history", "--top", 3, "--report", report)[0] == 0
    said = orjson.loads(report.read_bytes())
    assert said["protocol"]["ks"] == [3], "no list is longer"
    assert "series" not in said


def test_late_events_are_told_with_what_sorts_them(tmp_path: Path) -> None:
    log = tmp_path / "e.csv"
    log.write_text("user,item,timestamp\nann,tea,5\nbob,tea,3\ncat,tea,4\n")
    status, told = run("replay", log, "--model", "history")
    assert status == 0
    assert "2 events are older than one before them" in told
    assert "--sort sorts them." in told
    status, told = run("replay", log, "--model", "history", "--sort")
    assert status == 0
    assert "older" not in told


def test_a_quoted_pattern_is_several_logs(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"clicks-{n}.csv").write_text(f"user,item,timestamp\nu{n},tea,{n}\n")
    status, told = run("replay", tmp_path / "clicks-*.csv", "--model", "history")
    assert status == 0
    assert "3 events learned" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay"], "expected a log: either files, or --from-topic with the name of a topic"),
        (["replay", EVENTS, "--from-topic", "events"], "expected a log: either files, or --from-topic"),
        (["replay", EVENTS, "--since", "2026-11-01"], "--since: it belongs to --from-topic"),
        (["replay", "--from-topic", "events", "--since", "soon"], "--since: expected a date"),
        (["replay", "--from-topic", "events", "--recording", "e.csv"], "ends in .jsonl"),
        (
            ["replay", EVENTS, "--positive", "value>=low"],
            "--positive: column 8 of 'value>=low': there is no name 'low'",
        ),
        (["replay", EVENTS, "--where", "value"], "--where: column 1 of 'value': expected a comparison"),
        (["replay", EVENTS, "--warmup", "1"], "--warmup: expected a share of the log from 0 to below 1; got 1.0"),
        (["replay", EVENTS, "--k", "5;10"], "--k: expected lengths of list with commas between them"),
        (["replay", EVENTS, "--k", "0"], "--k: expected different lengths of list from 1 to 1,000"),
        (["replay", EVENTS, "--candidates", "all"], "'all' is not one of 'seen', 'catalogue'"),
        (["replay", EVENTS, "--warmup", "0.1", "--recovery", "state"], "--recovery: a replay that resumes"),
        (["replay", "no-such-*.csv"], "no file matches the pattern"),
        (["replay", EVENTS, EVENTS], "it is named twice"),
        (["record", "e.csv"], "ends in .jsonl"),
        (["record", "e.jsonl", "--until", "2026-13-01"], "--until: expected a date"),
    ],
    ids=lambda value: " ".join(str(each) for each in value[:1] + value[2:]) if isinstance(value, list) else None,
)
def test_wrong_use_gives_one_message(
    arguments: list[object], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    status, told = run(*arguments)
    assert status == WRONG
    assert said in told.replace("│ ", "").replace(" │", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-01T02:00:00", 7_200.0),
        ("1970-01-01T02:00:00+01:00", 3_600.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1382021321.5", 1_382_021_321.5),
    ],
)
def test_a_moment_is_written_in_several_ways(text: str, seconds: float) -> None:
    assert moment("--since", text) == seconds


@pytest.mark.parametrize("text", ["1e400", "-5", "now", "", "2026-02-30", "1.2.3", "99999999999999"])
def test_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--since: expected a date, a time with an offset or Unix seconds"):
        moment("--since", text)
