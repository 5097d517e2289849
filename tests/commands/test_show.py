"""`freshrank show` and `freshrank top`: reading of a stored model, which changes nothing."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.cli import WRONG
from flows.inspection.stored_model import read_stored
from flows.replay import replay
from flows.sample import EVENTS, ITEMS
from flows.settings import Settings
from flows.state.recovery import RecoveryError, recovery_in
from recmodels import Blend, RiverModel, build_model
from recmodels.inspection.trends import TrendError, popular, rising
from recmodels.inspection.user_profile import user_profile
from tests.support.cli import freshrank
from tests.support.gate import kill, start_gated


def answer(*arguments: object) -> dict[str, Any]:
    """Run a command with `--json`, and return what it printed."""
    done = freshrank(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = orjson.loads(done.stdout)
    return answer


def lines_of(events: list[tuple[str, str]]) -> str:
    return "user,item,timestamp\n" + "".join(f"{user},{item},{n}\n" for n, (user, item) in enumerate(events))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Left by a job: `old` was everybody's for long, `new` came up at the end, ann had tea and then jam twice."""
    folder = tmp_path_factory.mktemp("job")
    events = [(f"u{n}", "old") for n in range(2_000)] + [(f"v{n}", "new") for n in range(100)]
    events += [("ann", "tea"), ("ann", "jam"), ("ann", "jam")]
    (folder / "clicks.csv").write_text(lines_of(events))
    replay(folder / "clicks.csv", Settings(recovery=folder / "state"))
    (folder / "items.csv").write_text('item,title\nold,The [bold]Old[/bold] One\nnew,"Neues, Ö"\n')
    return folder / "state"


def digest(directory: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_show_prints_the_profile_of_a_user(state: Path) -> None:
    found = answer("show", "ann", "--state", state, "--top", 3)
    assert (found["events"], found["last_time"]) == (3, 2_102.0)
    assert [each["item"] for each in found["recent"]] == ["jam", "tea"]
    assert [(each["item"], each["amount"]) for each in found["had"]] == [("jam", 2.0), ("tea", 1.0)]
    listed = [each["item"] for each in found["list"]]
    assert sorted(listed) == ["jam", "new", "old"], "what ann had twice, and what others have"
    assert max(found["list"][0]["why"].values()) > 0.0, "something speaks for it"


def test_the_list_is_the_one_that_the_model_would_make(state: Path) -> None:
    model = read_stored(state).model
    found = answer("show", "ann", "--state", state, "--top", 3)
    assert [(each["item"], each["score"]) for each in found["list"]] == [
        (item, pytest.approx(score, abs=1e-3)) for item, score in model.top("ann", 3)
    ]


def test_unknown_user_is_reported_as_unknown(state: Path) -> None:
    done = freshrank("show", "eve [red]", "--state", state, "--items", state.parent / "items.csv")
    assert done.returncode == 0, done.stderr
    assert "user eve [red]: unknown: the model has no events of this user" in done.stdout
    assert "The [bold]Old[/bold] One" in done.stdout, "a title is text, not markup"


def test_top_prints_popular_and_rising_items(state: Path) -> None:
    found = answer("top", "--state", state, "--items", state.parent / "items.csv", "--top", 2)
    assert [(each["item"], each["title"], each["events"]) for each in found["popular"]] == [
        ("old", "The [bold]Old[/bold] One", 2_000.0),
        ("new", "Neues, Ö", 100.0),
    ]
    first = found["rising"][0]
    assert first["item"] == "new"
    assert first["before"] == pytest.approx(100 / 2_103, abs=1e-4)
    kept = 2 ** (-1 / 300)
    new, old = (sum(kept**n for n in ages) for ages in (range(3, 103), range(103, 2_103)))
    rest = sum(kept**n for n in range(3))
    assert first["share"] == pytest.approx(new / (new + old + rest), abs=1e-3)
    assert "old" not in [each["item"] for each in found["rising"]], "it falls"
    assert answer("top", "--state", state, "--long", 3000)["popular"][0]["events"] < 2_000.0
    done = freshrank("top", "--state", state)
    assert "rising" in done.stdout
    assert " × " in done.stdout


def test_reading_changes_nothing(state: Path) -> None:
    before = digest(state)
    answer("show", "ann", "--state", state)
    answer("top", "--state", state)
    assert digest(state) == before
    log = state.parent / "clicks.csv"
    replay(log, Settings(recovery=state))  # resumes at the end, and finds nothing more to read


@pytest.mark.process
def test_a_model_is_read_as_it_was_when_its_job_was_killed(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    asked = ("replay", EVENTS, "--recovery", directory)
    job = start_gated(8_000, *asked, FRESHRANK_EPOCH_SECONDS="0.1")
    done = freshrank("show", "1", "--state", directory)
    kill(job)
    assert done.returncode == WRONG
    assert "a job is at work on this recovery directory" in done.stderr
    before = digest(directory)
    model = read_stored(directory).model
    assert digest(directory) == before
    learned = int(model.memory.state.shared.counters[0])  # type: ignore[attr-defined]
    assert learned > 0
    fresh = Blend()
    replay_into(fresh, learned)
    assert {name: array.tobytes() for name, array in model.dump().items()} == {
        name: array.tobytes() for name, array in fresh.dump().items()
    }


def replay_into(model: Blend, count: int) -> None:
    """Learn the first so many events of the bundled log as the flow does."""
    import csv
    import gzip

    from recmodels import Example

    with gzip.open(EVENTS, "rt") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(count), strict=False)]
    model.step_many([Example(row["user"], row["item"], 1.0, float(row["timestamp"])) for row in rows])


