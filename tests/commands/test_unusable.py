"""Unusable inputs: a run that learns (nearly) nothing ends with status 3 and advice. Runs list their types of event."""

from pathlib import Path

import orjson
import pytest

from flows.monitoring.counters import describe_types
from flows.replay import replay
from flows.settings import Settings
from tests.support.cli import freshrank

MODEL = "river:reco.Baseline"  # no kernels


def write(path: Path, *rows: str, header: str = "user,item,timestamp") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "the input holds no record"),
        (
            ["a,b,1600000000,web"] * 9,
            "9 of 9 records were rejected: 9 malformed row. The first is e.csv:2: 'a,b,1600000000,web'",
        ),
        (
            [",b,1600000000"] * 5,
            "5 empty id user. The first is e.csv:2: ',b,1600000000'.",
        ),
        (
            ["a,b,1600000000", *["a,b,9e12"] * 30],
            "30 timestamp out of range timestamp. The first is e.csv:3: 'a,b,9e12'. Say what it counts: --time-unit ms",
        ),
        (["a,b,1600000000", *["a,b,soon"] * 300], "--time-format"),
    ],
)
def test_nearly_all_rejected_is_status_3(tmp_path: Path, rows: list[str], said: str) -> None:
    log, report = write(tmp_path / "e.csv", *rows), tmp_path / "report.json"
    told = ["--time-zone", "UTC", "--time-unit", "s"] if "soon" not in rows[-1:] else []
    done = freshrank("replay", log, "--model", MODEL, "--report", report, *told)
    if said == "--time-format":
        assert done.returncode == 2, "the first records tell it already"
    else:
        assert done.returncode == 3
        assert "problem" in orjson.loads(report.read_bytes())
    assert said in done.stderr
    assert "hit_rate" not in done.stderr, "there is no table of zeros"


def test_few_rejects_are_no_failure(tmp_path: Path) -> None:
    log = write(tmp_path / "e.csv", *[f"u{n},i{n % 3},{1_600_000_000 + n}" for n in range(20)], *["?"] * 20)
    done = freshrank("replay", log, "--model", MODEL)
    assert done.returncode == 0, done.stderr
    assert "20 rejected (20 malformed row)" in done.stderr


def test_log_without_a_selected_event_is_status_3(tmp_path: Path) -> None:
    log = write(tmp_path / "e.csv", *[f"u{n},i,{1_600_000_000 + n}" for n in range(20)])
    done = freshrank("replay", log, "--model", MODEL, "--where", "value >= 4")
    assert done.returncode == 3
    assert "of 20 records none was: 0 events learned, 0 lists emitted, 20 left out by --where" in done.stderr


def test_a_finished_replay_that_is_run_again_is_status_3(tmp_path: Path) -> None:
    log = write(tmp_path / "e.csv", *[f"u{n % 4},i{n % 3},{1_600_000_000 + n}" for n in range(20)])
    command = ["replay", log, "--model", MODEL, "--recovery", tmp_path / "state"]
    assert freshrank(*command).returncode == 0
    done = freshrank(*command)
    assert done.returncode == 3
    assert "has read all of the log before. Name another recovery directory" in done.stderr


def test_a_model_whose_lists_are_all_empty_is_status_3(tmp_path: Path) -> None:
    log = write(tmp_path / "e.csv", *[f"u{n % 4},i{n % 3},{1_600_000_000 + n}" for n in range(40)])
    done = freshrank("replay", log, "--model", MODEL, "--min-score", "1e9")
    assert done.returncode == 3
    assert "all 40 lists of the model river:reco.Baseline are empty. The setting min_score is 1e+09." in done.stderr


class TestRepeats:
    def test_an_order_number_in_the_id_costs_no_event(self, tmp_path: Path) -> None:
        rows = [f"u{n // 4},i{n % 4},{1_600_000_000 + n},order-{n // 4}" for n in range(80)]
        log = write(tmp_path / "e.csv", *rows, header="user,item,timestamp,id")
        assert replay(log, Settings(model=MODEL)).counters.learned == 80

    def test_the_same_event_twice_is_learned_once(self, tmp_path: Path) -> None:
        rows = [f"u{n},i,{1_600_000_000 + n},e{n}" for n in range(30)]
        log = write(tmp_path / "e.csv", *rows, *rows[-3:], header="user,item,timestamp,id")
        counters = replay(log, Settings(model=MODEL)).counters
        assert (counters.learned, counters.duplicate) == (30, 3)

    def test_log_with_repeated_ids_is_status_3_with_advice(self, tmp_path: Path) -> None:
        rows = [f"u{n % 3},i{n % 3},{1_600_000_000 + n},visit" for n in range(60)]
        log = write(tmp_path / "e.csv", *rows, header="user,item,timestamp,id")
        done = freshrank("replay", log, "--model", MODEL)
        assert done.returncode == 3
        assert "57 of 60 events repeat the id, user, item and type" in done.stderr
        assert "leave it out: --map id=" in done.stderr
        done = freshrank("replay", log, "--model", MODEL, "--map", "id=")
        assert done.returncode == 0
        assert "60 events learned" in done.stderr


class TestEventTypes:
    def test_every_run_says_which_types_came(self, tmp_path: Path) -> None:
        types = ["purchase"] * 20 + ["Return"] * 5 + ["refund"] * 7
        rows = [f"u{n % 5},i{n % 3},{1_600_000_000 + n},{each}" for n, each in enumerate(types)]
        log = write(tmp_path / "e.csv", *rows, header="user,item,timestamp,event")
        report = tmp_path / "report.json"
        done = freshrank("replay", log, "--model", MODEL, "--domain", "ecommerce", "--report", report)
        assert (
            "event types: purchase 20 (reward 1), refund 7 (reward 1, not named), Return 5 (reward 1, not named)"
            in done.stderr
        )
        assert "Return differs from return in its case." in done.stderr
        assert orjson.loads(report.read_bytes())["event_types"]["refund"] == {
            "events": 7,
            "reward": 1.0,
            "named": False,
            "by_value": False,
        }

    def test_one_type_without_a_reward_is_no_warning(self) -> None:
        assert describe_types({"rating": 9}, {"return": -1.0}, ()) == ["event types: rating 9 (reward 1, not named)"]

    def test_rewards_by_value_say_so(self) -> None:
        [line] = describe_types({"watch": 9}, {"watch": 1.0}, ("watch",))
        assert line == "event types: watch 9 (reward 1 × value)"
