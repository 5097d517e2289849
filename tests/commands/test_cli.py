"""The command line: output, files, and exit statuses."""

import gc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.cli import COMMANDS, FAILED, WRONG, load_command
from flows.sample import EVENTS, ITEMS
from tests.support.cli import ROOT, freshrank


def test_replay_writes_lists_rejects_and_a_report(tmp_path: Path) -> None:
    log = tmp_path / "clicks.csv"
    log.write_text("user,item,timestamp\nann,tea,1\nbob,tea,2\nbob,jam\nann,jam,4\nbob,jam,5\n")
    out, rejects, report = tmp_path / "lists.jsonl", tmp_path / "rejects.jsonl", tmp_path / "report.json"
    done = freshrank("replay", log, "--out", out, "--rejects", rejects, "--report", report, "--top", 3)
    assert done.returncode == 0, done.stderr
    lists = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert [made["source"] for made in lists] == ["clicks/0/0", "clicks/0/1", "clicks/0/3", "clicks/0/4"]
    assert orjson.loads(rejects.read_bytes()) == {
        "source": "clicks.csv:4",
        "reason": "malformed row",
        "field": "",
        "raw": "bob,jam",
    }
    told: dict[str, Any] = orjson.loads(report.read_bytes())
    assert told["log"] == {"path": str(log), "events": 4, "rejected": 1, "users": 2, "items": 2}
    assert (told["model"], told["repeats"], told["top"], told["scored"]) == ("blend", "allow", 3, 4)
    assert set(told["metrics"]) >= {"hit_rate@3", "ndcg@3", "mrr@3", "served_hit_rate@3"}
    assert set(told["latency_us"]) == {"p50", "p99", "max"}
    assert told["metrics"]["hit_rate@3"] == 0.5, "bob is shown tea, and bob is shown jam; both items start unseen"
    assert told["seconds"] > 0
    assert told["events_per_second"] > 0
    assert told["peak_rss_mb"] > 0


@pytest.mark.slow
def test_the_same_log_gives_the_same_bytes(tmp_path: Path) -> None:
    outs = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    for out in outs:
        assert freshrank("replay", EVENTS, "--repeats", "exclude", "--limit", 5000, "--out", out).returncode == 0
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert sum(b'"user":"",' not in line for line in outs[0].read_bytes().splitlines()) == 5000


def test_lists_are_shown_with_titles() -> None:
    done = freshrank("replay", EVENTS, "--limit", 3000, "--items", ITEMS)
    assert done.returncode == 0, done.stderr
    assert "for user " in done.stderr
    assert "(2013)" in done.stderr