def test_a_job_cannot_start_while_its_state_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clicks.csv").write_text(lines_of([("ann", "tea")]))
    replay(tmp_path / "clicks.csv", Settings(model="popularity", recovery=tmp_path / "state"))
    refused: list[bool] = []

    def build(*arguments: object, **named: object) -> Any:
        with pytest.raises(RecoveryError, match="another process is at work"), recovery_in(tmp_path / "state", {}):
            pass
        refused.append(True)
        return build_model(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("flows.inspection.stored_model.build_model", build)
    read_stored(tmp_path / "state")
    assert refused
    with recovery_in(tmp_path / "state", {}):
        pass


BAD = [
    ("no directory", "no/such/place", "expected a recovery directory of freshrank"),
    ("another directory", "flows", "expected a recovery directory of freshrank"),
]


@pytest.mark.parametrize(("where", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
@pytest.mark.parametrize("command", [["show", "ann"], ["top"]], ids=["show", "top"])
def test_directory_without_state_is_refused(command: list[str], where: str, said: str) -> None:
    done = freshrank(*command, "--state", where)
    assert done.returncode == WRONG
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_state_is_reported(state: Path, tmp_path: Path) -> None:
    shutil.copytree(state, tmp_path / "copy")
    (segment,) = (tmp_path / "copy" / "state" / "learn").glob("*.log")
    segment.write_bytes(segment.read_bytes()[:-100])
    done = freshrank("show", "ann", "--state", tmp_path / "copy")
    assert done.returncode == WRONG
    assert "expected" in done.stderr
    assert str(segment) in done.stderr
    (tmp_path / "copy" / "job.json").write_text('{"format": 9}')
    done = freshrank("top", "--state", tmp_path / "copy")
    assert done.returncode == WRONG
    assert "expected the job of a recovery directory of format" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_damaged_engine_state_is_reported(state: Path, tmp_path: Path, harm: str) -> None:
    shutil.copytree(state, tmp_path / "copy")
    engine = tmp_path / "copy" / "engine"
    if harm == "cut":
        os.truncate(engine / "part-0.sqlite3", 5_000)
    else:
        shutil.rmtree(engine)
    done = freshrank("show", "ann", "--state", tmp_path / "copy")
    assert done.returncode == WRONG
    assert f"{engine}: expected the engine's snapshots" in done.stderr


def test_half_lives_that_a_model_does_not_count_are_refused(state: Path) -> None:
    for arguments, said in (
        (["--short", 7], "expected one of the model's half-lives, 30, 300, 3000, 30000, inf events; got 7"),
        (["--short", 300, "--long", 30], "expected a short half-life below the long one; got 300 and 30"),
    ):
        done = freshrank("top", "--state", state, *arguments)
        assert done.returncode == WRONG
        assert said in done.stderr


def test_models_without_counts_say_which_have_them() -> None:
    model = build_model("river:reco.Baseline()", repeats="exclude")
    assert isinstance(model, RiverModel)
    model.learn_one("ann", "tea")
    for ask in (popular, rising):
        with pytest.raises(TrendError, match=r"Such are blend, popularity, .*content and contextual\."):
            ask(model)
    known = user_profile(model, "ann")
    assert (known.events, known.recent) == (1, ["tea"])


@pytest.mark.parametrize("name", ["content", "contextual"])
def test_models_that_count_say_what_is_popular_and_what_they_know(name: str) -> None:
    model = build_model(name)
    for user, item in [("ann", "tea"), ("bob", "tea"), ("ann", "jam")]:
        model.learn_one(user, item, x={"timestamp": 5.0})
    assert [found.item for found in popular(model)] == ["tea", "jam"]
    assert user_profile(model, "ann")[:4] == ("ann", 2, 5.0, ["jam", "tea"])


def test_hidden_items_are_neither_popular_nor_rising() -> None:
    model = Blend()
    for n in range(200):
        model.learn_one(f"u{n}", "tea" if n < 150 else "jam")
    model.learn_item("jam", available=False)
    assert [found.item for found in popular(model)] == ["tea"]
    assert [found.item for found in rising(model, short=30.0)] == []


def test_titles_need_a_file_of_titles(state: Path) -> None:
    done = freshrank("show", "ann", "--state", state, "--items", EVENTS)
    assert done.returncode == WRONG
    assert "expected a CSV header with item and title" in done.stderr
    assert ITEMS.exists()