@pytest.mark.process
def test_the_demo_needs_nothing_and_says_what_comes_next(tmp_path: Path) -> None:
    done = freshrank("demo", process=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "hit_rate@10" in done.stderr
    [counts] = re.findall(r"30,000 events learned, ([\d,]+) lists emitted, (\d+) of them fallback lists", done.stderr)
    emitted, fallbacks = (int(each.replace(",", "")) for each in counts)
    assert emitted - fallbacks == 30_000
    steps = done.stderr.partition("Next steps:")[2]
    assert steps.count("  # ") == 3
    assert "open demo-report.html\n" in steps
    assert "(2013)" in (tmp_path / "demo-report.html").read_text().partition('id="lists"')[2]


@pytest.mark.process
def test_the_list_of_commands_and_the_version_import_nothing_heavy() -> None:
    code = (
        "import sys; from flows import cli\n"
        "try: cli.main()\n"
        "finally: print(sorted({'numba', 'numpy', 'bytewax', 'pydantic', 'river'} & set(sys.modules)))"
    )
    for asked in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", code, asked], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("[]\n")
        assert all(name in done.stdout for name in COMMANDS) or asked == "--version"


def test_the_garbage_collector_leaves_out_what_was_imported() -> None:
    load_command("run")
    assert gc.get_freeze_count() > 100_000
    before = gc.get_freeze_count()
    load_command("serve")
    assert gc.get_freeze_count() <= before, "once: a process of tests would keep all garbage"


def test_version_is_that_of_the_package() -> None:
    assert freshrank("--version").stdout.startswith("freshrank ")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_a_command_says_of_itself(name: str) -> None:
    told = " ".join((load_command(name).help or "").partition("\n\n")[0].split())
    assert told == COMMANDS[name][1]


BAD: list[tuple[str, list[object], str]] = [
    ("missing file", ["replay", "no-such.csv"], "no-such.csv: expected an event log"),
    ("directory", ["replay", "/"], "this is a directory"),
    ("unknown model", ["replay", EVENTS, "--model", "nope"], "there is no model 'nope'"),
    ("hostile model", ["replay", EVENTS, "--model", "river:os.system('true')"], "River has no 'os.system'"),
    (
        "top of nothing",
        ["replay", EVENTS, "--top", 0],
        "setting top: Input should be greater than or equal to 1; got 0",
    ),
    ("unknown policy", ["replay", EVENTS, "--repeats", "never"], "'never'"),
    ("unwritable lists", ["replay", EVENTS, "--out", "/no/such/place"], "/no/such/place: expected a file to write"),
    ("unwritable report", ["replay", EVENTS, "--report", "/no/such/place"], "/no/such/place: expected a file to write"),
    ("half a mapping", ["replay", EVENTS, "--map", "user"], "--map user: expected field=name"),
    ("no such column", ["replay", EVENTS, "--map", "user=uid"], "there is no column 'uid'"),
    ("no titles", ["replay", EVENTS, "--items", EVENTS], "expected a CSV header with item and title"),
    ("unknown flag", ["replay", EVENTS, "--bogus"], "No such option"),
    ("no configuration", ["check", "--config", "no-such.toml"], "no-such.toml: expected a TOML file"),
    ("recovery in a file", ["replay", EVENTS, "--recovery", EVENTS], "expected a directory to write"),
]


@pytest.mark.parametrize(("arguments", "told"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_wrong_use_gives_one_message(arguments: list[object], told: str) -> None:
    done = freshrank(*arguments)
    assert done.returncode == WRONG
    assert told in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert "panicked" not in done.stderr


@pytest.mark.slow
def test_a_truncated_log_delivers_what_was_whole_and_fails(tmp_path: Path) -> None:
    log, out = tmp_path / "cut.csv.gz", tmp_path / "lists.jsonl"
    log.write_bytes(EVENTS.read_bytes()[:50_000])
    done = freshrank("replay", log, "--out", out)
    assert done.returncode == WRONG
    assert "the file is cut short" in done.stderr
    assert out.read_bytes().count(b"\n") > 4_000


@pytest.mark.slow
def test_an_unreachable_broker_is_named_with_the_setting_to_change() -> None:
    for command in ("check", "run"):
        done = freshrank(command, FRESHRANK_BOOTSTRAP="127.0.0.1:1")
        assert done.returncode == WRONG
        assert "127.0.0.1:1" in done.stderr
        assert "`bootstrap`" in done.stderr


@pytest.mark.process
def test_a_model_that_fails_stops_the_job_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from recmodels import Recommender\n"
        "class Bad(Recommender):\n"
        "    def learn_one(self, user, item, y=1.0, x=None):\n"
        "        raise RuntimeError('no more paper')\n"
        "    def predict_one(self, user, item, x=None):\n"
        "        return 0.0\n"
    )
    done = freshrank("replay", EVENTS, "--model", "mine:Bad", process=True, cwd=tmp_path)
    assert done.returncode == FAILED
    assert "no more paper" in done.stderr


def test_a_password_file_that_is_not_there_is_one_clear_line() -> None:
    for command in ("check", "run"):
        done = freshrank(command, FRESHRANK_KAFKA_PASSWORD_FILE="/no/such/file")
        assert done.returncode == WRONG
        assert done.stderr.count("\n") == 1, done.stderr
        assert "setting kafka_password_file: expected a file that holds the password" in done.stderr


def test_max_reject_rate_stops_a_replay_too(tmp_path: Path) -> None:
    log = tmp_path / "clicks.csv"
    log.write_text("user,item,timestamp\n" + "ann,tea,1\nann,tea,yesterday\n" * 1_500)
    done = freshrank("replay", log, "--model", "popularity", FRESHRANK_MAX_REJECT_RATE="0.4")
    assert done.returncode == FAILED
    assert "expected at most 40.0% of the records to be rejected" in done.stderr
    assert freshrank("replay", log, "--model", "popularity").returncode == 0
